#!/usr/bin/env bash
# C20: OpenSSL, as a stack that shares no code with ours: chain, profile, and the SCT as it
# prints them. (The SCT's signature is checked by the sigstore clients and by the log's own test.)
source "$(dirname "$0")/lib.sh"
start_dev
write_token "$WORK/token" --email "$EMAIL"
request_certificate "$WORK/token" "$EMAIL" "$WORK/c"
cd "$WORK/c"

step "the chain verifies, strictly"
openssl verify -x509_strict -CAfile root.pem -untrusted intermediate.pem leaf.pem
refused "unable to get (local )?issuer" openssl verify -CAfile root.pem leaf.pem

step "the profile as OpenSSL prints it"
text=$(openssl x509 -in leaf.pem -noout -text)
has() { grep -qE -- "$1" <<<"$text" || fail "not in the certificate: $1
$text"; }
has 'Subject: *$'
has 'X509v3 Key Usage: critical'
has 'Digital Signature$'
has 'X509v3 Extended Key Usage: *$'
has 'Code Signing$'
has 'X509v3 Subject Alternative Name: critical'
has "email:$EMAIL"
has '1\.3\.6\.1\.4\.1\.57264\.1\.8'
expect "$(openssl x509 -in intermediate.pem -noout -ext subjectKeyIdentifier | tail -n1 | tr -d ' ')" \
  "$(openssl x509 -in leaf.pem -noout -ext authorityKeyIdentifier | tail -n1 | tr -d ' ' | sed 's/^keyid://')" \
  "authority key identifier"
openssl x509 -in leaf.pem -noout -checkend 540 >/dev/null || fail "lives less than nine minutes"
if openssl x509 -in leaf.pem -noout -checkend 601 >/dev/null; then fail "lives longer than ten minutes"; fi
expect "$(openssl pkey -pubin -in "$WORK/key.pub" -outform DER | sha256sum)" \
  "$(openssl x509 -in leaf.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum)" "certified key"

step "one SCT, by the log of the trusted root"
sct=$(openssl x509 -in leaf.pem -noout -ext ct_precert_scts)
echo "$sct"
expect 1 "$(grep -c 'Signed Certificate Timestamp' <<<"$sct")" "number of SCTs"
grep -q 'Signature : ecdsa-with-SHA256' <<<"$sct" || fail "SCT is not ECDSA with SHA-256"
log_id=$(sed -n '/Log ID/,/Timestamp/{/Timestamp/d;s/.*Log ID *://;p}' <<<"$sct" | tr -dc '0-9A-F' | tr A-F a-f)
expect "$(jq -r '.ctlogs[0].logId.keyId' "$TRUSTED_ROOT" | base64 -d | od -An -tx1 | tr -d ' \n')" "$log_id" "log id"

step "CA certificates"
for ca in intermediate root; do
  text=$(openssl x509 -in $ca.pem -noout -text)
  has 'X509v3 Basic Constraints: critical'
  has 'CA:TRUE'
  has 'Certificate Sign, CRL Sign'
done
text=$(openssl x509 -in intermediate.pem -noout -text)
has 'pathlen:0'
has 'Code Signing'
stop_mayfly
