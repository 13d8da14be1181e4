#!/usr/bin/env bash
# C20: sigstore-python, its signer up to the certificate, its SCT check, its verifier's path checks; then its own
# browser login at the development provider (it takes the access token, and sends an empty client secret).
source "$(dirname "$0")/lib.sh"
start_dev --key-kind p256
client() { "$CACHE/venv/bin/python" "$HERE/sigstore_python.py" "$API" "$TRUSTED_ROOT" "$@"; }

step "an email token"
write_token "$WORK/token" --email "$EMAIL"
client "$WORK/token" "$EMAIL" "$ISSUER"

step "a GitHub Actions token"
write_token "$WORK/github" --github octo-org/octo-repo
request_certificate "$WORK/github" "$(claim "$WORK/github" sub)" "$WORK/c"
client "$WORK/github" "$(uri_of "$WORK/c/leaf.pem")" "$GITHUB_ISSUER"

step "its browser login"
BROWSER="python3 $HERE/browser.py %s $EMAIL &" timeout 120 "$CACHE/venv/bin/python" -c '
import sys
from pathlib import Path
from sigstore.oidc import Issuer
Path(sys.argv[2]).write_text(str(Issuer(sys.argv[1]).identity_token()))
' "$ISSUER" "$WORK/login"
client "$WORK/login" "$EMAIL" "$ISSUER"

step "a bad token"
spoil_token "$WORK/token" "$WORK/bad"
refused "FulcioClientError" client "$WORK/bad" "$EMAIL" "$ISSUER"
stop_mayfly
