#!/usr/bin/env python3
"""A throw-away timestamp authority on loopback: `openssl ts` behind HTTP, because some clients verify
nothing without a trusted time. Takes RFC 3161 queries, and the JSON form that sigstore-js sends.

Usage: tsa.py DIR; makes its own root and certificate in DIR, prints one line of JSON when ready.
"""

import base64
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[tsa]
serial = {dir}/serial
default_policy = 1.3.6.1.4.1.57264.2
digests = sha256, sha384, sha512
signer_digest = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[req]
distinguished_name = none
[none]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *arguments], input=stdin, check=True, capture_output=True).stdout


def make_authority(directory):
    config = directory / "tsa.cnf"
    config.write_text(CONFIG.format(dir=directory))
    (directory / "serial").write_text("01\n")
    for name, signer in (("root", ()), ("leaf", ("-CA", directory / "root.pem", "-CAkey", directory / "root.key"))):
        openssl(
            "req", "-x509", "-config", config, "-extensions", name, "-subj", f"/O=interop test/CN=TSA {name}",
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *signer,
            "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem",
        )  # fmt: skip
    return config


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Type", "").startswith("application/json"):
            body = self.query_of_json(json.loads(body))
        directory = self.server.directory
        query = directory / f"query-{id(self)}"
        query.write_bytes(body)
        reply = openssl(
            "ts", "-reply", "-config", self.server.config, "-section", "tsa", "-queryfile", query,
            "-signer", directory / "leaf.pem", "-inkey", directory / "leaf.key",
        )  # fmt: skip
        self.send_response(201)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    @staticmethod
    def query_of_json(request):
        digest = base64.b64decode(request["artifactHash"]).hex()
        return openssl("ts", "-query", "-digest", digest, f"-{request['hashAlgorithm']}", "-cert", "-no_nonce")

    def log_message(self, *_):
        pass


def main(directory):
    directory.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.directory, server.config = directory, make_authority(directory)
    chain = [base64.b64encode(openssl("x509", "-in", directory / f"{n}.pem", "-outform", "DER")).decode() for n in ("leaf", "root")]
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}/api/v1/timestamp", "chain": chain}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
