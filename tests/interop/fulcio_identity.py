#!/usr/bin/env python3
"""Thousands of odd tokens: does Mayfly give the identity that Fulcio gives, or none?

    fulcio_identity.py MAYFLY ORACLE FULCIO_ISSUER_FILE

Takes the claims of tests/vectors/identity, changes one or two of them at a time, and asks both. Mayfly may refuse what
Fulcio certifies, for a reason that is listed here; it may never certify another identity, nor what Fulcio refuses.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "identity"
CHANGES = 25  # of each case
SEED = 1989

# What may stand in a claim that nobody expected there. No whole number from a million on: Fulcio 1.8 prints those with
# an exponent, its main branch and Mayfly in full.
VALUES = [
    "", " ", "a", "a b", "a/b", "a//b", "../b", "a/./b", "%", "%2F", "%2e%2e", "a%20b", "a#b", "a?b=c", "a+b", "a@b",
    "a:b", "{x}", "a'(b)*c!", "größe", "a\u00e9 b", "日本", "{{ .sha }}", "{{", "<nil>", "\"", "\\", "a\tb", "a\0b",
    "a\u202eb", "refs/heads/feature#1", "refs/tags/v1.0", "https://evil.example", "true", "True", "branch", "tag",
    0, 1, -7, 1.5, 0.1, 123456789.123456789, True, False, None, [], ["a"], {}, {"a": "b"}, "x" * 2049,
]

# Why Mayfly refuses more than Fulcio does: docs/issuers.md.
REASONS = ["claim", "URI", "extension", "subject", "email", "address", "no `iss`", "no entry", "audience"]


def changed(claims, rng):
    """The claims with one or two of them changed or removed, but for those that are no part of an identity."""
    claims = dict(claims)
    names = [name for name in claims if name not in ("iss", "aud", "exp", "iat", "nbf", "nonce", "at_hash")]
    for name in rng.sample(names, k=min(len(names), rng.choice([1, 1, 2]))):
        if rng.random() < 0.15:
            del claims[name]
        else:
            claims[name] = rng.choice(VALUES)
    return claims


def cases():
    rng = random.Random(SEED)
    for path in sorted(VECTORS.glob("*.json")):
        vectors = json.loads(path.read_text())
        if vectors.get("issuers") == "public" and not path.name.startswith(("odd-", "whole-")):
            for case in vectors["cases"]:
                yield from (changed(case["claims"], rng) for _ in range(CHANGES))


def main():
    mayfly, oracle, issuers = sys.argv[1:]
    tokens = list(cases())
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.writelines(json.dumps(claims) + "\n" for claims in tokens)
        file.flush()
        command = [mayfly, "config", "explain", "--issuers", issuers, "--claims", file.name, "--json"]
        ours = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout.splitlines()
    asked = "".join(json.dumps({"claims": claims}) + "\n" for claims in tokens)
    theirs = subprocess.run([oracle, issuers], input=asked, stdout=subprocess.PIPE, text=True, check=True)
    counts, wrong = Counter(), []
    for claims, our_line, their_line in zip(tokens, ours, theirs.stdout.splitlines(), strict=True):
        our, their = json.loads(our_line), json.loads(their_line)
        refused, their_refused = our["refusal"], "error" in their
        if refused:
            counts["both refuse" if their_refused else "only Mayfly refuses"] += 1
            if not any(reason in refused for reason in REASONS):
                wrong.append(("refused for an unknown reason", claims, our, their))
            continue
        counts["only Fulcio refuses" if their_refused else "both certify"] += 1
        mine = {extension["oid"].rsplit(".", 1)[1]: extension["value"] for extension in our["extensions"]}
        if their_refused or (our["name"], mine) != (their["name"], their["extensions"]):
            wrong.append(("another identity", claims, our, their))
    print(len(tokens), "tokens:", dict(counts))
    for what, claims, our, their in wrong[:5]:
        print(what, json.dumps(claims), json.dumps(our), json.dumps(their), sep="\n  ")
    # A test in which nearly nothing is certified would prove nothing.
    if wrong or counts["both certify"] < len(tokens) / 4:
        sys.exit(f"{len(wrong)} of {len(tokens)} differ")


if __name__ == "__main__":
    main()
