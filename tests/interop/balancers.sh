#!/usr/bin/env bash
# Two replicas with one log behind config/haproxy.cfg and config/nginx.conf: an identity provider that is down takes nothing
# else away, and is named to those who want a certificate; a replica without its log, or one that is gone, is left out.
source "$(dirname "$0")/lib.sh"
cd "$WORK"
export PATH="$PATH:/usr/sbin:/sbin"

step "the files are well-formed, and name nothing but what is here"
printf '[req]\ndistinguished_name = dn\n[dn]\n' >req.cnf
openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout tls-key.pem -out tls.pem 2>/dev/null
cat tls.pem tls-key.pem >both.pem
export CURL_CA_BUNDLE=$WORK/tls.pem
PORT_A=$(free_port) PORT_B=$(free_port) HAPROXY_PORT=$(free_port) NGINX_PORT=$(free_port) DATABASE_PORT=$(free_port)
REPLICAS="s/127\.0\.0\.1:5555/127.0.0.1:$PORT_A/; s/127\.0\.0\.1:5556/127.0.0.1:$PORT_B/"
sed "$REPLICAS; s|bind :443 ssl crt /etc/haproxy/mayfly.pem|bind 127.0.0.1:$HAPROXY_PORT ssl crt $WORK/both.pem|" \
  "$PROJECT/config/haproxy.cfg" >haproxy.cfg
