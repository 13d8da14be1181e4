# shellcheck shell=bash disable=SC2034  # sourced, never run; the tests use the variables
#
# What every test here shares: a running `mayfly dev`, a certificate by curl and openssl, and checks
# that say what they wanted.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PROJECT="$(cd "$HERE/../.." && pwd)"
CACHE="${MAYFLY_INTEROP_DIR:-$PROJECT/target/interop}"
MAYFLY="${MAYFLY:-${CARGO_TARGET_DIR:-$PROJECT/target}/release/mayfly}"
EMAIL=you@example.com
export PATH="$CACHE/bin:$PATH" PYTHONDONTWRITEBYTECODE=1

WORK="$(mktemp -d)"
PIDS=()

# Ends every server that this test started, each by its own pid, and keeps the test's verdict.
finish() {
  local status=$?
  trap - EXIT
  for pid in "${PIDS[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
  if ((status != 0)); then
    for log in "$WORK"/*.log; do
      [[ -s $log ]] || continue
      echo "--- last lines of $(basename "$log")"
      tail -n 25 "$log"
    done
  fi
  rm -rf "$WORK"
  exit "$status"
}
trap finish EXIT

step() { echo "* $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# expect WANT GOT WHAT
expect() { [[ $2 == "$1" ]] || fail "$3: wanted '$1', got '$2'"; }

# refused PATTERN COMMAND...: the command must fail, and for the reason that PATTERN names.
refused() {
  local pattern=$1 output
  shift
  if output=$("$@" 2>&1); then fail "accepted, but must be refused: $*"; fi
  grep -qiE -- "$pattern" <<<"$output" || fail "refused for another reason than '$pattern': $output"
}

# documented FILE HEADING [LANGUAGE]: the blocks of that language (default console) in a section of a Markdown file, without
# their indentation, an empty line after each; of a console, the commands alone, with their continuation lines.
documented() {
  awk -v heading="$2" -v language="${3-console}" '
    /^ *```/ {
      fence = !fence
      if (fence) { indent = index($0, "`") - 1; block = on && substr($0, indent + 4) == language }
      else if (block) { print ""; block = 0 }
      next
    }
    !fence && /^#+ / { sub(/^#+ /, ""); on = $0 == heading; next }
    !block { next }
    { $0 = substr($0, indent + 1) }
    language != "console" { print; next }
    more || /^\$ / { more = /\\$/; sub(/^\$ /, ""); print }
  ' "$1"
}

# start_server NAME COMMAND...: runs it in the background and waits for its line of JSON, kept in READY.
start_server() {
  local name=$1 output
  shift
  exec {output}< <(exec "$@" 2>"$WORK/$name.log")
  SERVER_PID=$!
  PIDS+=("$SERVER_PID")
  read -r -t 60 READY <&"$output" || fail "$name is not ready: it ended, or printed no line of JSON within 60 s"
}

# ready KEY: a value of that line of JSON; missing is an error.
ready() { jq -er --arg key "$1" '.[$key]' <<<"$READY"; }

# start_dev ARGUMENTS...: the newcomer's command.
start_dev() {
  start_server mayfly "$MAYFLY" dev --json --port 0 --data-dir "$WORK/data" "$@"
  MAYFLY_PID=$SERVER_PID
  API=$(ready api) METRICS=$(ready metrics) DATA=$(ready data_dir)
  ISSUER=$(ready issuer) GITHUB_ISSUER=$(ready github_issuer)
  TRUSTED_ROOT=$(ready trusted_root) SIGNING_CONFIG=$(ready signing_config)
}

# clock_off SECONDS: from here on MAYFLY is a program whose clock is so far off, such as -3600: what it makes is an hour old to other clients, whose
# clocks are right. (Programs in Go have no clock that can be faked.)
clock_off() {
  cat >"$WORK/mayfly-clock-off" <<SH
#!/usr/bin/env bash
exec env FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD="$(find /usr/lib -name libfaketime.so.1 | head -n 1)" FAKETIME=$1 "$MAYFLY" "\$@"
SH
  chmod +x "$WORK/mayfly-clock-off"
  MAYFLY=$WORK/mayfly-clock-off
}

# stop_mayfly: SIGTERM, and it must leave with exit code 0.
stop_mayfly() {
  local status=0
  kill -TERM "$MAYFLY_PID"
  wait "$MAYFLY_PID" || status=$?
  expect 0 "$status" "exit code after SIGTERM"
}

# serving CONFIG [CURL_OPTION...]: `mayfly serve`, once it is ready at API.
serving() {
  local deadline=$((SECONDS + 60))
  "$MAYFLY" serve --config "$1" >>"$WORK/serve.log" 2>&1 &
  MAYFLY_PID=$!
  PIDS+=("$MAYFLY_PID")
  until curl -sS --fail "${@:2}" -o ready.json "$API/readyz" 2>curl.log; do
    kill -0 "$MAYFLY_PID" || fail "mayfly serve ended"
    ((SECONDS < deadline)) || fail "not ready: $(<curl.log) $(cat ready.json)"
    sleep 0.2
  done
}

# authority NAME: NAME.pem and NAME-key.pem, a CA of its own. A development directory has one; a server that stops at once leaves it behind.
authority() {
  start_server "$1" "$MAYFLY" dev --json --port 0 --key-kind p256 --data-dir "$WORK/$1-ca"
  kill -TERM "$SERVER_PID"
  wait "$SERVER_PID"
  cp "$WORK/$1-ca/ca/chain.pem" "$1.pem"
  cp "$WORK/$1-ca/ca/key.pem" "$1-key.pem"
}

# start_serve PROVIDER PRIVATE_HOST [TLS_CERTIFICATE TLS_KEY AUTHORITY]: the operator's command, with the CA, log and
# timestamp authority of the development directory, which must have ended; trusts PROVIDER alone. Writes its files into the working directory,
# and waits until it is ready.
start_serve() {
  local provider=$1 host=$2 certificate=${3:-} key=${4:-} authority=${5:-} port
  port=$(free_port)
  cat >issuers.yaml <<YAML
oidc-issuers:
  $provider:
    issuer-url: $provider
    client-id: sigstore
    type: email
YAML
  cat >mayfly.yaml <<YAML
listen: 127.0.0.1:$port
metrics-listen: "off"
ca:
  chain: $DATA/ca/chain.pem
  key: $DATA/ca/key.pem
log:
  directory: $DATA/log
  origin: $(jq -r .origin "$DATA/log/log.json")
  key: $DATA/log-key.pem
timestamp:
  chain: $DATA/timestamp-chain.pem
  key: $DATA/timestamp-key.pem
issuers: issuers.yaml
private-identity-providers:
  - $host
audit: audit.jsonl
YAML
  API=http://127.0.0.1:$port
  if [[ $certificate ]]; then
    API=https://$host:$port
    printf 'tls:\n  certificate: %s\n  key: %s\n' "$certificate" "$key" >>mayfly.yaml
  fi
  if [[ $authority ]]; then
    SSL_CERT_FILE=$authority serving mayfly.yaml --cacert "$authority"
  else
    serving mayfly.yaml
  fi
}

# ceremony FOLDER OPTION...: `mayfly init`, with the identity provider of start_dev, and a certificate for TLS that curl and
# cosign believe from here on. Its server will be at API, the files of its root are in ROOT; PROVIDER_PID is the provider. What it says is in the file `summary`.
ceremony() {
  local folder=$1 port
  shift
  PROVIDER_PID=${PROVIDER_PID:-$MAYFLY_PID}
  port=$(free_port)
  API=https://localhost:$port ROOT=$folder/root CLIENTS=$folder/clients CONFIG=$folder/server/mayfly.yaml
  "$MAYFLY" init "$folder" --yes --organization 'Interop test' --host "localhost:$port" --listen "127.0.0.1:$port" \
    --issuer "$ISSUER" --client-id sigstore --private-issuer "$@" | tee summary
  if [[ ! -e tls.pem ]]; then
    printf '[req]\ndistinguished_name = dn\n[dn]\n' >req.cnf
    (umask 077 && openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
      -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout tls-key.pem -out tls.pem 2>/dev/null)
    export SSL_CERT_FILE=$PWD/tls.pem CURL_CA_BUNDLE=$PWD/tls.pem
  fi
}

# serve_ceremony: `mayfly serve` with what the ceremony made; only the TLS certificate is new, in the section that stands in its
# mayfly.yaml as a comment.
serve_ceremony() {
  cp tls.pem tls-key.pem "$(dirname "$CONFIG")"
  sed -i -E '/^# (tls:|  certificate:|  key: tls)/s/^# //; s/^metrics-listen: .*/metrics-listen: "off"/' "$CONFIG"
  grep -q '^tls:' "$CONFIG" || fail "no tls section in $CONFIG"
  "$MAYFLY" config check --online --config "$CONFIG"
  serving "$CONFIG"
}

