#!/usr/bin/env python3
"""rfc3161-client, the library of sigstore-python, against our timestamp authority.

Usage: timestamp.py URL CHAIN; CHAIN is PEM, the authority's own certificate first, the root last.
"""

import sys
import urllib.request

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

MESSAGE = b"a message\n"
POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.57264.2")


def ask(url, request):
    headers = {"Content-Type": "application/timestamp-query"}
    asked = urllib.request.Request(url, request.as_bytes(), headers)
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 200, answer.status
        return decode_timestamp_response(answer.read())


def verifier(request, authority, roots):
    builder = VerifierBuilder.from_request(request).policy_id(POLICY).tsa_certificate(authority)
    for root in roots:
        builder = builder.add_root_certificate(root)
    return builder.build()


def main(url, chain):
    with open(chain, "rb") as file:
        authority, *_, root = x509.load_pem_x509_certificates(file.read())
    for algorithm in HashAlgorithm:
        for with_certificates in (True, False):
            builder = TimestampRequestBuilder().data(MESSAGE).hash_algorithm(algorithm).nonce(nonce=True)
            request = builder.cert_request(cert_request=with_certificates).build()
            response = ask(url, request)
            assert response.tst_info.nonce == request.nonce
            assert bool(response.signed_data.certificates) == with_certificates
            verifying = verifier(request, authority, [root])
            assert verifying.verify_message(response, MESSAGE)
            try:
                verifying.verify_message(response, b"another message\n")
            except VerificationError as error:
                print(f"{algorithm.name}, certificates: {with_certificates}: verified; of another message: {error}")
            else:
                raise SystemExit("another message is accepted")


main(*sys.argv[1:])
