#!/usr/bin/env bash
# C19, C2: the log, audited by code that shares nothing with it: check_log.py over HTTP (tree, checkpoint, every entry,
# every signature), and TesseraCT's fsck; then every certificate we were handed is in it, at its index.
source "$(dirname "$0")/lib.sh"
PYTHON="$CACHE/venv/bin/python"
start_dev
LOG=$(jq -er '.ctlogs[0].baseUrl' "$TRUSTED_ROOT")
write_log_key "$WORK/log.pem"

# audited URL ORIGIN: TesseraCT's fsck finds nothing wrong. Its exit code is 0 whatever it finds: only its words count. Once it has
# the entries it may cancel its own requests for issuers, and warns of that; then it is asked again.
audited() {
  local attempt warnings
  for attempt in 1 2 3 4 5; do
    fsck --ui=false --monitoring_url "$1" --public_key "$(grep -v '^-----' "$WORK/log.pem" | tr -d '\n')" --origin "$2" \
      >"$WORK/fsck.log" 2>&1 || true
    grep -q "Successfully fsck'd log" "$WORK/fsck.log" || fail "no success: $(<"$WORK/fsck.log")"
    warnings=$(grep -E 'level=(WARN|ERROR)' "$WORK/fsck.log" || true)
    [[ -z $warnings ]] && return
    grep -qv 'error="context canceled"' <<<"$warnings" && fail "fsck warns: $warnings"
  done
  fail "fsck warns each time: $warnings"
}

step "eight certificates, four at a time"
write_token "$WORK/token" --email "$EMAIL"
challenge_request "$WORK/token" "$EMAIL" "$WORK/request.json"
for round in 1 2; do
  pids=()
  for n in 1 2 3 4; do
    curl -sS --fail -o "$WORK/answer-$round$n.json" -H 'Content-Type: application/json' \
      --data-binary "@$WORK/request.json" "$API/api/v2/signingCert" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
done

step "an independent checker"
"$PYTHON" "$HERE/check_log.py" --rfc6962 --key "$WORK/log.pem" "$LOG" | tee "$WORK/report"

step "each certificate is in the log, at the index of its SCT"
"$PYTHON" "$HERE/find_in_log.py" "$LOG" "$WORK"/answer-*.json

step "TesseraCT's fsck"
audited "$LOG/" "$(curl -sS --fail "$LOG/checkpoint" | head -n1)"

step "a static copy, behind a plain web server: our audit, and TesseraCT's"
"$MAYFLY" log export --key "$WORK/log.pem" --to "$WORK/copy" "$LOG"
"$MAYFLY" log verify --key "$WORK/log.pem" "$WORK/copy"
COPY_PORT=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$PYTHON" -m http.server --bind 127.0.0.1 --directory "$WORK/copy" "$COPY_PORT" >/dev/null 2>&1 &
PIDS+=("$!")
COPY="http://127.0.0.1:$COPY_PORT"
until curl -sS --fail -o /dev/null "$COPY/checkpoint" 2>/dev/null; do sleep 0.1; done
"$MAYFLY" log verify --key "$WORK/log.pem" "$COPY"
audited "$COPY/" "$(head -n1 "$WORK/copy/checkpoint")"

step "our own audit of the directory, after the end"
stop_mayfly
"$(dirname "$MAYFLY")/ct-log" verify --key "$WORK/log.pem" "$(dirname "$(find "$DATA" -name log.json)")"