# sign BUNDLE, verify BUNDLE [OPTION...]: the file `blob`, by cosign with the files of the ceremony for clients.
sign() {
  write_token token --email "$EMAIL"
  cosign sign-blob -y --identity-token token --signing-config "$CLIENTS/signing_config.json" \
    --trusted-root "$CLIENTS/trusted_root.json" --bundle "$1" blob
}
verify() {
  cosign verify-blob --trusted-root "$CLIENTS/trusted_root.json" --insecure-ignore-tlog --bundle "$1" \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" "${@:2}" blob
}

# js_verify BUNDLE: the same by sigstore-js.
js_verify() {
  NODE_ROOT="$CACHE/node" node -e '
    const fs = require("node:fs");
    const load = require("node:module").createRequire(process.env.NODE_ROOT + "/package.json");
    const { bundleFromJSON } = load("@sigstore/bundle");
    const { TrustedRoot } = load("@sigstore/protobuf-specs");
    const { toSignedEntity, toTrustMaterial, Verifier } = load("@sigstore/verify");
    const [root, bundle, blob, identity, issuer] = process.argv.slice(1);
    const json = (file) => JSON.parse(fs.readFileSync(file));
    const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(json(root))), { tlogThreshold: 0 });
    verifier.verify(toSignedEntity(bundleFromJSON(json(bundle)), fs.readFileSync(blob)),
      { subjectAlternativeName: identity, extensions: { issuer } });
  ' "$CLIENTS/trusted_root.json" "$1" blob "$EMAIL" "$ISSUER"
}

