#!/usr/bin/env bash
# The Rust sigstore crates (sigstore-fulcio, -sign, -verify 0.15): configuration, certificate, and their
# verdict on it. Their own `sign` insists on Rekor, so the bundle is put together by the driver.
source "$(dirname "$0")/lib.sh"
start_dev
client() { "$CACHE/sigstore-rust/debug/sigstore-rust-interop" "$API" "$API/api/v1/timestamp" "$@"; }

step "an email token"
write_token "$WORK/token" --email "$EMAIL"
client "$WORK/token" "$TRUSTED_ROOT" "$EMAIL" "$ISSUER"

step "a GitHub Actions token"
write_token "$WORK/github" --github octo-org/octo-repo
request_certificate "$WORK/github" "$(claim "$WORK/github" sub)" "$WORK/c"
identity=$(uri_of "$WORK/c/leaf.pem")
client "$WORK/github" "$TRUSTED_ROOT" "$identity" "$GITHUB_ISSUER"

step "the SCT must be of a log in the trusted root"
other=$(openssl ecparam -name prime256v1 -genkey -noout | openssl pkey -pubout -outform DER | base64 -w0)
id=$(base64 -d <<<"$other" | openssl dgst -sha256 -binary | base64 -w0)
jq --arg key "$other" --arg id "$id" '.ctlogs[0].publicKey.rawBytes = $key | .ctlogs[0].logId.keyId = $id' \
  "$TRUSTED_ROOT" >"$WORK/other-log.json"
refused "SCT" client "$WORK/token" "$WORK/other-log.json" "$EMAIL" "$ISSUER"

step "a bad token: the server's own words reach the user"
spoil_token "$WORK/token" "$WORK/bad"
refused "token" client "$WORK/bad" "$TRUSTED_ROOT" "$EMAIL" "$ISSUER"
stop_mayfly
