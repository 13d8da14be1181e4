#!/usr/bin/env bash
# The files of `mayfly trust export` and of /trust/ in other people's clients, over a rotation in which the old CA's key leaked: from
# a moment on, nothing that it signed is believed, and what it signed before still is.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir "$HOME"
cd "$WORK"
date >blob

step "a provider, and two CAs"
start_dev
authority old
authority new
PORT=$(free_port)
API=http://127.0.0.1:$PORT

# configure CA ALSO_TRUSTED TIMESTAMPS ALSO_TRUSTED: writes mayfly.yaml.
configure() {
  cat >next.yaml <<YAML
url: $API
listen: 127.0.0.1:$PORT
metrics-listen: "off"
ca: {chain: $1.pem, key: $1-key.pem, also-trusted: [$2]}
timestamp: {chain: $3-ca/timestamp-chain.pem, key: $3-ca/timestamp-key.pem, also-trusted: [$4]}
log: {directory: log, origin: ca.example.com/log, key: log-key.pem}
issuers: issuers.yaml
private-identity-providers: [127.0.0.1]
audit: audit.jsonl
YAML
  mv next.yaml mayfly.yaml
}

# export_trust FOLDER: for the clients. What the server serves must be the same.
export_trust() {
  "$MAYFLY" trust export --config mayfly.yaml --output "$1" 2>export.log
  for file in trusted_root signing_config trust_config; do
    curl -sS --fail -o served.json "$API/trust/$file.json"
    cmp served.json "$1/$file.json" || fail "$file.json is not what is served"
  done
  CLIENTS=$WORK/$1
}

timed_verify() { verify "$1" --use-signed-timestamps; }

step "\`mayfly serve\`, and what it serves is what an export writes"
cp "$DATA/issuers.yaml" issuers.yaml
configure old "" old ""
serving mayfly.yaml
export_trust clients
"$MAYFLY" trust export --config mayfly.yaml --output clients 2>again.log && fail "an export overwrote files"
grep -q -- '--force' again.log

step "cosign: signed and verified with the files as they are"
sign plain.json
timed_verify plain.json

step "cosign 2: the PEM files"
SIGSTORE_ROOT_FILE=clients/ca.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=clients/ctlog-1.pem "$CACHE/cosign2/cosign" sign-blob -y \
  --identity-token token --fulcio-url "$API" --oidc-issuer "$ISSUER" --tlog-upload=false --output-signature signature \
  --output-certificate certificate blob 2>signed.log
grep -q 'verified SCT' signed.log || fail "the SCT was not checked"
SIGSTORE_ROOT_FILE=clients/ca.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=clients/ctlog-1.pem "$CACHE/cosign2/cosign" verify-blob \
  --insecure-ignore-tlog --certificate certificate --signature signature --certificate-identity "$EMAIL" \
  --certificate-oidc-issuer "$ISSUER" blob

step "sigstore-js: signing config and trusted root"
write_token token --email "$EMAIL"
NODE_ROOT="$CACHE/node" node "$HERE/sigstore_js.cjs" "$CLIENTS/signing_config.json" "$CLIENTS/trusted_root.json" token "$EMAIL" "$ISSUER"

step "sigstore-python: trusted root and trust config; the signing config in it, once a Rekor is in it"
python_loads() { # FOLDER CERTIFICATES
  jq '.signingConfig += {rekorTlogConfig: {selector: "ANY"}, rekorTlogUrls: [.signingConfig.caUrls[0] + {url: "https://rekor.example.com"}]}' \
    "$1/trust_config.json" >rekor.json
  "$CACHE/venv/bin/python" - "$1" "$API" "$ISSUER" "$2" <<'PYTHON'
import sys
from pathlib import Path
from sigstore._internal.trust import KeyringPurpose
from sigstore.errors import Error
from sigstore.models import ClientTrustConfig, TrustedRoot

folder, api, issuer, certificates = sys.argv[1:]
root = TrustedRoot.from_file(f"{folder}/trusted_root.json")
config = ClientTrustConfig.from_json(Path(folder, "trust_config.json").read_text())
for loaded in (root, config.trusted_root):
    assert len(loaded.get_fulcio_certs()) == int(certificates), loaded.get_fulcio_certs()
    loaded.ct_keyring(KeyringPurpose.VERIFY)
    loaded.ct_keyring(KeyringPurpose.SIGN)
try:
    sys.exit(f"loaded without a Rekor: {config.signing_config}")
except Error as error:
    assert "No valid Rekor" in str(error), error
signing = ClientTrustConfig.from_json(Path("rekor.json").read_text()).signing_config
assert signing.get_fulcio().url == api, signing.get_fulcio().url
assert signing.get_oidc_url() == issuer, signing.get_oidc_url()
PYTHON
}
python_loads clients 2

step "signatures of the old CA before and after the moment at which its key leaked"
sign before.json
sleep 2
LEAKED=$(now)
sleep 2
sign after.json
for bundle in before after; do
  timed_verify $bundle.json
  js_verify $bundle.json
done

step "the new CA takes over; the old one is believed until then"
configure new "{chain: old.pem, until: $LEAKED}" old ""
in_force
"$MAYFLY" trust export --config mayfly.yaml --output clients --force >/dev/null 2>export.log
export_trust rotated
cmp clients/trusted_root.json rotated/trusted_root.json
expect "[null,\"$LEAKED\"]" "$(jq -c '[.certificateAuthorities[].validFor.end]' rotated/trusted_root.json)" "ends of the CAs"
expect 1 "$(curl -sS --fail "$API/api/v2/trustBundle" | jq '.chains | length')" "chains in the trust bundle"
expect 2 "$(grep -c 'BEGIN CERTIFICATE' rotated/ca.pem)" "certificates in ca.pem"
sign new.json
for bundle in before new; do
  timed_verify $bundle.json
  js_verify $bundle.json
done
refused "leaf certificate verification failed" timed_verify after.json
refused "Failed to verify certificate chain" js_verify after.json
python_loads rotated 4

step "the same with the key of the timestamp authority"
sign timely.json
sleep 2
LATER=$(now)
sleep 2
sign late.json
configure new "{chain: old.pem, until: $LEAKED}" new "{chain: old-ca/timestamp-chain.pem, until: $LATER}"
in_force
export_trust retimed
expect "[null,\"$LATER\"]" "$(jq -c '[.timestampAuthorities[].validFor.end]' retimed/trusted_root.json)" "ends of the timestamp authorities"
sign newest.json
for bundle in before new timely newest; do
  timed_verify $bundle.json
  js_verify $bundle.json
done
refused "threshold not met for verified signed timestamps" timed_verify late.json
refused "timestamp could not be verified" js_verify late.json
stop_mayfly