# leaf BUNDLE: its certificate, PEM.
leaf() { jq -er '.verificationMaterial | (.certificate // .x509CertificateChain.certificates[0]).rawBytes' "$1" | base64 -d | openssl x509; }

# signs_again BUNDLE: once what was away is back, without a restart.
signs_again() {
  local deadline=$((SECONDS + 40))
  until sign "$1" 2>again.log; do
    ((SECONDS < deadline)) || fail "no certificate: $(<again.log)"
    sleep 1
  done
  verify "$1"
}

now() { date -u +%FT%TZ; }

# certificates_of FILE: as a trusted root has them, one a line.
certificates_of() {
  local rest
  rest=$(<"$1")
  while [[ $rest == *-----BEGIN* ]]; do
    openssl x509 -outform DER <<<"$rest" | base64 -w0 | jq -R '{rawBytes: .}'
    rest=${rest#*-----END CERTIFICATE-----}
  done
}

# in_force: the server of `serving` reads its configuration again, and it is in force.
in_force() {
  local before deadline=$((SECONDS + 20))
  before=$(grep -c 'in force as configured' "$WORK/serve.log" || true)
  kill -HUP "$MAYFLY_PID"
  until (($(grep -c 'in force as configured' "$WORK/serve.log" || true) > before)); do
    ((SECONDS < deadline)) || fail "the configuration is not in force: $(tail -n 5 "$WORK/serve.log")"
    sleep 0.1
  done
}

# status: what a request for a certificate is answered with; the answer is in answer.json. (cosign garbles a 503: "read on
# closed response body".)
status() {
  write_token token --email "$EMAIL"
  challenge_request token "$EMAIL" request.json
  curl -sS -o answer.json -w '%{http_code}' -H 'Content-Type: application/json' --data-binary @request.json "$API/api/v2/signingCert"
}

# A port that nobody listens on now, for a command that must be told one.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# write_token FILE ARGS...: a token of the development provider, without a newline at its end
# (cosign sends the file's bytes as they are).
write_token() {
  local file=$1
  shift
  printf %s "$("$MAYFLY" dev token --data-dir "$DATA" "$@")" >"$file"
}

# spoil_token FROM TO: the same token with another signature, still well-formed.
spoil_token() { printf %sAAAAAAAAAAAAAAAA "$(head -c -16 "$1")" >"$2"; }

# write_log_key FILE: the log's public key, PEM, from the trusted root.
write_log_key() {
  jq -r '.ctlogs[0].publicKey.rawBytes' "$TRUSTED_ROOT" | base64 -d | openssl pkey -pubin -inform DER -out "$1"
}

# claim TOKENFILE NAME: a claim, as the token says it.
claim() { jq -Rer --arg name "$2" 'split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson | .[$name]' "$1"; }

# uri_of CERTIFICATE: the URI in its subject alternative name.
uri_of() { openssl x509 -in "$1" -noout -ext subjectAltName | sed -n 's/^ *URI:\(.*\)$/\1/p'; }

# challenge_request TOKENFILE SUBJECT OUTFILE: a new P-256 key and the v2 request that proves it.
challenge_request() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$WORK/key.pem"
  openssl pkey -in "$WORK/key.pem" -pubout -out "$WORK/key.pub"
  jq -n --rawfile token "$1" --rawfile key "$WORK/key.pub" --arg proof "$(sign_base64 "$2")" '{
    credentials: {oidcIdentityToken: $token},
    publicKeyRequest: {publicKey: {algorithm: "ECDSA", content: $key}, proofOfPossession: $proof}
  }' >"$3"
}

