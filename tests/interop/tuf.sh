#!/usr/bin/env bash
# From an empty directory to a signature that a stranger verifies without a network, knowing nothing but the first root of our TUF
# repository; by cosign and sigstore-js. Then python-tuf, sigstore-python and cosign 2 take what they trust from it, and whoever changes something on
# the way is refused. (Mayfly's clock is an hour behind, so that its certificates expired long before they are verified.)
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir "$HOME"
cd "$WORK"
echo 'an artifact' >blob
PRESENT=$MAYFLY
clock_off -3600

step "mayfly init, and a TUF repository whose root takes two of three keys"
start_dev
(umask 077 && echo 'offline horse' >offline && echo 'online horse' >online)
ceremony ca --root-passphrase file:offline --no-passphrase
tuf() { "$MAYFLY" trust tuf "$@"; }
tuf init tuf --root-key r1.pem --root-key r2.pem --root-key r3.pem --root-threshold 2 --root-passphrase file:offline \
  --targets-key targets.pem --targets-passphrase file:offline --online-key online.pem --online-passphrase file:online
cp tuf/public/1.root.json .
cp -r tuf/public empty-public

step "what clients trust is published; the online key signs by itself, later"
tuf publish tuf --targets "$CLIENTS" --key targets.pem --passphrase file:offline | tee said
grep -q 'waits for signatures' said || fail "published without the online key"
tuf sign tuf --key online.pem --passphrase file:online --yes
cat >>"$CONFIG" <<YAML
tuf: {directory: $WORK/tuf, key: $WORK/online.pem, passphrase: "file:$WORK/online"}
YAML
serve_ceremony
MIRROR=$API/tuf

step "cosign: nothing but the first root, and where the mirror is"
cosign initialize --mirror "$MIRROR" --root 1.root.json
signed_by() { # BUNDLE, by options alone that say who signed
  cosign verify-blob --insecure-ignore-tlog --use-signed-timestamps --bundle "$1" --certificate-identity "$EMAIL" \
    --certificate-oidc-issuer "$ISSUER" "${2:-blob}"
}
attested_by() {
  cosign verify-blob-attestation --insecure-ignore-tlog --use-signed-timestamps --bundle "$1" --type https://example.com/predicate \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob
}
expired() { # BUNDLE
  leaf "$1" >leaf.pem
  expect "Certificate will expire" "$(openssl x509 -in leaf.pem -noout -checkend 0)" "the certificate's time is over"
}
write_token token --email "$EMAIL"
cosign sign-blob -y --identity-token token --bundle cosign.json blob
expired cosign.json
signed_by cosign.json
jq -n '{"a": "predicate"}' >predicate.json
cosign attest-blob -y --identity-token token --predicate predicate.json --type https://example.com/predicate --bundle attestation.json blob
attested_by attestation.json

step "sigstore-js: the same"
export NODE_EXTRA_CA_CERTS=$SSL_CERT_FILE
js_fetch() { # MIRROR FOLDER
  rm -rf "$2" && mkdir "$2"
  NODE_ROOT="$CACHE/node" node "$HERE/tuf.cjs" "$1" 1.root.json "$2/store" "$2"
}
js_fetch "$MIRROR" js
NODE_ROOT="$CACHE/node" node "$HERE/sigstore_js.cjs" js/signing_config.json js/trusted_root.json token "$EMAIL" "$ISSUER" js.json
expired js.json
signed_by js.json

step "sigstore-python takes the repository; sigstore-rust verifies by the trusted root in it"
"$CACHE/venv/bin/python" -m sigstore --instance "$MIRROR" trust-instance 1.root.json
"$CACHE/venv/bin/python" - "$MIRROR" js/trusted_root.json <<'PYTHON'
import json, sys
from pathlib import Path
from sigstore._internal.tuf import TrustUpdater
updater = TrustUpdater(sys.argv[1])
assert json.loads(Path(updater.get_trusted_root_path()).read_text()) == json.loads(Path(sys.argv[2]).read_text())
PYTHON

"$CACHE/sigstore-rust/debug/sigstore-rust-interop" "$API" "$API/api/v1/timestamp" token js/trusted_root.json "$EMAIL" "$ISSUER"

step "cosign 2: initialised, signed and verified"
cosign2() { HOME=$WORK/home2 "$CACHE/cosign2/cosign" "$@"; }
mkdir home2
cosign2 initialize --mirror "$MIRROR" --root 1.root.json
cosign2 sign-blob -y --identity-token token --fulcio-url "$API" --oidc-issuer "$ISSUER" --tlog-upload=false \
  --timestamp-server-url "$API/api/v1/timestamp" --rfc3161-timestamp timestamp.tsr --output-signature signature --output-certificate certificate blob
cosign2 verify-blob --insecure-ignore-tlog --use-signed-timestamps --rfc3161-timestamp timestamp.tsr --certificate certificate \
  --signature signature --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob

step "sigstore's first TUF client, of gitsign and older releases of cosign, finds the single files"
mkdir home1
HOME=$WORK/home1 tuf-legacy "$MIRROR" 1.root.json >legacy
hash() { sha256sum "$1" | cut -d' ' -f1; }
expect "Fulcio Active $(hash "$CLIENTS/ca.pem")
CTFE Active $(hash "$CLIENTS/ctlog-1.pem")
TSA Active $(hash "$CLIENTS/tsa.pem")" "$(<legacy)" "files by their usage"

