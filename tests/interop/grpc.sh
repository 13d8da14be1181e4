#!/usr/bin/env bash
# gRPC by grpcurl (Go): what it learns by reflection, health, every method, errors; over h2c here, and over TLS in
# oidc_provider.
source "$(dirname "$0")/lib.sh"
start_dev
AUTHORITY=${API#http://}
CA=dev.sigstore.fulcio.v2.CA
call() { grpcurl -plaintext -d "${2:-}" "$AUTHORITY" "$1"; }

step "reflection"
grpcurl -plaintext "$AUTHORITY" list | tee "$WORK/services"
for service in "$CA" grpc.health.v1.Health; do grep -qx "$service" "$WORK/services" || fail "no $service"; done
methods=$(grpcurl -plaintext "$AUTHORITY" list "$CA" | sed 's/.*\.//' | sort | tr '\n' ' ')
expect "CreateSigningCertificate GetConfiguration GetTrustBundle " "$methods" "methods of the CA"

step "health"
grpc_serving -plaintext "$AUTHORITY"
expect SERVING "$(call grpc.health.v1.Health/Check "{\"service\": \"$CA\"}" | jq -r .status)" "health of the CA"

step "configuration and trust bundle"
call $CA/GetConfiguration | jq -e --arg issuer "$ISSUER" '.issuers[] | select(.issuerUrl == $issuer) | .audience == "sigstore"' >/dev/null
expect 2 "$(call $CA/GetTrustBundle | jq '.chains[0].certificates | length')" "certificates in the trust bundle"

step "a certificate"
write_token "$WORK/token" --email "$EMAIL"
challenge_request "$WORK/token" "$EMAIL" "$WORK/request.json"
call $CA/CreateSigningCertificate "$(<"$WORK/request.json")" >"$WORK/response.json"
expect 3 "$(jq '.signedCertificateEmbeddedSct.chain.certificates | length' "$WORK/response.json")" "certificates"
jq -r '.signedCertificateEmbeddedSct.chain.certificates[0]' "$WORK/response.json" |
  openssl x509 -noout -text | grep -q "email:$EMAIL" || fail "the first certificate is not the leaf"

step "the token as metadata, as HTTP clients send it"
grpcurl -plaintext -H "authorization: Bearer $(<"$WORK/token")" -d "$(jq 'del(.credentials)' "$WORK/request.json")" \
  "$AUTHORITY" $CA/CreateSigningCertificate | jq -e .signedCertificateEmbeddedSct >/dev/null

step "errors"
spoil_token "$WORK/token" "$WORK/bad"
jq --rawfile token "$WORK/bad" '.credentials.oidcIdentityToken = $token' "$WORK/request.json" >"$WORK/bad.json"
refused 'InvalidArgument' call $CA/CreateSigningCertificate "$(<"$WORK/bad.json")"
stop_mayfly
