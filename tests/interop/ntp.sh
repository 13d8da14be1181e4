#!/usr/bin/env bash
# The timestamp authority beside chrony: while chrony is not synchronised, no time is signed; once it is, it is. A clock that is an hour ahead
# is never confirmed. (chronyd runs with -x: it never sets this machine's clock.)
source "$(dirname "$0")/lib.sh"
cd "$WORK"
start_dev
PORT=$(free_port)

chrony() { # LINE...: chronyd with these lines in its configuration
  [[ -z ${CHRONY_PID:-} ]] || { kill "$CHRONY_PID"; wait "$CHRONY_PID" || true; }
  printf '%s\n' "port $PORT" "bindaddress 127.0.0.1" "allow 127.0.0.1" "cmdport 0" "pidfile $WORK/chronyd.pid" "$@" >chrony.conf
  "$CACHE/chrony/usr/sbin/chronyd" -x -d -u "$(id -un)" -f chrony.conf >chrony.log 2>&1 &
  CHRONY_PID=$!
  PIDS+=("$CHRONY_PID")
}
logs() { # PATTERN
  local deadline=$((SECONDS + 30))
  until grep -qE "$1" serve.log; do
    ((SECONDS < deadline)) || fail "the log does not say '$1': $(tail -n 3 serve.log)"
    sleep 0.5
  done
}
stamp() {
  openssl ts -query -data mayfly.log -sha256 -cert -out query.tsq 2>/dev/null
  curl -sS -o reply.tsr -w '%{http_code}' -H 'Content-Type: application/timestamp-query' --data-binary @query.tsq "$API/api/v1/timestamp"
}

step "mayfly init, and a chrony that knows no time: it confirms none"
(umask 077 && echo horse >secret)
ceremony ca --root-passphrase file:secret --no-passphrase >/dev/null
API=http://${API#https://}
sed -i "s|^metrics-listen: .*|metrics-listen: off|; s|^  key: timestamp-key.pem|&\n  ntp: [\"127.0.0.1:$PORT\"]|" "$CONFIG"
chrony
serving "$CONFIG"
expect 503 "$(stamp)" "while chrony is not synchronised"
openssl ts -reply -in reply.tsr -text 2>/dev/null | grep -q 'time source is not available' || fail "no timeNotAvailable"
logs 'it is not synchronised itself'

step "one that knows it does"
chrony "local stratum 10"
deadline=$((SECONDS + 40))
until [[ $(stamp) == 200 ]]; do
  ((SECONDS < deadline)) || fail "the clock is never confirmed: $(tail -n 3 serve.log)"
  sleep 1
done
"$MAYFLY" config check --online --config "$CONFIG"
stop_mayfly

step "a clock that is an hour ahead"
clock_off +3600
refused "do not confirm this machine's clock" "$MAYFLY" config check --online --config "$CONFIG"
serving "$CONFIG"
expect 503 "$(stamp)" "an hour ahead"
logs 'the clock is wrong, by -(3599|3600)\.'
stop_mayfly
