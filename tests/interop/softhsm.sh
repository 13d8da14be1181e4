#!/usr/bin/env bash
# A CA whose intermediate is in a hardware security module: SoftHSM 2 in its place, the operator's command before it, cosign
# as ever.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home" SOFTHSM2_CONF="$WORK/softhsm2.conf"
mkdir -p "$HOME" "$WORK/tokens"
cd "$WORK"
date >blob
MODULE=/usr/lib/softhsm/libsofthsm2.so
printf 'directories.tokendir = %s\nobjectstore.backend = file\n' "$WORK/tokens" >softhsm2.conf
PIN=not-to-be-seen

sign() { cosign sign-blob -y --trusted-root trusted_root.json --signing-config signing_config.json --identity-token token --bundle "$1" blob; }
verify() {
  cosign verify-blob --trusted-root trusted_root.json --insecure-ignore-tlog --bundle "$1" \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob
}

# status: what a request for a certificate is answered with. (cosign garbles a 503: "read on closed response body".)
status() {
  challenge_request token "$EMAIL" request.json
  curl -sS -o answer.json -w '%{http_code}' -H 'Content-Type: application/json' --data-binary @request.json "$API/api/v2/signingCert"
}

step "a token, and a key on it that never leaves it"
softhsm2-util --init-token --free --label 'the CA' --so-pin 12345678 --pin "$PIN"
pkcs11() { pkcs11-tool --module "$MODULE" --token-label 'the CA' --login --pin "$PIN" "$@"; }
pkcs11 --keypairgen --key-type EC:prime256v1 --label intermediate --id 01
pkcs11 --read-object --type pubkey --label intermediate --output-file ca.der
openssl pkey -pubin -inform DER -in ca.der -out ca.pub
(umask 077 && printf '%s\n' "$PIN" >pin)

step "mayfly serve with it"
start_dev
write_token token --email "$EMAIL"
DEV_PID=$MAYFLY_PID
ca_certificates ca.pub
serve_with_ca_key "pkcs11:token=the%20CA;object=intermediate?module-path=$MODULE&pin-source=file:$WORK/pin"
if grep -q CKA_EXTRACTABLE serve.log; then fail "the key is said to be extractable"; fi

step "cosign signs and verifies"
sign bundle.json
verify bundle.json
openssl verify -CAfile root.pem -untrusted intermediate.pem -ignore_critical \
  <(jq -er .verificationMaterial.certificate.rawBytes bundle.json | base64 -d | openssl x509)

step "the token goes away: no certificate, no 500; it comes back: certificates again, without a restart"
mv tokens elsewhere
expect 503 "$(status)" "status while the token is away"
mv elsewhere tokens
deadline=$((SECONDS + 40))
until sign again.json 2>again.log; do
  ((SECONDS < deadline)) || fail "no certificate after the token came back: $(<again.log)"
  sleep 1
done
verify again.json
stop_mayfly

step "the log's key moves there too"
softhsm2-util --import log-key.pem --token 'the CA' --label log --id 02 --pin "$PIN"
mv log-key.pem moved.pem
sed -i "s|key: log-key.pem|key: \"pkcs11:token=the%20CA;object=log?module-path=$MODULE\", passphrase: file:pin|" mayfly.yaml
"$MAYFLY" serve --config mayfly.yaml >>serve.log 2>&1 &
MAYFLY_PID=$!
PIDS+=("$MAYFLY_PID")
deadline=$((SECONDS + 60))
until curl -sS --fail -o ready.json "$API/readyz" 2>curl.log; do
  ((SECONDS < deadline)) || fail "not ready: $(<curl.log) $(cat ready.json)"
  sleep 0.2
done
sign log.json
verify log.json
stop_mayfly
"$(dirname "$MAYFLY")/ct-log" verify --key log.pem log

step "a wrong PIN, and no token: the server does not start, and says why"
printf wrong >pin
refused "the token refused the PIN" "$MAYFLY" serve --config mayfly.yaml
printf %s "$PIN" >pin
mv tokens/* "$WORK/"
refused "no token fits the URI" "$MAYFLY" serve --config mayfly.yaml
if grep -q "$PIN" serve.log answer.json; then fail "the PIN is in the log"; fi
MAYFLY_PID=$DEV_PID
stop_mayfly
