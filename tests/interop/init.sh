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

# serving CONFIG: `mayfly serve`, once it is ready at API.
serving() {
  "$MAYFLY" serve --config "$1" >"$WORK/serve.log" 2>&1 &
  SERVE_PID=$!
  PIDS+=("$SERVE_PID")
  local deadline=$((SECONDS + 60))
  until curl -sS --fail --cacert tls.pem -o ready.json "$API/readyz" 2>curl.log; do
    kill -0 "$SERVE_PID" || fail "mayfly serve ended"
    ((SECONDS < deadline)) || fail "not ready: $(<curl.log) $(cat ready.json)"
    sleep 0.2
  done
}

stop_serving() {
  local status=0
  kill -TERM "$SERVE_PID"
  wait "$SERVE_PID" || status=$?
  expect 0 "$status" "exit code after SIGTERM"
}

# with_tls FOLDER: the `tls` section of its mayfly.yaml, which stands there as a comment, and no port for metrics.
with_tls() {
  cp tls.pem tls-key.pem "$1/server/"
  sed -i -E '/^# (tls:|  certificate:|  key: tls)/s/^# //; s/^metrics-listen: .*/metrics-listen: "off"/' "$1/server/mayfly.yaml"
  grep -q '^tls:' "$1/server/mayfly.yaml" || fail "no tls section"
}

# signs_and_verifies FOLDER: cosign, with the files for clients as they are.
signs_and_verifies() {
  local clients=$1/clients
  write_token token --email "$EMAIL"
  SSL_CERT_FILE=tls.pem cosign sign-blob -y --identity-token token --signing-config "$clients/signing_config.json" \
    --trusted-root "$clients/trusted_root.json" --bundle bundle.json blob
  cosign verify-blob --trusted-root "$clients/trusted_root.json" --insecure-ignore-tlog --bundle bundle.json \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob
  refused "identit|certificate" cosign verify-blob --trusted-root "$TRUSTED_ROOT" --insecure-ignore-tlog --bundle bundle.json \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob
  jq -r .verificationMaterial.certificate.rawBytes bundle.json | base64 -d | openssl x509 -out leaf.pem
}

# split_chain FILE: intermediate.pem and root.pem.
split_chain() {
  openssl x509 -in "$1" -out intermediate.pem
  sed '1,/END CERTIFICATE/d' "$1" | openssl x509 -out root.pem
}

step "a certificate for the server"
printf '[req]\ndistinguished_name = dn\n[dn]\n' >req.cnf
openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:TRUE -keyout tls-key.pem -out tls.pem 2>/dev/null

step "mayfly init: keys encrypted, the root's by itself"
port=$(free_port)
API=https://localhost:$port
init=(--yes --organization 'Interop test' --issuer "$ISSUER" --client-id sigstore --private-issuer)
"$MAYFLY" init ca "${init[@]}" --host "localhost:$port" --listen "127.0.0.1:$port" \
  --root-passphrase file:root-passphrase --ca-passphrase file:server-passphrase | tee summary
for key in root/root server/ca server/log; do grep -q 'BEGIN ENCRYPTED PRIVATE KEY' "ca/$key-key.pem" || fail "$key is not encrypted"; done
refused "is not empty" "$MAYFLY" init ca "${init[@]}" --host localhost --insecure-unencrypted-root-key --no-passphrase
fingerprint=$(openssl x509 -in ca/root/root.pem -noout -fingerprint -sha256 | cut -d= -f2)
grep -q "$fingerprint" summary || fail "the summary has another fingerprint than $fingerprint"
openssl pkey -in ca/root/root-key.pem -passin file:root-passphrase -pubout -out from-key.pem
openssl x509 -in ca/root/root.pem -noout -pubkey | cmp - from-key.pem
mv ca/root "$WORK/offline"

step "config check, serve, and cosign with the files for clients"
with_tls ca
"$MAYFLY" config check --online --config ca/server/mayfly.yaml
serving ca/server/mayfly.yaml
signs_and_verifies ca
"$MAYFLY" log verify --key ca/server/log.pem ca/server/log
stop_serving

step "openssl, pkilint and zlint, of every kind of key"
split_chain ca/server/ca.pem
openssl verify -CAfile root.pem -untrusted intermediate.pem leaf.pem
openssl verify -x509_strict -CAfile root.pem intermediate.pem
{ findings leaf leaf.pem && findings intermediate intermediate.pem && findings root root.pem; } | sort -u >found
cat found
all_allowed found
for kind in p256 rsa4096; do
  "$MAYFLY" init "$kind" "${init[@]}" --host ca.example.com --ca-key "$kind" --root-years 5 --no-passphrase \
    --root-passphrase file:root-passphrase >/dev/null
  split_chain "$kind/server/ca.pem"
  openssl verify -x509_strict -CAfile root.pem intermediate.pem
  { findings intermediate intermediate.pem && findings root root.pem; } | sort -u >found
  cat found
  all_allowed found
done

step "--csr: a root of openssl's signs the request, by the extensions that are written beside it"
port=$(free_port)
API=https://localhost:$port
"$MAYFLY" init corporate "${init[@]}" --csr --host "localhost:$port" --listen "127.0.0.1:$port" \
  --ca-passphrase file:server-passphrase
openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 4000 -subj '/O=Corp/CN=Corp root' \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout corp-key.pem -out corp.pem 2>/dev/null
sign_request() { openssl x509 -req -in corporate/request/ca.csr.pem -CA corp.pem -CAkey corp-key.pem -days 3650 -sha384 "$@"; }
openssl req -in corporate/request/ca.csr.pem -verify -noout
sign_request -out careless.pem
cat careless.pem corp.pem >chain.pem
refused "not a CA" "$MAYFLY" init --chain chain.pem corporate
sign_request -extfile corporate/request/ca-extensions.cnf -out intermediate.pem
cat intermediate.pem corp.pem >chain.pem
"$MAYFLY" init --chain chain.pem corporate
openssl verify -x509_strict -CAfile corp.pem intermediate.pem
findings intermediate intermediate.pem | sort -u >found
cat found
all_allowed found
with_tls corporate
serving corporate/server/mayfly.yaml
signs_and_verifies corporate
openssl verify -CAfile corp.pem -untrusted intermediate.pem leaf.pem
stop_serving

step "the next intermediate: the root's key comes back for an hour, and signs with openssl"
"$MAYFLY" init next "${init[@]}" --csr --host ca.example.com --no-passphrase >/dev/null
openssl x509 -req -in next/request/ca.csr.pem -CA "$WORK/offline/root.pem" -CAkey "$WORK/offline/root-key.pem" \
  -passin file:root-passphrase -days 1825 -sha384 -extfile next/request/ca-extensions.cnf -out next.pem
cat next.pem "$WORK/offline/root.pem" >chain.pem
"$MAYFLY" init --chain chain.pem next
stop_mayfly
