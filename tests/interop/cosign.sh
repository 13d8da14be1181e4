#!/usr/bin/env bash
# C20: cosign, unmodified: sign a file with a token, verify it within the certificate's ten minutes. There is
# no Rekor: --insecure-ignore-tlog, and without --use-signed-timestamps cosign takes the current time (with it: timestamp.sh).
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home" # nothing of the user's sigstore set-up, and no public instance
mkdir "$HOME"
start_dev
cd "$WORK"
date >blob

sign() { cosign sign-blob -y --trusted-root "$TRUSTED_ROOT" --bundle "$1" "${@:2}" blob; }
verify() { # BUNDLE IDENTITY ISSUER
  cosign verify-blob --trusted-root "$TRUSTED_ROOT" --insecure-ignore-tlog --bundle "$1" \
    --certificate-identity "$2" --certificate-oidc-issuer "$3" "${@:4}" blob
}

step "an email token"
write_token token --email "$EMAIL"
sign email.json --identity-token token --signing-config "$SIGNING_CONFIG"
verify email.json "$EMAIL" "$ISSUER"

step "wrong identity, wrong issuer, another file, a foreign trusted root"
refused "identit|certificate" verify email.json mallory@example.com "$ISSUER"
refused "identit|certificate" verify email.json "$EMAIL" https://issuer.example.com
cp blob good
date +%N >>blob
refused "signature|digest|artifact" verify email.json "$EMAIL" "$ISSUER"
cp good blob
jq '.ctlogs = []' "$TRUSTED_ROOT" >no-log.json
refused "sct|timestamp|threshold" cosign verify-blob --trusted-root no-log.json --insecure-ignore-tlog --bundle email.json \
  --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob

step "a GitHub Actions token"
write_token github --github octo-org/octo-repo
sign github.json --identity-token github --signing-config "$SIGNING_CONFIG"
jq -r .verificationMaterial.certificate.rawBytes github.json | base64 -d | openssl x509 -out github.pem
identity=$(uri_of github.pem)
[[ $identity == https://github.com/octo-org/octo-repo/* ]] || fail "not a workflow of the repository: $identity"
verify github.json "$identity" "$GITHUB_ISSUER" --certificate-github-workflow-repository octo-org/octo-repo
refused "repository" verify github.json "$identity" "$GITHUB_ISSUER" --certificate-github-workflow-repository octo-org/other

step "every kind of key that cosign can make"
for algorithm in ecdsa-sha2-384-nistp384 ecdsa-sha2-512-nistp521 rsa-sign-pkcs1-2048-sha256 rsa-sign-pkcs1-4096-sha256; do
  echo "  $algorithm"
  sign key.json --identity-token token --signing-config "$SIGNING_CONFIG" --signing-algorithm "$algorithm" 2>/dev/null
  verify key.json "$EMAIL" "$ISSUER"
done

step "the flags of older releases, without a signing config"
sign flags.json --identity-token token --use-signing-config=false --fulcio-url "$API" --oidc-issuer "$ISSUER" --tlog-upload=false
verify flags.json "$EMAIL" "$ISSUER"

step "trusted root and signing config made by cosign, as in Fulcio's own end-to-end test"
curl -sS --fail -o chain.pem "$API/api/v1/rootCert"
write_log_key log.pem
cosign trusted-root create --out made-root.json --fulcio "url=$API,certificate-chain=chain.pem" \
  --ctfe "url=$API,public-key=log.pem,start-time=2026-01-01T00:00:00Z"
cosign signing-config create --out made-config.json \
  --fulcio "url=$API,api-version=1,start-time=2026-01-01T00:00:00Z,operator=test"
sign made.json --identity-token "$(<token)" --signing-config made-config.json --trusted-root made-root.json
verify made.json "$EMAIL" "$ISSUER" --trusted-root made-root.json

step "without a timestamp authority"
jq 'del(.tsaUrls, .tsaConfig)' "$SIGNING_CONFIG" >untimed-config.json
jq '.timestampAuthorities = []' "$TRUSTED_ROOT" >untimed-root.json
sign untimed.json --identity-token token --signing-config untimed-config.json --trusted-root untimed-root.json
verify untimed.json "$EMAIL" "$ISSUER" --trusted-root untimed-root.json

step "a bad token: the server's own words reach the user"
spoil_token token bad-token
refused "400.*token" sign bad.json --identity-token bad-token --signing-config "$SIGNING_CONFIG"
stop_mayfly
