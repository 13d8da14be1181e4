#!/usr/bin/env bash
# A CA whose keys are all in hardware security modules, SoftHSM 2 in their place: the root's on one token, those of intermediate,
# log and timestamp authority on another. The ceremony, the operator's command, cosign as ever.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home" SOFTHSM2_CONF="$WORK/softhsm2.conf"
mkdir -p "$HOME" "$WORK/tokens"
cd "$WORK"
date >blob
MODULE=/usr/lib/softhsm/libsofthsm2.so
printf 'directories.tokendir = %s\nobjectstore.backend = file\n' "$WORK/tokens" >softhsm2.conf
PIN=not-to-be-seen
(umask 077 && printf '%s\n' "$PIN" >pin)

step "two tokens, and keys on them that never leave them"
for token in 'the root' 'the CA'; do
  softhsm2-util --init-token --free --label "$token" --so-pin 12345678 --pin "$PIN"
done
# keypair TOKEN LABEL ID TYPE
keypair() {
  pkcs11-tool --module "$MODULE" --token-label "$1" --login --pin "$PIN" --keypairgen --label "$2" --id "$3" --key-type "EC:$4"
}
keypair 'the root' root 01 secp384r1
keypair 'the CA' intermediate 01 prime256v1
keypair 'the CA' log 02 prime256v1
keypair 'the CA' timestamp 03 prime256v1
uri() { echo "pkcs11:token=${1// /%20};object=$2?module-path=$MODULE"; }

step "mayfly init with them, and mayfly serve: without the root's token"
start_dev
ceremony ca --root-key "$(uri 'the root' root)&pin-source=file:$WORK/pin" --ca-key "$(uri 'the CA' intermediate)" \
  --log-key "$(uri 'the CA' log)" --the-key-never-signed-for-a-log --timestamp-key "$(uri 'the CA' timestamp)" \
  --ca-passphrase file:pin --log-passphrase file:pin --timestamp-passphrase file:pin
if compgen -G 'ca/*/*-key.pem' >keys; then fail "keys in files: $(<keys)"; fi
mkdir offline gone
mv "$(dirname "$(grep -lr 'the root' tokens | head -n 1)")" offline/
serve_ceremony
if grep -q CKA_EXTRACTABLE serve.log; then fail "a key is said to be extractable"; fi

step "cosign signs and verifies"
sign bundle.json
verify bundle.json
openssl verify -CAfile "$ROOT/root.pem" -untrusted ca/server/ca.pem -ignore_critical <(leaf bundle.json)

step "a TUF repository whose keys are on tokens, and a server that signs with one"
cp -r offline/* tokens/
keypair 'the root' tuf-root 02 prime256v1
keypair 'the root' tuf-targets 03 prime256v1
keypair 'the CA' tuf-online 04 prime256v1
"$MAYFLY" trust tuf init tuf --root-key "$(uri 'the root' tuf-root)" --targets-key "$(uri 'the root' tuf-targets)" \
  --online-key "$(uri 'the CA' tuf-online)" --root-passphrase file:pin --targets-passphrase file:pin --online-passphrase file:pin
printf 'tuf: {directory: %s/tuf, key: "%s", passphrase: "file:%s/pin"}\n' "$WORK" "$(uri 'the CA' tuf-online)" "$WORK" >>"$CONFIG"
stop_mayfly
serving "$CONFIG"
"$MAYFLY" trust tuf publish tuf --targets "$CLIENTS" --key "$(uri 'the root' tuf-targets)" --passphrase file:pin
rm -r "tokens/$(basename offline/*)"
for _ in {1..60}; do curl -sS --fail -o targets.json "$API/tuf/2.targets.json" 2>curl.log && break || sleep 0.5; done
cosign initialize --mirror "$API/tuf" --root tuf/public/1.root.json
write_token token --email "$EMAIL"
cosign sign-blob -y --identity-token token --bundle by-tuf.json blob
verify by-tuf.json

step "the token goes away: no certificate, no 500; it comes back: certificates again, without a restart"
mv tokens elsewhere
expect 503 "$(status)" "status while the token is away"
mv elsewhere tokens
signs_again again.json

step "another token takes the place of the first: the root's comes back for an hour, and certifies the key there"
softhsm2-util --init-token --free --label 'the next CA' --so-pin 12345678 --pin "$PIN"
keypair 'the next CA' intermediate 01 prime256v1
cp -r offline/* tokens/
"$MAYFLY" intermediate next --root "$ROOT/root.pem" --root-key "$(uri 'the root' root)" --root-passphrase file:pin \
  --ca-key "$(uri 'the next CA' intermediate)" --ca-passphrase file:pin
mv next/ca.pem ca/server/next.pem
sed -i 's/chain: ca\.pem/chain: next.pem/; s/the%20CA;object=intermediate/the%20next%20CA;object=intermediate/' "$CONFIG"
in_force
curl -sS --fail -o "$CLIENTS/trusted_root.json" "$API/trust/trusted_root.json"
sign next.json
verify next.json
openssl verify -CAfile "$ROOT/root.pem" -untrusted ca/server/next.pem -ignore_critical <(leaf next.json)
refused "unable to get" openssl verify -CAfile "$ROOT/root.pem" -ignore_critical <(leaf next.json)
stop_mayfly
"$MAYFLY" log verify --key ca/server/log.pem ca/server/log

step "a wrong PIN, and no token: the server does not start, and says why"
printf wrong >pin
refused "the token refused the PIN" "$MAYFLY" serve --config "$CONFIG"
printf %s "$PIN" >pin
mv tokens/* gone/
refused "no token fits the URI" "$MAYFLY" serve --config "$CONFIG"
if grep -q "$PIN" serve.log answer.json; then fail "the PIN is in the log"; fi
MAYFLY_PID=$PROVIDER_PID
stop_mayfly
