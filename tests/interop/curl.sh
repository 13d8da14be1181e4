#!/usr/bin/env bash
# curl, for what clients compare literally: status codes, content types, the shape of bodies.
source "$(dirname "$0")/lib.sh"
start_dev
write_token "$WORK/token" --email "$EMAIL"
challenge_request "$WORK/token" "$EMAIL" "$WORK/v2.json"

# send PATH CURL-ARGUMENTS...: sets STATUS, TYPE; the body is in $WORK/body.
send() {
  local path=$1 written
  shift
  written=$(curl -sS -o "$WORK/body" -D "$WORK/headers" -w '%{http_code} %{content_type}' "$@" "$API$path")
  STATUS=${written%% *} TYPE=${written#* }
}
post() { send "$1" -H 'Content-Type: application/json' --data-binary "@$2" "${@:3}"; }
answered() {
  [[ $STATUS == "$1" && $TYPE == "$2"* ]] || fail "wanted $1 $2, got $STATUS $TYPE: $(<"$WORK/body")"
}

step "v2: 200, one camelCase key, chain to the root"
for http in --http1.1 --http2-prior-knowledge; do
  post /api/v2/signingCert "$WORK/v2.json" "$http"
  answered 200 application/json
done
expect signedCertificateEmbeddedSct "$(jq -r 'keys | join(",")' "$WORK/body")" "keys of the body"
expect 3 "$(jq '.signedCertificateEmbeddedSct.chain.certificates | length' "$WORK/body")" "certificates"
expect 1 "$(jq -r '.signedCertificateEmbeddedSct.chain.certificates[0]' "$WORK/body" | grep -c BEGIN)" "PEM blocks in one element"

step "v2: Accept is ignored, the token may be in the header"
jq 'del(.credentials)' "$WORK/v2.json" >"$WORK/no-token.json"
post /api/v2/signingCert "$WORK/no-token.json" -H "Authorization: Bearer $(<"$WORK/token")" \
  -H 'Accept: application/pem-certificate-chain'
answered 200 application/json

step "v2: public key as one unwrapped line, unknown algorithm names"
jq '.publicKeyRequest.publicKey |= {algorithm: "RSA", content: (.content | split("\n") | map(select(. != "")) |
  .[0] + "\n" + (.[1:-1] | join("")) + "\n" + .[-1])}' "$WORK/v2.json" >"$WORK/one-line.json"
post /api/v2/signingCert "$WORK/one-line.json"
answered 200 application/json

step "v1: 201 and PEM, leaf first"
for content in "$(base64 -w0 <"$WORK/key.pub")" "$(openssl pkey -pubin -in "$WORK/key.pub" -outform DER | base64 -w0)"; do
  jq -n --arg content "$content" --arg proof "$(sign_base64 "$EMAIL")" \
    '{publicKey: {content: $content, algorithm: "ecdsa"}, signedEmailAddress: $proof, certificateSigningRequest: null}' >"$WORK/v1.json"
  post /api/v1/signingCert "$WORK/v1.json" -H "Authorization: Bearer $(<"$WORK/token")"
  answered 201 application/pem-certificate-chain
done
expect 3 "$(grep -c BEGIN "$WORK/body")" "certificates in the v1 body"
openssl x509 -in "$WORK/body" -noout -text | grep -q "email:$EMAIL" || fail "the first certificate is not the leaf"

step "v1 and v2 by certificate signing request"
openssl req -new -key "$WORK/key.pem" -subj /CN=ignored -out "$WORK/csr.pem"
jq -n --arg csr "$(base64 -w0 <"$WORK/csr.pem")" '{certificateSigningRequest: $csr}' >"$WORK/csr.json"
post /api/v2/signingCert "$WORK/csr.json" -H "Authorization: Bearer $(<"$WORK/token")"
answered 200 application/json
post /api/v1/signingCert "$WORK/csr.json" -H "Authorization: Bearer $(<"$WORK/token")"
answered 201 application/pem-certificate-chain

step "trust bundle, root certificate, configuration"
send /api/v2/trustBundle
answered 200 application/json
expect 2 "$(jq '.chains[0].certificates | length' "$WORK/body")" "certificates in the trust bundle"
send /api/v1/rootCert
answered 200 application/pem-certificate-chain
expect 2 "$(grep -c BEGIN "$WORK/body")" "certificates of rootCert"
send /api/v2/configuration
answered 200 application/json
jq -e --arg issuer "$ISSUER" '.issuers[] | select(.issuerUrl == $issuer) | .audience == "sigstore" and .challengeClaim == "email"' \
  "$WORK/body" >/dev/null || fail "the provider is not in the configuration: $(<"$WORK/body")"

step "health"
send /healthz
[[ $STATUS == 200 ]] || fail "healthz: $STATUS"
send /readyz
[[ $STATUS == 200 ]] || fail "readyz: $STATUS $(<"$WORK/body")"

step "refusals: 400, gRPC status as JSON, a reason, no token in the answer"
# refusal CODE PATTERN FILE CURL-ARGUMENTS...
refusal() {
  post /api/v2/signingCert "$3" "${@:4}"
  answered 400 application/json
  expect "$1" "$(jq '.code' "$WORK/body")" "code"
  jq -e '.details | type == "array"' "$WORK/body" >/dev/null || fail "details is no array: $(<"$WORK/body")"
  jq -r .message "$WORK/body" | grep -qiE -- "$2" || fail "message lacks '$2': $(<"$WORK/body")"
  if grep -qF "$(cut -d. -f3 "$WORK/token")" "$WORK/body"; then fail "the token is in the answer"; fi
  jq -r .message "$WORK/body"
}
refusal 3 'token' "$WORK/no-token.json"
spoil_token "$WORK/token" "$WORK/bad-token"
refusal 3 'token' "$WORK/no-token.json" -H "Authorization: Bearer $(<"$WORK/bad-token")"
jq '.publicKeyRequest.proofOfPossession = "'"$(sign_base64 other@example.com)"'"' "$WORK/v2.json" >"$WORK/bad-proof.json"
refusal 3 'signature|proof' "$WORK/bad-proof.json"
echo '{' >"$WORK/broken.json"
post /api/v2/signingCert "$WORK/broken.json"
answered 400 application/json
expect 3 "$(jq .code "$WORK/body")" "code of broken JSON"
send /api/v2/nothing
answered 404 application/json

step "metrics under Fulcio's names: a histogram of latencies, one series of certificates"
curl -sS --fail "$METRICS" >"$WORK/metrics"
grep -q '^# TYPE fulcio_api_latency histogram' "$WORK/metrics" || fail "no histogram fulcio_api_latency"
grep -q '^fulcio_api_latency_count{code="201",method="post"} 3$' "$WORK/metrics" || fail "not three answers with 201: $(grep _count "$WORK/metrics")"
grep -q '^# TYPE fulcio_new_certs counter' "$WORK/metrics" || fail "no counter fulcio_new_certs"
expect "fulcio_new_certs 8" "$(grep '^fulcio_new_certs' "$WORK/metrics")" "certificates counted"

step "CORS is open"
send /api/v2/signingCert -X OPTIONS -H 'Origin: https://example.com' -H 'Access-Control-Request-Method: POST' \
  -H 'Access-Control-Request-Headers: authorization,content-type'
grep -qi '^access-control-allow-origin: \*' "$WORK/headers" || fail "no CORS: $(<"$WORK/headers")"

step "the next good request works"
post /api/v2/signingCert "$WORK/v2.json"
answered 200 application/json
stop_mayfly
