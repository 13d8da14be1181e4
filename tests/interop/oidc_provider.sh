#!/usr/bin/env bash
# Somebody else's identity provider, and the operator's command: npm oidc-provider (certified OpenID) on
# https://localhost is the issuer of `mayfly serve` with TLS; cosign logs in there, unattended, and signs.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir -p "$HOME" "$WORK/bin"
cd "$WORK"
date >blob

step "a TLS authority that this machine trusts, a certificate for localhost"
printf '[req]\ndistinguished_name = dn\n[dn]\n' >req.cnf
new_certificate() { openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "$@" 2>/dev/null; }
new_certificate -subj '/CN=interop TLS' -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
  -keyout authority.key -out authority.pem
new_certificate -subj /CN=localhost -CA authority.pem -CAkey authority.key -addext basicConstraints=critical,CA:FALSE \
  -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout tls.key -out tls.pem
trusting() { SSL_CERT_FILE="$WORK/authority.pem" "$@"; }

step "the provider"
NODE_ROOT="$CACHE/node" start_server provider node "$HERE/oidc_provider.mjs" tls.pem tls.key
PROVIDER=$(ready issuer)
trusting curl -sS --fail --cacert authority.pem "$PROVIDER/.well-known/openid-configuration" | jq -r .issuer

step "mayfly serve, with the CA and log of a development directory"
start_dev
stop_mayfly
start_serve "$PROVIDER" localhost tls.pem tls.key "$WORK/authority.pem"

step "cosign logs in there and signs"
jq --arg api "$API" --arg issuer "$PROVIDER" \
  '.caUrls[0].url = $api | .oidcUrls[0].url = $issuer | .tsaUrls[0].url = $api + "/api/v1/timestamp"' "$SIGNING_CONFIG" \
  >signing_config.json
cat >bin/xdg-open <<SH
#!/usr/bin/env bash
python3 "$HERE/browser.py" "\$1" "$EMAIL" >"$WORK/browser.log" 2>&1 &
SH
chmod +x bin/xdg-open
PATH="$WORK/bin:$PATH" trusting timeout 120 cosign sign-blob -y --fulcio-auth-flow normal --signing-config signing_config.json \
  --trusted-root "$TRUSTED_ROOT" --bundle bundle.json blob </dev/null
cat browser.log
cosign verify-blob --trusted-root "$TRUSTED_ROOT" --insecure-ignore-tlog --use-signed-timestamps --bundle bundle.json \
  --certificate-identity "$EMAIL" --certificate-oidc-issuer "$PROVIDER" blob
refused "identit" cosign verify-blob --trusted-root "$TRUSTED_ROOT" --insecure-ignore-tlog --bundle bundle.json \
  --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob

step "a token of the development provider is not trusted here"
write_token token --email "$EMAIL"
refused "400.*issuer" trusting cosign sign-blob -y --identity-token token --signing-config signing_config.json \
  --trusted-root "$TRUSTED_ROOT" --bundle refused.json blob

step "gRPC over TLS"
grpc_serving -cacert authority.pem "${API#https://}"

step "the audit: one record for each of the CA's two signatures, and nothing for the refusal"
jq -c . audit.jsonl
expect 2 "$(wc -l <audit.jsonl)" "audit records"
expect "$PROVIDER $PROVIDER" "$(jq -r '.. | strings | select(startswith("https://localhost"))' audit.jsonl | xargs)" "issuers in the audit"
stop_mayfly
