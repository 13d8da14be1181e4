#!/usr/bin/env bash
# A CA whose intermediate is in the Transit engine of OpenBao: the operator's command before it, cosign as ever.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir -p "$HOME"
cd "$WORK"
date >blob

step "the server, a key, and a token that may do what docs/keys.md says it must"
PORT=$(free_port)
export BAO_ADDR="http://127.0.0.1:$PORT" BAO_TOKEN=root
bao server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$PORT" >bao.log 2>&1 &
PIDS+=("$!")
deadline=$((SECONDS + 30))
until bao secrets enable transit >enable.log 2>&1; do
  ((SECONDS < deadline)) || fail "OpenBao does not answer: $(<enable.log)"
  sleep 0.2
done
bao write -f transit/keys/ca type=ecdsa-p384
bao policy write mayfly - <<HCL
path "transit/keys/ca" { capabilities = ["read"] }
path "transit/sign/ca" { capabilities = ["update"] }
HCL
export VAULT_ADDR="$BAO_ADDR"
VAULT_TOKEN=$(bao token create -policy=mayfly -no-default-policy -field=token)
export VAULT_TOKEN

step "mayfly init with it, and mayfly serve"
(umask 077 && echo 'correct horse' >passphrase)
start_dev
ceremony ca --root-passphrase file:passphrase --log-passphrase file:passphrase --ca-key hashivault://ca
serve_ceremony

step "cosign signs and verifies"
sign bundle.json
verify bundle.json
openssl verify -CAfile "$ROOT/root.pem" -untrusted ca/server/ca.pem -ignore_critical <(leaf bundle.json)

step "the key is rotated there: the CA's key stays the version of its certificate"
bao write -f transit/keys/ca/rotate >/dev/null
sign rotated.json
verify rotated.json

step "the server is sealed: no certificate, no 500; it is unsealed: certificates again, without a restart"
bao operator seal
expect 503 "$(status)" "status while it is sealed"
grep -q "Vault is sealed" serve.log || fail "the log does not say why"
bao operator unseal "$(sed -n 's/^Unseal Key: //p' bao.log)" >/dev/null
signs_again again.json

step "the token is revoked: refused; nothing shows it"
bao token revoke "$VAULT_TOKEN"
expect 503 "$(status)" "status with a revoked token"
grep -q "Vault refuses the token" serve.log || fail "the log does not say why"
stop_mayfly
refused "Vault refuses the token" "$MAYFLY" serve --config "$CONFIG"
if grep -q "$VAULT_TOKEN" serve.log answer.json; then fail "the token is in the log"; fi
MAYFLY_PID=$PROVIDER_PID
stop_mayfly
