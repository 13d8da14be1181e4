#!/usr/bin/env bash
# C19, C2: the log, audited by code that shares nothing with it: check_log.py over HTTP (tree, checkpoint, every entry,
# every signature), and TesseraCT's fsck; then every certificate we were handed is in it, at its index.
source "$(dirname "$0")/lib.sh"
PYTHON="$CACHE/venv/bin/python"
start_dev
LOG=$(jq -er '.ctlogs[0].baseUrl' "$TRUSTED_ROOT")
write_log_key "$WORK/log.pem"

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
# Its exit code is 0 whatever it finds: only its words count.
fsck --ui=false --monitoring_url "$LOG/" --public_key "$(grep -v '^-----' "$WORK/log.pem" | tr -d '\n')" \
  --origin "$(curl -sS --fail "$LOG/checkpoint" | head -n1)" >"$WORK/fsck.log" 2>&1 || true
grep -q "Successfully fsck'd log" "$WORK/fsck.log" || fail "no success: $(<"$WORK/fsck.log")"
if grep -E 'level=(WARN|ERROR)' "$WORK/fsck.log"; then fail "fsck warns"; fi

step "a static copy, behind a plain web server: our audit, and TesseraCT's"
"$MAYFLY" log export --key "$WORK/log.pem" --to "$WORK/copy" "$LOG"
"$MAYFLY" log verify --key "$WORK/log.pem" "$WORK/copy"
COPY_PORT=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$PYTHON" -m http.server --bind 127.0.0.1 --directory "$WORK/copy" "$COPY_PORT" >/dev/null 2>&1 &
PIDS+=("$!")
COPY="http://127.0.0.1:$COPY_PORT"
until curl -sS --fail -o /dev/null "$COPY/checkpoint" 2>/dev/null; do sleep 0.1; done
"$MAYFLY" log verify --key "$WORK/log.pem" "$COPY"
fsck --ui=false --monitoring_url "$COPY/" --public_key "$(grep -v '^-----' "$WORK/log.pem" | tr -d '\n')" \
  --origin "$(head -n1 "$WORK/copy/checkpoint")" >"$WORK/fsck-copy.log" 2>&1 || true
grep -q "Successfully fsck'd log" "$WORK/fsck-copy.log" || fail "no success: $(<"$WORK/fsck-copy.log")"
if grep -E 'level=(WARN|ERROR)' "$WORK/fsck-copy.log"; then fail "fsck warns of the copy"; fi

step "our own audit of the directory, after the end"
stop_mayfly
"$(dirname "$MAYFLY")/ct-log" verify --key "$WORK/log.pem" "$(dirname "$(find "$DATA" -name log.json)")"
