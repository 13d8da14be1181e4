#!/usr/bin/env bash
# cosign 2, unmodified: the last releases that speak Fulcio's legacy API (v1), and check the SCT when they sign.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir "$HOME"
start_dev --key-kind p256
cd "$WORK"
date >blob
curl -sS --fail -o chain.pem "$API/api/v1/rootCert"
write_log_key log.pem
cosign2() { "$CACHE/cosign2/cosign" "$@"; }
sign() { # TOKEN
  SIGSTORE_ROOT_FILE=chain.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=${LOG_KEY:-log.pem} cosign2 sign-blob -y --identity-token "$1" \
    --fulcio-url "$API" --oidc-issuer "$ISSUER" --tlog-upload=false --output-signature signature --output-certificate certificate blob
}
verify() { # IDENTITY ISSUER
  SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=log.pem cosign2 verify-blob --insecure-ignore-tlog --certificate certificate \
    --signature signature --certificate-chain chain.pem --certificate-identity "$1" --certificate-oidc-issuer "$2" blob
}

step "an email token"
write_token token --email "$EMAIL"
sign token 2>&1 | tee signed.log
grep -q 'verified SCT' signed.log || fail "the SCT was not checked"
verify "$EMAIL" "$ISSUER"
refused "identit" verify mallory@example.com "$ISSUER"

step "a GitHub Actions token"
write_token github --github octo-org/octo-repo
sign github
base64 -d certificate >certificate.pem
verify "$(uri_of certificate.pem)" "$GITHUB_ISSUER"

step "another log's key"
openssl ecparam -name prime256v1 -genkey -noout | openssl pkey -pubout -out other.pem
LOG_KEY=other.pem refused "sct" sign token

step "a bad token: the server's own words reach the user"
spoil_token token bad-token
refused "400.*token" sign bad-token
expect 4 "$(grep -c 'path="/api/v1/signingCert"' mayfly.log)" "requests by the legacy API"
stop_mayfly
