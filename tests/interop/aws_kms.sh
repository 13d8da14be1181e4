#!/usr/bin/env bash
# A CA whose intermediate is in AWS KMS: local-kms in its place, the operator's command before it, cosign as ever.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home" AWS_ACCESS_KEY_ID=interop AWS_SECRET_ACCESS_KEY=not-to-be-seen AWS_REGION=eu-west-2
mkdir -p "$HOME"
cd "$WORK"
date >blob

# kms OPERATION JSON: as the administrator of keys; local-kms believes every signature.
kms() {
  curl -sS --fail-with-body -H "X-Amz-Target: TrentService.$1" -H 'Content-Type: application/x-amz-json-1.1' -d "$2" "http://$KMS"
}

start_kms() {
  PORT=${KMS#*:} KMS_DATA_PATH="$WORK/kms" KMS_REGION=$AWS_REGION local-kms >>kms.log 2>&1 &
  KMS_PID=$!
  PIDS+=("$KMS_PID")
  local deadline=$((SECONDS + 30))
  until kms ListKeys '{}' >keys.json 2>curl.log; do
    ((SECONDS < deadline)) || fail "local-kms does not answer: $(<curl.log)"
    sleep 0.2
  done
}

step "the service, and a key with an alias"
KMS=127.0.0.1:$(free_port)
start_kms
KEY=$(kms CreateKey '{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}' | jq -er .KeyMetadata.Arn)
kms CreateAlias "{\"AliasName\": \"alias/ca\", \"TargetKeyId\": \"$KEY\"}"

step "mayfly init with it, and mayfly serve"
(umask 077 && echo 'correct horse' >passphrase)
start_dev
ceremony ca --root-passphrase file:passphrase --log-passphrase file:passphrase --ca-key "awskms://$KMS/alias/ca"
serve_ceremony
grep -q "$KEY" serve.log || fail "the key's ARN is not in the log"

step "cosign signs and verifies"
sign bundle.json
verify bundle.json
openssl verify -CAfile "$ROOT/root.pem" -untrusted ca/server/ca.pem -ignore_critical <(leaf bundle.json)

step "the service goes away: no certificate, no 500; it comes back: certificates again, without a restart"
kill -TERM "$KMS_PID"
wait "$KMS_PID" || true
expect 503 "$(status)" "status while the service is away"
start_kms
signs_again again.json

step "the key is disabled: refused with the service's reason in the log, for the operator only"
kms DisableKey "{\"KeyId\": \"$KEY\"}"
expect 503 "$(status)" "status with a disabled key"
! grep -q Disabled answer.json || fail "the service's words reached the client: $(<answer.json)"
grep -q DisabledException serve.log || fail "no DisabledException in the log"
stop_mayfly
refused "DisabledException" "$MAYFLY" serve --config "$CONFIG"
! grep -q "$AWS_SECRET_ACCESS_KEY" serve.log || fail "a secret is in the log"
MAYFLY_PID=$PROVIDER_PID
stop_mayfly
