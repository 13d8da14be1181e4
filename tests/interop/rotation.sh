#!/usr/bin/env bash
# The CA's key and the log's key are rotated under the load of `mayfly bench`: not one request fails, and every answer that
# is looked at verifies with what was announced. Takes a minute; ROTATION_CONNECTIONS says how many clients ask at once.
source "$(dirname "$0")/lib.sh"
cd "$WORK"
CONNECTIONS=${ROTATION_CONNECTIONS:-8}

step "a provider whose tokens \`mayfly bench\` can make, and two CAs"
start_dev
cp "$DATA/issuers.yaml" issuers.yaml
authority old
authority new

rfc3339() { date -u -d "@$1" +%FT%TZ; }
NOW=$(date +%s)
TAKEOVER=$((NOW + 30))
# A certificate belongs to the shard in whose window it ends, ten minutes from when it is issued.
BORDER=$(rfc3339 $((TAKEOVER + 600)))
PORT=$(free_port)
API=http://127.0.0.1:$PORT

# configure CA ALSO_TRUSTED [two]: writes mayfly.yaml.
configure() {
  cat >next.yaml <<YAML
url: $API
listen: 127.0.0.1:$PORT
metrics-listen: "off"
ca: {chain: $1.pem, key: $1-key.pem, also-trusted: [$2]}
log:
  shards:
    - {origin: ca.example.com/one, directory: one, key: one.pem, not-after: {from: $(rfc3339 "$NOW"), until: $BORDER}}
YAML
  [[ ${3:-} ]] && cat >>next.yaml <<YAML
    - {origin: ca.example.com/two, directory: two, key: two.pem, not-after: {from: $BORDER, until: $(rfc3339 $((NOW + 99999)))}}
YAML
  cat >>next.yaml <<YAML
issuers: issuers.yaml
private-identity-providers: [127.0.0.1]
audit: audit.jsonl
YAML
  mv next.yaml mayfly.yaml
}

# trusted_root FILE CAS LOGS: fetches it; there must be so many in it. A new shard is served a moment after it is in force.
trusted_root() {
  local deadline=$((SECONDS + 20))
  until curl -sS --fail -o "$1" "$API/trust/trusted_root.json" &&
    [[ $(jq -c '[(.certificateAuthorities | length), (.ctlogs | length)]' "$1") == "[$2,$3]" ]]; do
    ((SECONDS < deadline)) || fail "not $2 CAs and $3 logs: $(<"$1")"
    sleep 0.2
  done
}

# size SHARD: its published entries.
size() { curl -sS --fail "$API/$1/checkpoint" | sed -n 2p; }

# bench SECONDS: with that load, for what the trusted root in bench/ names.
bench() {
  "$MAYFLY" bench --url "$API" --data-dir bench --connections "$CONNECTIONS" --duration "$1" --warm-up 0 >bench.txt 2>bench.log
}

step "\`mayfly serve\` with the old CA and the first shard"
configure old ""
serving mayfly.yaml

trusted_root before.json 1 1

step "the new CA and the next shard are announced"
configure old new.pem two
in_force
expect 2 "$(curl -sS --fail "$API/api/v2/trustBundle" | jq '.chains | length')" "chains in the trust bundle"
cp -r "$DATA" bench
rm -rf bench/log bench/ca
# What the server says now is all that the load is checked with, to the end.
trusted_root bench/trusted_root.json 2 2

LEFT=$((TAKEOVER - $(date +%s)))
((LEFT > 5)) || fail "this machine is too slow: $LEFT s are left until the next shard takes over"
step "load for $((LEFT + 15)) s; the new CA takes over, then the next shard, then the old CA is retired"
bench $((LEFT + 15)) &
BENCH_PID=$!
PIDS+=("$BENCH_PID")
until (($(wc -l <audit.jsonl) > 200)); do sleep 0.1; done
configure new old.pem two
in_force
until (($(size two) > 100)); do
  kill -0 "$BENCH_PID" || fail "the load ended before the next shard took over"
  sleep 0.5
done
configure new "" two
in_force
wait "$BENCH_PID" || fail "requests failed, or answers were wrong: $(<bench.log)"
grep -E '^(certificates|latency|checked|failures)' bench.txt

step "both shards have entries, and nothing that was issued is missing in them"
for shard in one two; do
  "$MAYFLY" log verify "$API/$shard" | tee verify.txt
  grep -q 'the log is sound' verify.txt
done
ONE=$(size one) TWO=$(size two)
((ONE > 0 && TWO > 0)) || fail "a shard got nothing: $ONE, $TWO"
expect "$((ONE + TWO))" "$(jq -r 'select(.event == "certificate").serial' audit.jsonl | sort -u | wc -l)" "certificates in the audit record"

step "by both CAs"
key_hash() { openssl x509 -in "$1.pem" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1; }
signed() { jq -r --arg key "$(key_hash "$1")" 'select(.issuer_key_hash == $key).serial' audit.jsonl | wc -l; }
OLD=$(signed old) NEW=$(signed new)
echo "by the old CA $OLD, by the new one $NEW; in the first shard $ONE, in the next one $TWO"
((OLD > 0 && NEW > 0)) || fail "a CA signed nothing"
expect "$((ONE + TWO))" "$((OLD + NEW))" "certificates of both CAs"
expect 1 "$(curl -sS --fail "$API/api/v2/trustBundle" | jq '.chains | length')" "chains in the trust bundle"
trusted_root after.json 1 2
stop_mayfly
