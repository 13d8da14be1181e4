#!/usr/bin/env bash
# The key ceremony: from an empty directory to a signature, with the files of `mayfly init` as they are. Its certificates under
# the eyes of openssl, pkilint and zlint; and a root of openssl's that signs the request of `mayfly init --csr`.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir "$HOME" "$WORK/init"
start_dev # the identity provider, and nothing else of it
cd "$WORK/init"
date >blob
umask 077
echo 'correct horse' >root-passphrase
echo 'battery staple' >server-passphrase

# signs_and_verifies: with the files of this ceremony, and not with those of the development CA.
signs_and_verifies() {
  sign bundle.json
  verify bundle.json --use-signed-timestamps
  CLIENTS=$(dirname "$TRUSTED_ROOT") refused "leaf certificate verification failed" verify bundle.json
  leaf bundle.json >leaf.pem
}

# split_chain FILE: intermediate.pem and root.pem.
split_chain() {
  openssl x509 -in "$1" -out intermediate.pem
  sed '1,/END CERTIFICATE/d' "$1" | openssl x509 -out root.pem
}

step "mayfly init: keys encrypted, the root's by itself"
ceremony ca --root-passphrase file:root-passphrase --ca-passphrase file:server-passphrase
for key in root/root server/ca server/timestamp server/log; do grep -q 'BEGIN ENCRYPTED PRIVATE KEY' "ca/$key-key.pem" || fail "$key is not encrypted"; done
init=(--yes --organization 'Interop test' --host ca.example.com)
refused "is not empty" "$MAYFLY" init ca "${init[@]}" --insecure-unencrypted-root-key --no-passphrase
fingerprint=$(openssl x509 -in "$ROOT/root.pem" -noout -fingerprint -sha256 | cut -d= -f2)
grep -q "$fingerprint" summary || fail "the summary has another fingerprint than $fingerprint"
openssl pkey -in "$ROOT/root-key.pem" -passin file:root-passphrase -pubout -out from-key.pem
openssl x509 -in "$ROOT/root.pem" -noout -pubkey | cmp - from-key.pem
mv ca/root "$WORK/offline"

step "config check, serve, and cosign with the files for clients"
serve_ceremony
signs_and_verifies
verify bundle.json --use-signed-timestamps
openssl verify -CAfile "$WORK/offline/root.pem" -purpose timestampsign ca/server/timestamp.pem
"$MAYFLY" log verify --key ca/server/log.pem ca/server/log
stop_mayfly

step "openssl, pkilint and zlint, of every kind of key"
split_chain ca/server/ca.pem
openssl verify -CAfile root.pem -untrusted intermediate.pem leaf.pem
openssl verify -x509_strict -CAfile root.pem intermediate.pem
{ findings leaf leaf.pem && findings intermediate intermediate.pem && findings root root.pem; } | sort -u >found
cat found
all_allowed found
for kind in p256 rsa4096; do
  "$MAYFLY" init "$kind" "${init[@]}" --key-kind "$kind" --root-years 5 --no-passphrase \
    --root-passphrase file:root-passphrase >/dev/null
  split_chain "$kind/server/ca.pem"
  openssl verify -x509_strict -CAfile root.pem intermediate.pem
  { findings intermediate intermediate.pem && findings root root.pem; } | sort -u >found
  cat found
  all_allowed found
done

step "--csr: a root of openssl's signs the requests, by the extensions that are written beside them"
ceremony corporate --csr --ca-passphrase file:server-passphrase
openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 4000 -subj '/O=Corp/CN=Corp root' \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout corp-key.pem -out corp.pem 2>/dev/null
# sign_request NAME OUT [OPTION...]: with the root after it.
sign_request() {
  openssl req -in "corporate/request/$1.csr.pem" -verify -noout
  openssl x509 -req -in "corporate/request/$1.csr.pem" -CA corp.pem -CAkey corp-key.pem -days 3650 -sha384 -out "$2" "${@:3}"
  cat corp.pem >>"$2"
}
sign_request ca careless.pem
refused "not a CA" "$MAYFLY" init --chain careless.pem corporate
sign_request ca chain.pem -extfile corporate/request/ca-extensions.cnf
refused "say with --timestamp-chain" "$MAYFLY" init --chain chain.pem corporate
sign_request timestamp careless.pem
refused "timeStamping" "$MAYFLY" init --chain chain.pem --timestamp-chain careless.pem corporate
sign_request timestamp times.pem -extfile corporate/request/timestamp-extensions.cnf
"$MAYFLY" init --chain chain.pem --timestamp-chain times.pem corporate
openssl x509 -in chain.pem -out intermediate.pem
openssl verify -x509_strict -CAfile corp.pem intermediate.pem
openssl verify -x509_strict -purpose timestampsign -CAfile corp.pem times.pem
findings intermediate intermediate.pem | sort -u >found
cat found
all_allowed found
serve_ceremony
signs_and_verifies
openssl verify -CAfile corp.pem -untrusted intermediate.pem leaf.pem
stop_mayfly

step "the next intermediate, under the eyes of openssl, pkilint and zlint"
"$MAYFLY" intermediate next --root "$WORK/offline/root.pem" --root-key "$WORK/offline/root-key.pem" \
  --root-passphrase file:root-passphrase --ca-passphrase file:server-passphrase
split_chain next/ca.pem
cmp root.pem "$WORK/offline/root.pem"
openssl verify -x509_strict -CAfile root.pem intermediate.pem
findings intermediate intermediate.pem | sort -u >found
cat found
all_allowed found
MAYFLY_PID=$PROVIDER_PID
stop_mayfly
