#!/usr/bin/env bash
# The commands of docs/from-fulcio.md beside Fulcio itself and TesseraCT, whose CA, log and issuer file `mayfly serve` takes over. The ports
# are those of that page, so there is a network of its own.
[[ ${OWN_NETWORK:-} ]] || OWN_NETWORK=1 exec unshare --map-root-user --net "$0" "$@"
source "$(dirname "$0")/lib.sh"
ip link set lo up
GUIDE="$PROJECT/docs/from-fulcio.md"
mkdir "$WORK/bin" "$WORK/fulcio"
ln -s "$MAYFLY" "$WORK/bin/mayfly"
export PATH="$WORK/bin:$PATH"
cd "$WORK/fulcio"

# typed FILE: as the page has them, in this shell; a server that they start is MAYFLY_PID.
typed() {
  sed '/./!d; s/ &$/ 2>>"$WORK\/serve.log" \&\nMAYFLY_PID=$!; PIDS+=("$MAYFLY_PID")/' "$1" >"$WORK/commands"
  set -x
  source "$WORK/commands"
  { set +x; } 2>/dev/null
}

# step_of NUMBER: the commands of that step.
step_of() { documented <(awk -v number="$1" '/^## The move/ { print } /^\*\*[0-9]+\. / { on = index($0, "**" number ".") == 1 } on' "$GUIDE") "The move"; }

# settings HEADING: the YAML of that section.
settings() { documented "$GUIDE" "$1" yaml; }

# signed NAME PORT: a file signed by cosign with a certificate of the CA at that port.
signed() {
  write_token token --email "$EMAIL"
  cosign signing-config create --out "$1-config.json" \
    --fulcio "url=http://127.0.0.1:$2,api-version=1,start-time=2026-01-01T00:00:00Z,operator=test"
  cosign sign-blob -y --identity-token "$(<token)" --signing-config "$1-config.json" --trusted-root "$ROOT" --bundle "$1.json" blob
  leaf "$1.json" >"$1.pem"
  verified "$1"
}

# verified NAME: by the trusted root of the clients.
verified() {
  cosign verify-blob --trusted-root "$ROOT" --insecure-ignore-tlog --bundle "$1.json" --certificate-identity "$EMAIL" \
    --certificate-oidc-issuer "$ISSUER" blob
}

# profile NAME: all of a certificate but what is new each time: serial, key, dates, signature, SCT.
profile() {
  openssl x509 -in "$1.pem" -noout -text -certopt no_serial,no_pubkey,no_validity,no_sigdump |
    sed '/CT Precertificate SCTs/,$ { /^ *X509v3\|^ *1\.3\./!d }; /Subject Key Identifier/,+1d'
}

step "Fulcio with a CA in files, TesseraCT, and an identity provider"
export HOME="$WORK/home" # nothing of the user's sigstore set-up
mkdir "$HOME"
start_dev
authority ca
openssl pkey -in ca-key.pem -traditional -aes256 -passout pass:secret -out ca.key
rm ca-key.pem
grep -q 'Proc-Type: 4,ENCRYPTED' ca.key
openssl ecparam -name prime256v1 -genkey -noout -out ctlog.key
openssl pkey -in ctlog.key -pubout -out ctlog.pem
mkdir tiles
tesseract-posix -private_key ctlog.key -origin localhost -http_endpoint 127.0.0.1:6962 -storage_dir tiles -roots_pem_file "$WORK/ca-ca/ca/root.pem" \
  -ext_key_usages CodeSigning -checkpoint_interval 200ms >"$WORK/tesseract.log" 2>&1 &
TESSERACT_PID=$!
PIDS+=("$TESSERACT_PID")
cat >config.yaml <<YAML
oidc-issuers:
  $ISSUER:
    issuer-url: $ISSUER
    client-id: sigstore
    type: email
YAML
documented "$GUIDE" "The move" "" >fulcio-command
cat fulcio-command
source <(sed '$ s/$/ \&/' <(grep . fulcio-command)) >"$WORK/fulcio.log" 2>&1
FULCIO_PID=$!
PIDS+=("$FULCIO_PID")
curl -fsS --retry 30 --retry-all-errors -o /dev/null http://127.0.0.1:5555/healthz 2>/dev/null

step "what clients have: a trusted root by cosign, and a signature of before"
ROOT=clients.json
cosign trusted-root create --out "$ROOT" --fulcio "url=http://127.0.0.1:5555,certificate-chain=ca.pem" \
  --ctfe "url=http://localhost:6962,public-key=ctlog.pem,start-time=2026-01-01T00:00:00Z"
date >blob
signed before 5555

step "the move, step by step: key, settings, check, beside Fulcio"
typed <(step_of 1)
settings "The move" >mayfly.yaml
typed <(step_of 3)
typed <(step_of 4)
signed beside 5556
diff <(profile before) <(profile beside)
expect 1 "$(jq -r 'select(.event == "certificate") | .external[].log' audit.jsonl | grep -cx tesseract)" "SCTs of the old log on record"

step "Fulcio ends, Mayfly has its ports"
kill -TERM "$FULCIO_PID"
wait "$FULCIO_PID" || true
stop_mayfly
sed -i 's/5556/5555/; s/2113/2112/' mayfly.yaml
API=http://127.0.0.1:5555
serving mayfly.yaml
signed moved 5555
verified before
curl -fsS -o metrics http://127.0.0.1:2112/metrics
grep -qx 'fulcio_new_certs 1' metrics

step "a log of its own, in the trusted root before it is used"
{ sed 's/5555/5558/; s/2112/2114/; s/audit.jsonl/audit-next.jsonl/' mayfly.yaml; settings "A log of its own"; } >next.yaml
OLD_PID=$MAYFLY_PID
typed <(documented "$GUIDE" "A log of its own")
ROOT=trusted_root.json
expect 2 "$(jq '.ctlogs | length' "$ROOT")" "logs in the trusted root"
kill -TERM "$TESSERACT_PID" "$OLD_PID"
signed own 5558
for signature in before beside moved; do verified "$signature"; done
stop_mayfly
