#!/usr/bin/env bash
# config/logrotate.conf, run by logrotate: the audit record is rotated three times while certificates are issued. No request fails, and
# each certificate is on record exactly once. Also with copytruncate, which needs no signal.
source "$(dirname "$0")/lib.sh"
cd "$WORK"
start_dev
AUDIT=$DATA/audit.jsonl
write_token token --email "$EMAIL"
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -key key.pem -subj / -out csr.pem 2>/dev/null
jq -n --rawfile token token --arg csr "$(base64 -w0 csr.pem)" \
  '{credentials: {oidcIdentityToken: $token}, certificateSigningRequest: $csr}' >request.json

ask() { curl -sS -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' --data-binary @request.json "$API/api/v2/signingCert"; }
issue_until() { until [[ -e $1 ]]; do ask; done; }
issued() { # FILE...: serial numbers on record
  jq -r 'select(.event == "certificate").serial' "$@"
}
rotate() { logrotate --force --state "$WORK/state" "$1"; }

sed "s|^/var/lib/mayfly/audit.jsonl|$AUDIT|; s|mayfly mayfly|$(id -un) $(id -gn)|; s|systemctl kill .*|kill -HUP $MAYFLY_PID|" \
  "$PROJECT/config/logrotate.conf" >logrotate.conf
chmod 644 logrotate.conf
grep -qF "$AUDIT" logrotate.conf || fail "config/logrotate.conf has another path"

step "three rotations while certificates are issued"
expect 200 "$(ask)" "before"
issue_until done >statuses &
ISSUING=$!
PIDS+=("$ISSUING")
for _ in 1 2 3; do
  sleep 1
  rotate logrotate.conf
done
sleep 1
touch done
wait "$ISSUING"
expect 0 "$(grep -cvx 200 statuses || true)" "requests that failed"
[[ -s $AUDIT && -s $AUDIT.1 && -s $AUDIT.2.gz && -s $AUDIT.3.gz ]] || fail "not rotated three times: $(ls "$DATA")"
gunzip -k "$AUDIT.2.gz" "$AUDIT.3.gz"
issued "$AUDIT" "$AUDIT.1" "$AUDIT.2" "$AUDIT.3" | sort >serials
expect "$(($(wc -l <statuses) + 1))" "$(uniq serials | wc -l)" "certificates on record"
expect "" "$(uniq -d serials)" "certificates that are on record twice"

step "a file that is renamed and not opened anew"
mv "$AUDIT" "$AUDIT.moved"
expect 503 "$(ask)" "without its record"
jq -e '.audit.usable == false and .ready == false' >/dev/null <<<"$(curl -sS "$API/readyz")" || fail "/readyz does not say so"
kill -HUP "$MAYFLY_PID"
for _ in {1..50}; do
  [[ $(ask) != 200 ]] || break
  sleep 0.2
done
expect 200 "$(ask)" "after SIGHUP"

step "copytruncate"
sed '/create/d; /compress/d; s|postrotate|copytruncate\n    &|' logrotate.conf | sed '/postrotate/,/endscript/d' >copytruncate.conf
chmod 644 copytruncate.conf
before=$(issued "$AUDIT" | wc -l)
rotate copytruncate.conf
expect 200 "$(ask)" "after copytruncate"
expect "1 $before" "$(issued "$AUDIT" | wc -l) $(issued "$AUDIT.1" | wc -l)" "certificates in the file and in its copy"