# Temporary folders of one's own: the package's belong to root.
TEMPORARY=$(for kind in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s/nginx-%s; ' "$kind" "$WORK" "$kind"; done)
sed "$REPLICAS; s|listen 443|listen 127.0.0.1:$NGINX_PORT|; s|/etc/nginx/mayfly-key.pem|$WORK/tls-key.pem|
  s|/etc/nginx/mayfly.pem|$WORK/tls.pem|; s|/run/nginx.pid|$WORK/nginx.pid|; s|/var/log/nginx/error.log|$WORK/nginx.log|
  s|^http {|http { $TEMPORARY|" "$PROJECT/config/nginx.conf" >nginx.conf
haproxy -c -f haproxy.cfg
[[ $(id -u) == 0 ]] && USER_LINE='user root;' || USER_LINE=''
nginx -t -q -e "$WORK/nginx.log" -c "$WORK/nginx.conf" -g "$USER_LINE"

step "an identity provider and a database"
PROVIDER_PORT=$(free_port)
provider() {
  start_server mayfly "$MAYFLY" dev --json --port "$PROVIDER_PORT" --metrics-port 0 --ca-key p256 --data-dir "$WORK/data"
  PROVIDER_PID=$SERVER_PID
}
provider
DATA=$(ready data_dir) ISSUER=$(ready issuer)
POSTGRES=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | tail -n 1)")
DATABASE=$WORK/database
mkdir "$DATABASE"
unprivileged() { "$@"; }
if [[ $(id -u) == 0 ]]; then
  chmod 711 "$WORK"
  chown nobody "$DATABASE"
  unprivileged() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
fi
unprivileged "$POSTGRES/initdb" -D "$DATABASE/data" -A trust -U postgres --no-sync -E UTF8 --locale=C >initdb.log 2>&1
unprivileged "$POSTGRES/postgres" -D "$DATABASE/data" -k "$DATABASE" -h 127.0.0.1 -p "$DATABASE_PORT" >postgres.log 2>&1 &
PIDS+=("$!")
sql() { psql -h 127.0.0.1 -p "$DATABASE_PORT" -U postgres -d postgres -qAtc "$1"; }
deadline=$((SECONDS + 60))
until sql 'SELECT 1' >/dev/null 2>psql.log; do
  ((SECONDS < deadline)) || fail "no database: $(<psql.log)"
  sleep 0.2
done
sql 'CREATE ROLE a SUPERUSER LOGIN'
sql 'CREATE ROLE b SUPERUSER LOGIN'

# replica NAME PORT: starts it, and waits until it is fit to issue; its pid is in the variable PID_NAME.
replica() {
  local name=$1 port=$2 deadline=$((SECONDS + 60))
  mkdir -p "$name"
  cat >"$name/mayfly.yaml" <<YAML
listen: 127.0.0.1:$port
metrics-listen: "off"
url: https://localhost:$HAPROXY_PORT
ca: {chain: $DATA/ca/chain.pem, key: $DATA/ca/key.pem}
timestamp: {chain: $DATA/timestamp-chain.pem, key: $DATA/timestamp-key.pem}
log:
  postgres: {url: "postgresql://$name@127.0.0.1:$DATABASE_PORT/postgres"}
  directory: log
  origin: localhost/log
  key: log-key.pem
  self-audit: "off"
issuers: $DATA/issuers.yaml
private-identity-providers: [127.0.0.1]
audit: audit.jsonl
YAML
  "$MAYFLY" serve --config "$name/mayfly.yaml" >>"$WORK/$name.log" 2>&1 &
  printf -v "PID_$name" %s "$!"
  PIDS+=("$!")
  until [[ $(curl -s -o ready.json -w '%{http_code}' "http://127.0.0.1:$port/readyz/issuing") == 200 ]]; do
    kill -0 "${PIDS[-1]}" || fail "the replica $name ended"
    ((SECONDS < deadline)) || fail "the replica $name is not ready: $(cat ready.json)"
    sleep 0.2
  done
}

# end PID: with SIGTERM, and with exit code 0.
end() {
  local status=0
  kill -TERM "$1"
  wait "$1" || status=$?
  expect 0 "$status" "exit code after SIGTERM"
}

step "two replicas, and the balancers before them"
replica a "$PORT_A"
mkdir b
cp -p a/log-key.pem b/
replica b "$PORT_B"
haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
PIDS+=("$!")
nginx -e "$WORK/nginx.log" -c "$WORK/nginx.conf" -g "daemon off; $USER_LINE" >nginx-stdout.log 2>&1 &
PIDS+=("$!")
BALANCERS=("https://localhost:$HAPROXY_PORT" "https://localhost:$NGINX_PORT")

# code PATH [CURL_OPTION...]: the status that the balancer at API gives; the answer is in answer, its head in head.
code() { curl -sS -o answer -D head -w '%{http_code}' "${@:2}" "$API$1"; }
timestamp() {
  local query='{"artifactHash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","hashAlgorithm":"sha256","certificates":true}'
  code /api/v1/timestamp -H 'Content-Type: application/json' -d "$query"
}

# everything_but_issuing: as often as both replicas get their turn.
everything_but_issuing() {
  local turn
  for turn in 1 2 3 4; do
    expect 200 "$(code /log/checkpoint)" "checkpoint by $API, $turn"
    expect 200 "$(code /log/ct/v1/get-sth)" "tree head by $API, $turn"
    expect 200 "$(code /trust/trusted_root.json)" "trusted root by $API, $turn"
    expect 200 "$(code /api/v2/trustBundle)" "trust bundle by $API, $turn"
    expect 200 "$(timestamp)" "timestamp by $API, $turn"
  done
}

# issuing: over JSON and gRPC, as often as both replicas get their turn.
issuing() {
  local turn
  for turn in 1 2 3 4 5 6; do expect 200 "$(status)" "certificate by $API, $turn: $(head -c 300 answer.json)"; done
  grpc_issued
}

# by_grpc: `CreateSigningCertificate` with a new key, as grpcurl shows it.
by_grpc() {
  write_token token --email "$EMAIL"
  challenge_request token "$EMAIL" request.json
  grpcurl -cacert tls.pem -d @ "${API#https://}" dev.sigstore.fulcio.v2.CA/CreateSigningCertificate <request.json
}
grpc_issued() {
  by_grpc >grpc.json || fail "no certificate over gRPC by $API"
  expect 3 "$(jq '.signedCertificateEmbeddedSct.chain.certificates | length' grpc.json)" "certificates over gRPC by $API"
}

# until_ok SECONDS COMMAND...
until_ok() {
  local deadline=$((SECONDS + $1))
  until "${@:2}"; do
    ((SECONDS < deadline)) || fail "not in time: ${*:2}"
    sleep 0.2
  done
}
# from_now_on, haproxy_says SERVER STATE: whether it has since said so.
from_now_on() { SEEN=$(wc -l <haproxy.log); }
haproxy_says() { grep -q "Server $1 is $2" <(tail -n "+$((SEEN + 1))" haproxy.log); }
answers() { curl -s --fail -o /dev/null "$1/healthz"; }

for API in "${BALANCERS[@]}"; do
  until_ok 20 answers "$API"
  everything_but_issuing
  issuing
  expect 404 "$(code /readyz/none)" "a part that does not exist"
done

step "the identity provider goes: keys that are there serve on"
kill -TERM "$PROVIDER_PID"
wait "$PROVIDER_PID"
for API in "${BALANCERS[@]}"; do
  everything_but_issuing
  issuing
done

step "replicas that never had its keys: the same, and issuing is refused with the reason"
end "$PID_a"
end "$PID_b"
replica a "$PORT_A"
replica b "$PORT_B"
for port in "$PORT_A" "$PORT_B"; do
  expect 503 "$(curl -s -o ready.json -w '%{http_code}' "http://127.0.0.1:$port/readyz")" "/readyz without an issuer"
  expect 'true false' "$(jq -r '"\(.parts.issuing.usable) \(.issuers[0].usable)"' ready.json)" "parts without an issuer"
done
# HAProxy may have seen both of them gone.
back() { (everything_but_issuing) 2>/dev/null; }
for API in "${BALANCERS[@]}"; do
  until_ok 20 back
  everything_but_issuing
  for turn in 1 2 3 4; do
    expect 503 "$(status)" "certificate by $API, $turn"
    expect issuer_unavailable "$(jq -r '.details[0].reason' answer.json)" "reason by $API"
  done
  expect 503 "$(code /api/v2/signingCert -H 'Content-Type: application/json' --data-binary @request.json)" "certificate by $API"
  grep -qi '^retry-after: [0-9]' head || fail "no Retry-After by $API: $(<head)"
  refused 'Unavailable' by_grpc
done

step "the identity provider is back"
provider
for port in "$PORT_A" "$PORT_B"; do until_ok 60 curl -s --fail -o ready.json "http://127.0.0.1:$port/readyz"; done
for API in "${BALANCERS[@]}"; do issuing; done

step "one replica loses its log: requests for certificates go to the other, and nothing else changes"
from_now_on
sql 'ALTER ROLE b NOLOGIN'
sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'b'" >/dev/null
until_ok 30 haproxy_says issuing/b DOWN
until_ok 10 haproxy_says log/b DOWN
kill -0 "$PID_b" || fail "the replica b ended"
for part in issuing log submissions; do
  expect 503 "$(curl -s -o ready.json -w '%{http_code}' "http://127.0.0.1:$PORT_B/readyz/$part")" "/readyz/$part of b"
done
for part in trust timestamps; do
  expect 200 "$(curl -s -o ready.json -w '%{http_code}' "http://127.0.0.1:$PORT_B/readyz/$part")" "/readyz/$part of b"
done
haproxy_says trust/b DOWN && fail "a replica without its log is not asked for what to trust"
API=${BALANCERS[0]}
everything_but_issuing
issuing
API=${BALANCERS[1]}
everything_but_issuing
for turn in 1 2 3 4 5 6; do expect 200 "$(status)" "certificate by $API, $turn"; done

step "it has its log again"
from_now_on
sql 'ALTER ROLE b LOGIN'
until_ok 60 haproxy_says issuing/b UP
for API in "${BALANCERS[@]}"; do issuing; done

step "one replica is stopped"
from_now_on
end "$PID_b"
until_ok 20 haproxy_says any/b DOWN
for API in "${BALANCERS[@]}"; do
  everything_but_issuing
  issuing
done

# strangers ADDRESS NUMBER KIND: connections of one client (strangers.py), whose pid is in STRANGERS.
strangers() {
  python3 "$HERE/strangers.py" "${API##*:}" "$@" >refused &
  STRANGERS=$!
  PIDS+=("$STRANGERS")
}
told() { [[ -s refused ]]; }

step "one client takes more connections and requests than it may: the others are served"
for API in "${BALANCERS[@]}"; do
  strangers 127.0.0.2 600 silent
  until_ok 60 told
  everything_but_issuing
  issuing
  # nginx closes connections without a request when it has no more.
  [[ $API == "${BALANCERS[1]}" ]] || (($(<refused) >= 150)) || fail "$API refused $(<refused) of 600 connections"
  kill -TERM "$STRANGERS"
  : >refused
  strangers 127.0.0.3 300 bodiless
  sleep 3
  everything_but_issuing
  issuing
  until_ok 60 told
  (($(<refused) >= 50)) || fail "$API refused $(<refused) of 300 requests"
  kill -TERM "$STRANGERS"
  : >refused
done
for name in a b; do
  ! grep body_timeout "$name.log" || fail "a replica waited for a body"
done

step "one client asks for more certificates than it may"
for API in "${BALANCERS[@]}"; do
  curl -s --http1.1 -o answer -w '%{http_code}\n' -H 'Content-Type: application/json' -d '{}' "$API/api/v2/signingCert?[1-500]" >codes
  (($(grep -c '^429$' codes) > 50)) || fail "$API lets everything through: $(sort codes | uniq -c)"
  (($(grep -c '^400$' codes) > 250)) || fail "$API lets too little through: $(sort codes | uniq -c)"
  everything_but_issuing
done
end "$PID_a"
