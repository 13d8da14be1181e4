#!/usr/bin/env bash
# Our timestamp authority under OpenSSL's `ts` and HTTP client, rfc3161-client, cosign and osslsigncode: what it signs verifies, and
# a signature does so after its certificate has expired. (faketime starts Mayfly an hour in the past, so that cosign's clock is an hour ahead.)
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir "$HOME"
cd "$WORK"
start_dev
date >blob
URL=$API/api/v1/timestamp

step "the chain, and the same in the trusted root"
curl -sS --fail -o chain.pem "$URL/certchain"
awk '/BEGIN/ { n++ } { print > ("tsa" n ".pem") }' chain.pem
openssl verify -CAfile tsa2.pem -purpose timestampsign tsa1.pem
expect "$URL 2" "$(jq -r '.timestampAuthorities[0] | "\(.uri) \(.certChain.certificates | length)"' "$TRUSTED_ROOT")" "trusted root"
expect "$(openssl x509 -in tsa1.pem -outform DER | base64 -w0)" \
  "$(jq -r '.timestampAuthorities[0].certChain.certificates[0].rawBytes' "$TRUSTED_ROOT")" "the authority's certificate"

ask() { # TYPE QUERY REPLY
  curl -sS -o "$3" -w '%{http_code}' -H "Content-Type: $1" --data-binary "@$2" "$URL"
}

step "OpenSSL"
cp blob other && echo more >>other
for options in "-sha256 -cert" "-sha384 -cert" "-sha512 -cert" "-sha256 -cert -no_nonce" "-sha256" "-sha256 -cert -tspolicy 1.3.6.1.4.1.57264.2"; do
  echo "  $options"
  # shellcheck disable=SC2086  # several words
  openssl ts -query -data blob $options -out query.tsq 2>/dev/null
  expect 200 "$(ask application/timestamp-query query.tsq reply.tsr)" "status"
  openssl ts -verify -queryfile query.tsq -in reply.tsr -CAfile tsa2.pem -untrusted tsa1.pem 2>/dev/null | grep -q 'Verification: OK' ||
    fail "OpenSSL does not verify"
  refused "imprint|mismatch" openssl ts -verify -data other -in reply.tsr -CAfile tsa2.pem -untrusted tsa1.pem
done
openssl ts -reply -in reply.tsr -text 2>/dev/null >said
for line in 'Policy OID: 1.3.6.1.4.1.57264.2' 'Accuracy: 0x01 seconds' 'Ordering: no'; do
  grep -qF "$line" said || fail "OpenSSL does not read '$line': $(<said)"
done

step "OpenSSL reads our refusals"
openssl ts -query -data blob -sha1 -out sha1.tsq 2>/dev/null
expect 400 "$(ask application/timestamp-query sha1.tsq refused.tsr)" "SHA-1"
openssl ts -reply -in refused.tsr -text 2>/dev/null | tee refused
grep -q 'unrecognized or unsupported algorithm' refused || fail "no badAlg"
openssl ts -query -data blob -sha256 -tspolicy 1.2.3.4 -out policy.tsq 2>/dev/null
expect 400 "$(ask application/timestamp-query policy.tsq refused.tsr)" "another policy"
openssl ts -reply -in refused.tsr -text 2>/dev/null | grep -q 'policy is not supported' || fail "no unacceptedPolicy"

step "the JSON form, for the same file"
jq -n --arg hash "$(openssl dgst -sha256 -binary blob | base64 -w0)" \
  '{artifactHash: $hash, hashAlgorithm: "sha256", certificates: true, nonce: 1234567890123456789012}' >query.json
expect 200 "$(ask application/json query.json reply.tsr)" "status"
openssl ts -verify -data blob -in reply.tsr -CAfile tsa2.pem 2>/dev/null | grep -q 'Verification: OK' || fail "OpenSSL does not verify"

step "rfc3161-client"
"$CACHE/venv/bin/python" "$HERE/timestamp.py" "$URL" chain.pem
stop_mayfly

step "cosign, an hour later"
rm -rf data
clock_off -3600
start_dev
write_token token --email "$EMAIL"
verify_blob() {
  cosign verify-blob --trusted-root "$1" --insecure-ignore-tlog --bundle "$2" --certificate-identity "$EMAIL" \
    --certificate-oidc-issuer "$ISSUER" "${@:3}"
}
cosign sign-blob -y --identity-token token --signing-config "$SIGNING_CONFIG" --trusted-root "$TRUSTED_ROOT" --bundle bundle.json blob
jq -r .verificationMaterial.certificate.rawBytes bundle.json | base64 -d | openssl x509 -noout -enddate -checkend 0 &&
  fail "the certificate is still valid"
verify_blob "$TRUSTED_ROOT" bundle.json --use-signed-timestamps blob
refused "leaf certificate verification failed" verify_blob "$TRUSTED_ROOT" bundle.json blob

URL=$API/api/v1/timestamp
jq -r '.timestampAuthorities[0].certChain.certificates[1].rawBytes' "$TRUSTED_ROOT" | base64 -d |
  openssl x509 -inform DER -out authority.pem

step "an attestation, an hour later"
jq -n '{"a": "predicate"}' >predicate.json
cosign attest-blob -y --identity-token token --signing-config "$SIGNING_CONFIG" --trusted-root "$TRUSTED_ROOT" \
  --predicate predicate.json --type https://example.com/predicate --bundle attestation.json blob
cosign verify-blob-attestation --trusted-root "$TRUSTED_ROOT" --insecure-ignore-tlog --use-signed-timestamps \
  --bundle attestation.json --type https://example.com/predicate --certificate-identity "$EMAIL" \
  --certificate-oidc-issuer "$ISSUER" blob

# It asks by OpenSSL's HTTP client, which takes no other status than 200.
step "osslsigncode, an hour later"
echo 'Write-Output "hello"' >script.ps1
request_certificate token "$EMAIL" signer
cat signer/leaf.pem signer/intermediate.pem >signer/chain.pem
osslsigncode sign -certs signer/chain.pem -key key.pem -h sha256 -ts "$URL" -in script.ps1 -out signed.ps1
verify_script() { osslsigncode verify -CAfile signer/root.pem -TSA-CAfile "$1" -in "$2"; }
verify_script authority.pem signed.ps1
refused "verification: failed" verify_script signer/root.pem signed.ps1
osslsigncode sign -certs signer/chain.pem -key key.pem -h sha256 -in script.ps1 -out unstamped.ps1
refused "certificate has expired" verify_script authority.pem unstamped.ps1

step "no timestamp, another bundle's, an unknown authority's: refused"
jq 'del(.verificationMaterial.timestampVerificationData)' bundle.json >without.json
refused "timestamp" verify_blob "$TRUSTED_ROOT" without.json --use-signed-timestamps blob
jq --slurpfile other attestation.json '.verificationMaterial.timestampVerificationData =
  $other[0].verificationMaterial.timestampVerificationData' bundle.json >swapped.json
refused "timestamp" verify_blob "$TRUSTED_ROOT" swapped.json --use-signed-timestamps blob
jq '.timestampAuthorities = []' "$TRUSTED_ROOT" >no-authority.json
refused "timestamp" verify_blob no-authority.json bundle.json --use-signed-timestamps blob
stop_mayfly
