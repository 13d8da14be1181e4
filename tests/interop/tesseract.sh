#!/usr/bin/env bash
# TesseraCT, somebody else's log server, as the only log of `mayfly serve`: its SCT is in the certificate, verifies with its
# key, and names the entry of its tree that holds the certificate. Then out of order, and beside the embedded log.
source "$(dirname "$0")/lib.sh"
PYTHON="$CACHE/venv/bin/python"
cd "$WORK"

step "a CA, and an identity provider: a development server"
start_dev
PROVIDER=$ISSUER
write_token token --email "$EMAIL"
openssl x509 -in "$DATA/ca/root.pem" -out roots.pem

step "TesseraCT, which accepts what leads to that root"
LOG_PORT=$(free_port)
openssl ecparam -name prime256v1 -genkey -noout -out tesseract.key
openssl pkey -in tesseract.key -pubout -out tesseract.pem
mkdir tiles
start_tesseract() {
  tesseract-posix -private_key tesseract.key -origin tesseract.example -http_endpoint "127.0.0.1:$LOG_PORT" \
    -storage_dir tiles -roots_pem_file roots.pem -checkpoint_interval 200ms >>tesseract.log 2>&1 &
  TESSERACT_PID=$!
  PIDS+=("$TESSERACT_PID")
  local deadline=$((SECONDS + 30))
  until curl -sS --fail -o tesseract_roots.json "http://127.0.0.1:$LOG_PORT/ct/v1/get-roots" 2>curl.log; do
    kill -0 "$TESSERACT_PID" || fail "TesseraCT ended"
    ((SECONDS < deadline)) || fail "TesseraCT does not answer: $(<curl.log)"
    sleep 0.2
  done
}
start_tesseract

# serve_with LINES...: `mayfly serve` with these lines of configuration for its logs.
serve_with() {
  local port
  port=$(free_port)
  printf 'oidc-issuers:\n  %s:\n    issuer-url: %s\n    client-id: sigstore\n    type: email\n' \
    "$PROVIDER" "$PROVIDER" >issuers.yaml
  cat >mayfly.yaml <<YAML
listen: 127.0.0.1:$port
metrics-listen: "off"
ca: {chain: $DATA/ca/chain.pem, key: $DATA/ca/key.pem}
issuers: issuers.yaml
private-identity-providers: [127.0.0.1]
audit: audit.jsonl
external-logs:
  - {name: tesseract, url: "http://127.0.0.1:$LOG_PORT", key: tesseract.pem, spec: static-ct-api, use: embed}
YAML
  printf '%s\n' "$@" >>mayfly.yaml
  serve_again
}

# serve_again: with the configuration as it is.
serve_again() {
  local port
  port=$(sed -n 's/^listen: 127.0.0.1://p' mayfly.yaml)
  "$MAYFLY" config check --config mayfly.yaml >check.txt || fail "$(<check.txt)"
  API=http://127.0.0.1:$port
  serving mayfly.yaml
}

step "certificates with its SCT, and no log of our own"
serve_with
for n in 1 2 3; do
  request_certificate token "$EMAIL" "external$n"
  openssl x509 -in "external$n/leaf.pem" -noout -ext ct_precert_scts >"scts$n"
  expect 1 "$(grep -c 'Signed Certificate Timestamp' "scts$n")" "SCTs in certificate $n"
done
expect 3 "$(jq -r 'select(.event == "certificate") | .external[].log' audit.jsonl | grep -cx tesseract)" "SCTs on record"
LOG_ID=$(openssl pkey -in tesseract.key -pubout -outform DER | sha256sum | cut -d' ' -f1)
expect "$LOG_ID" "$(jq -r 'select(.event == "certificate") | .external[].log_id' audit.jsonl | sort -u)" "log id on record"

step "the signatures verify with its key, in an independent checker, and each entry is the certificate"
start_server tiles python3 -u -c '
import functools, http.server, json
class Handler(http.server.SimpleHTTPRequestHandler):
    def guess_type(self, path):
        kinds = {"checkpoint": "text/plain; charset=utf-8", "issuer": "application/pkix-cert"}
        return kinds.get(self.path.strip("/").split("/")[0], "application/octet-stream")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory="tiles"))
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()'
TILES=$(ready url)
"$PYTHON" "$HERE/check_log.py" --key tesseract.pem "$TILES" | tee report
"$PYTHON" "$HERE/find_in_log.py" "$TILES" external*/response.json

step "cosign verifies with a trusted root that names TesseraCT as the log"
jq --arg key "$(grep -v '^-----' tesseract.pem | tr -d '\n')" --arg id "$(xxd -r -p <<<"$LOG_ID" | base64 -w0)" '
  .ctlogs[0].publicKey.rawBytes = $key | .ctlogs[0].logId.keyId = $id | .ctlogs[0].baseUrl = "http://tesseract"' \
  "$TRUSTED_ROOT" >trusted_root.json
jq --arg api "$API" 'del(.tsaUrls, .tsaConfig) | .caUrls[0].url = $api' "$SIGNING_CONFIG" >signing_config.json
date >blob
cosign sign-blob -y --identity-token token --signing-config signing_config.json --trusted-root trusted_root.json \
  --bundle bundle.json blob
verify() {
  cosign verify-blob --trusted-root "$1" --insecure-ignore-tlog --bundle bundle.json \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$PROVIDER" blob
}
verify trusted_root.json
refused 'only able to verify 0 SCT entries' verify "$TRUSTED_ROOT"

step "out of order: no certificate; back again: certificates"
kill -TERM "$TESSERACT_PID"
wait "$TESSERACT_PID" || true
challenge_request token "$EMAIL" request.json
STATUS=$(curl -sS -o refused.json -w '%{http_code}' -H 'Content-Type: application/json' --data-binary @request.json \
  "$API/api/v2/signingCert")
expect 503 "$STATUS" "status without a log"
grep -q log_unavailable refused.json || fail "another reason: $(<refused.json)"
start_tesseract
request_certificate token "$EMAIL" again
stop_mayfly

step "beside a log of our own, the certificate has an SCT of each"
serve_with "log: {directory: own, origin: localhost/own, key: own.key}" "embed-scts: first"
request_certificate token "$EMAIL" first
expect 1 "$(openssl x509 -in first/leaf.pem -noout -ext ct_precert_scts | grep -c 'Signed Certificate Timestamp')" "SCTs with first"
stop_mayfly
sed -i 's/^embed-scts: first$/embed-scts: all/' mayfly.yaml
"$MAYFLY" config check --config mayfly.yaml | grep "^warning:.*sigstore-python and sigstore-rs refuse"
serve_again
request_certificate token "$EMAIL" all
expect 2 "$(openssl x509 -in all/leaf.pem -noout -ext ct_precert_scts | grep -c 'Signed Certificate Timestamp')" "SCTs with all"
stop_mayfly