# sign_base64 TEXT: ECDSA over SHA-256 with the key of challenge_request.
sign_base64() { printf %s "$1" | openssl dgst -sha256 -sign "$WORK/key.pem" | base64 -w0; }

# request_certificate TOKENFILE SUBJECT DIR: DIR/{leaf,intermediate,root}.pem and DIR/response.json.
request_certificate() {
  mkdir -p "$3"
  challenge_request "$1" "$2" "$3/request.json"
  local status
  status=$(curl -sS -o "$3/response.json" -w '%{http_code}' -H 'Content-Type: application/json' \
    --data-binary "@$3/request.json" "$API/api/v2/signingCert")
  [[ $status == 200 ]] || fail "v2 answered $status: $(<"$3/response.json")"
  expect 3 "$(certificates "$3" length)" "certificates in the chain"
  certificates "$3" '.[0]' >"$3/leaf.pem"
  certificates "$3" '.[1]' >"$3/intermediate.pem"
  certificates "$3" '.[2]' >"$3/root.pem"
}

certificates() { jq -er ".signedCertificateEmbeddedSct.chain.certificates | $2" "$1/response.json"; }

# grpc_serving GRPCURL-ARGUMENTS...: waits until the gRPC health service says SERVING (the stream tells of every
# change; it may be two seconds behind /readyz).
grpc_serving() {
  grep -qm1 '"SERVING"' < <(timeout 20 grpcurl "$@" grpc.health.v1.Health/Watch) || fail "gRPC health is never SERVING"
}

# findings NAME CERTIFICATE: lines "tool name finding".
findings() {
  openssl x509 -in "$2" -outform DER -out "$WORK/$1.der"
  # Its exit code is the number of findings.
  { "$CACHE/venv/bin/lint_pkix_cert" lint -f json -s NOTICE "$WORK/$1.der" || true; } |
    jq -r --arg name "$1" '.results[].finding_descriptions[] | "pkilint \($name) \(.code)"'
  zlint -format pem "$2" |
    jq -r --arg name "$1" 'to_entries[] | select(.value.result | IN("info", "warn", "error", "fatal")) | "zlint \($name) \(.key)"'
}

# all_allowed FILE: every finding in it, one a line and sorted, is in lint_allowed.txt; that without its reasons is in WORK/allowed.
all_allowed() {
  local new
  sed 's/ *#.*//; /^$/d' "$HERE/lint_allowed.txt" | sort -u >"$WORK/allowed"
  new=$(comm -23 "$1" "$WORK/allowed")
  [[ -z $new ]] || fail "not allowed: $new"
}
