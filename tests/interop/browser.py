#!/usr/bin/env python3
"""A person at a browser, unattended: opens a page, fills in its form, presses the button, follows where
it leads, until a page has no form any more. Standard library only.

Usage: browser.py URL EMAIL
"""

import http.cookiejar
import sys
import urllib.parse
import urllib.request
from html.parser import HTMLParser

MAX_PAGES = 8


class Form(HTMLParser):
    """The first form of a page, with its fields as a browser would send them."""

    def __init__(self, email):
        super().__init__()
        self.email, self.action, self.method = email, None, "get"
        self.fields, self.inside, self.done = {}, False, False

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and not self.done:
            self.inside = True
            self.action = attributes.get("action", "")
            self.method = attributes.get("method", "get").lower()
        elif self.inside and tag == "input":
            self.input(attributes)
        elif self.inside and tag == "button" and attributes.get("name"):
            self.fields.setdefault(attributes["name"], attributes.get("value", ""))

    def handle_endtag(self, tag):
        if tag == "form" and self.inside:
            self.inside, self.done = False, True

    def input(self, attributes):
        name, kind = attributes.get("name"), attributes.get("type", "text")
        if not name:
            return
        if kind == "email" or (name in ("email", "login") and not attributes.get("value")):
            self.fields[name] = self.email
        elif kind == "password":
            self.fields[name] = "any"
        else:
            self.fields[name] = attributes.get("value", "")


def main(url, email):
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
    )
    request = urllib.request.Request(url)
    for _ in range(MAX_PAGES):
        with opener.open(request, timeout=60) as response:
            address, page = response.geturl(), response.read().decode("utf-8", "replace")
        print(f"{response.status} {address.split('?')[0]}")
        form = Form(email)
        form.feed(page)
        if form.action is None:
            return
        target = urllib.parse.urljoin(address, form.action)
        body = urllib.parse.urlencode(form.fields)
        if form.method == "post":
            origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(address))
            request = urllib.request.Request(target, data=body.encode(), headers={"Origin": origin})
        else:
            request = urllib.request.Request(f"{target}?{body}")
    sys.exit(f"still at a form after {MAX_PAGES} pages")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
