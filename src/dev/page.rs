//! The pages: plain HTML, no scripts, nothing from elsewhere, every foreign text escaped.

use std::{fmt, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f2ee;color:#222}\
main{max-width:26rem;margin:12vh auto;padding:2rem;background:#fff;border-radius:.75rem;box-shadow:0 1px 8px #0002}\
h1{font-size:1.3rem;margin:0 0 1rem}\
label{display:block;margin:1rem 0 .25rem}\
input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid #888;border-radius:.4rem}\
button{font:inherit;margin-top:1.25rem;padding:.55rem 1.5rem;border:0;border-radius:.4rem;background:#7a4a00;color:#fff;cursor:pointer}\
code{font-size:1.05rem;word-break:break-all;user-select:all}\
.error{color:#a00}\
footer{margin-top:1.5rem;padding-top:1rem;border-top:1px solid #ddd;font-size:.85rem;color:#555}\
@media(prefers-color-scheme:dark){body{background:#1b1a18;color:#eee}main{background:#262421}\
footer{color:#aaa;border-color:#444}.error{color:#f88}input{background:#1b1a18;color:#eee}}";

/// Where a page's form may lead.
#[derive(Clone, Copy, Debug)]
pub(super) enum FormTarget {
    /// Back here.
    Here,
    /// Back here, and from there by redirect to a client on loopback. Browsers apply `form-action` to the redirect
    /// too, and its grammar has no IPv6 address; the redirect URI itself is checked before the form is shown.
    Client,
}

/// Text as HTML, safe in an element and in a double-quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => fmt::Write::write_char(f, other),
        })
    }
}

/// A whole page. `body` is HTML: what it holds of a request must have gone through [`Escaped`].
pub(super) fn page(status: StatusCode, title: &str, body: &str, target: FormTarget) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · Mayfly dev</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}\
         <footer><strong>Development only.</strong> This provider believes whatever address is typed. \
         Nobody outside this machine should trust it.</footer></main></body></html>",
        title = Escaped(title),
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy(target)),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        // Not `no-referrer`: with that, browsers send our own form with `Origin: null`.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, Html(html)).into_response()
}

/// A page that says why nothing happened.
pub(super) fn refusal(status: StatusCode, reason: &str) -> Response {
    let body = format!("<p class=\"error\">{}</p>", Escaped(reason));
    page(status, "This did not work", &body, FormTarget::Here)
}

fn policy(target: FormTarget) -> HeaderValue {
    static POLICIES: LazyLock<[Option<HeaderValue>; 2]> = LazyLock::new(|| {
        let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        ["'self'", "'self' http:"].map(|forms| {
            let text = format!(
                "default-src 'none'; style-src 'sha256-{style}'; form-action {forms}; \
                 base-uri 'none'; frame-ancestors 'none'"
            );
            HeaderValue::try_from(text).ok()
        })
    });
    let [here, client] = &*POLICIES;
    let policy = match target {
        FormTarget::Here => here,
        FormTarget::Client => client,
    };
    policy
        .clone()
        .unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out() {
        let text = Escaped("<script>\"'&</script>").to_string();
        assert_eq!(text, "&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;");
    }
}
