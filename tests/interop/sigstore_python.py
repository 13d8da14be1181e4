"""Drives sigstore-python: its signer up to the certificate (certificate signing request, its SCT check),
its trusted root, its verifier's path and profile checks. Its whole `sign` and `verify` insist on Rekor (it
does not even load a signing config without one) and are not attempted.

Arguments: API, trusted root, token file, identity, issuer.
"""

import sys
from datetime import datetime, timezone
from pathlib import Path

from sigstore._internal.fulcio import FulcioClient
from sigstore._internal.sct import verify_sct
from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
from sigstore._internal.trust import CTKeyring, Keyring, KeyringPurpose
from sigstore.errors import VerificationError
from sigstore.models import TrustedRoot
from sigstore.oidc import IdentityToken
from sigstore.sign import Signer, SigningContext
from sigstore.verify import Verifier, policy


def path_verifier(root):
    """A Verifier that checks certificates only: its constructor asks for a Rekor that nobody has here."""
    verifier = Verifier.__new__(Verifier)
    verifier._trusted_root = root
    verifier._fulcio_certificate_chain = root.get_fulcio_certs()
    return verifier


def refuses(check, *arguments):
    try:
        check(*arguments)
    except VerificationError as error:
        print("refused:", error)
        return
    sys.exit(f"accepted: {arguments}")


def main(api, trusted_root, token_file, identity, issuer):
    root = TrustedRoot.from_file(trusted_root)
    fulcio = FulcioClient(api)
    token = IdentityToken(Path(token_file).read_text())

    chains = fulcio.trust_bundle.get().trust_bundle
    print("trust bundle:", [len(chain) for chain in chains])

    context = SigningContext(fulcio=fulcio, rekor=None, trusted_root=root)
    certificate = Signer(token, context)._signing_cert()
    print("certificate, SCT verified with the chain of the answer")

    now = TimestampVerificationResult(TimestampSource.TIMESTAMP_AUTHORITY, datetime.now(timezone.utc))
    chain = path_verifier(root)._verify_chain_at_time(certificate, now)
    verify_sct(certificate, chain, root.ct_keyring(KeyringPurpose.VERIFY))
    print("chain and SCT verified by the trusted root")
    policy.Identity(identity=identity, issuer=issuer).verify(certificate)
    print("policy: identity and issuer")

    refuses(policy.Identity(identity="mallory@example.com", issuer=issuer).verify, certificate)
    refuses(verify_sct, certificate, chain, CTKeyring(Keyring([])))


if __name__ == "__main__":
    main(*sys.argv[1:])