step "python-tuf: all files, and what a mirror could do is refused"
python_tuf() { "$CACHE/venv/bin/python" "$HERE/tuf_client.py" "$@"; }
cp -r tuf/public before
expect "1 2 2 2" "$(python_tuf read 1.root.json before seen)" "versions of root, targets, snapshot and timestamp"
python_tuf hostile 1.root.json empty-public before
faketime -f +6d "$CACHE/venv/bin/python" "$HERE/tuf_client.py" read 1.root.json before frozen >/dev/null
faketime -f +7d "$CACHE/venv/bin/python" "$HERE/tuf_client.py" refuse ExpiredMetadataError 1.root.json before frozen

step "all keys are replaced, and every client follows from the first root"
tuf rotate tuf --root-key r4.pem --root-key r5.pem --root-passphrase file:offline --targets-key targets2.pem --targets-passphrase file:offline \
  --online-key online2.pem --online-passphrase file:online --key r1.pem --passphrase file:offline | tee said
grep -q 'root has 1 of the 2 that root 1 wants' said || fail "one old key was enough"
expect "1 2 2 2" "$(python_tuf read 1.root.json tuf/public seen)" "versions while signatures are missing"
tuf sign tuf --key r2.pem --key online2.pem --passphrase file:offline --passphrase file:online --yes
expect "2 3 3 3" "$(python_tuf read 1.root.json tuf/public seen)" "versions of root, targets, snapshot and timestamp"
signed_by cosign.json
js_fetch "$MIRROR" js
"$CACHE/venv/bin/python" -m sigstore --instance "$MIRROR" trust-instance 1.root.json
stop_mayfly

# stranger COPY COMMAND...: in a network namespace without a network, with a home that has seen nothing, and a copy of the repository at loopback: a
# client of TUF asks a mirror each time whether there is something newer.
stranger() {
  rm -rf stranger && mkdir stranger
  HOME=$WORK/stranger unshare --map-root-user --net bash -euo pipefail -c '
    ip link set lo up
    python3 -m http.server --bind 127.0.0.1 --directory "$1" 8080 >mirror.log 2>&1 &
    trap "kill $!" EXIT
    until curl -sS -o /dev/null http://127.0.0.1:8080/ 2>mirror-up.log; do sleep 0.05; done
    "${@:2}"' bash "$@"
}
by_cosign() { # signed_by or attested_by, and what that takes
  cosign initialize --mirror http://127.0.0.1:8080 --root 1.root.json
  "$@"
}
by_js() { # BUNDLE
  js_fetch http://127.0.0.1:8080 fetched
  CLIENTS=fetched js_verify "$1"
}
export -f signed_by attested_by js_fetch js_verify by_cosign by_js
export EMAIL ISSUER CACHE HERE WORK

step "a stranger, without a network"
cp -r tuf/public mirror
stranger mirror by_cosign attested_by attestation.json
for bundle in cosign.json js.json; do
  stranger mirror by_cosign signed_by $bundle
  stranger mirror by_js $bundle
done

step "an artifact or a bundle that somebody changed"
echo 'another artifact' >other
refused "invalid signature" stranger mirror by_cosign signed_by cosign.json other
changed() { # NAME JQ COSIGN JS: the bundle with this done to it, and how each refuses it
  jq --slurpfile other attestation.json "$2" cosign.json >"$1.json"
  refused "$3" stranger mirror by_cosign signed_by "$1.json"
  refused "$4" stranger mirror by_js "$1.json"
}
OTHER='$other[0].verificationMaterial'
changed untimed 'del(.verificationMaterial.timestampVerificationData)' "threshold not met for verified signed timestamps" "expected 1 timestamps, got 0"
changed swapped ".verificationMaterial.timestampVerificationData = $OTHER.timestampVerificationData" "hashed messages don't match" \
  "timestamp could not be verified"
changed certificate ".verificationMaterial.certificate = $OTHER.certificate" "invalid signature" "signature verification failed"

step "a mirror that somebody changed, somebody else's, and one that was not renewed"
cp -r mirror false
sed -i 's/"tlogs"/"TLOGS"/' false/targets/*.trusted_root.json
new_repository() { # NAME OPTION...
  tuf init "$1" --root-key "$1-r.pem" --targets-key "$1-t.pem" --online-key "$1-o.pem" --no-passphrase "${@:2}"
}
new_repository thief
refused_mirror() { # PUBLIC COSIGN JS
  refused "$2" stranger "$1" by_cosign signed_by cosign.json
  refused "$3" stranger "$1" by_js cosign.json
}
refused_mirror false "wrong sha256 hash" "Expected hash .* but got"
refused_mirror thief/public "valid signatures did not meet threshold" "timestamp was signed by 0/1 keys"
MAYFLY=$PRESENT
clock_off -$((2 * 24 * 3600))
new_repository stale --timestamp-days 1
cp stale/public/1.root.json .
refused_mirror stale/public "timestamp.json: expired at" "timestamp.json is expired"
