#!/usr/bin/env bash
# sigstore-js (npm sigstore 4): its Fulcio signer, its bundle builder from our signing config, its verifier.
# The verifier wants a trusted time: our timestamp authority gives it. No Rekor.
source "$(dirname "$0")/lib.sh"
start_dev
client() { NODE_ROOT="$CACHE/node" node "$HERE/sigstore_js.cjs" "$SIGNING_CONFIG" "$TRUSTED_ROOT" "$@"; }

step "an email token"
write_token "$WORK/token" --email "$EMAIL"
client "$WORK/token" "$EMAIL" "$ISSUER"

step "a GitHub Actions token"
write_token "$WORK/github" --github octo-org/octo-repo
request_certificate "$WORK/github" "$(claim "$WORK/github" sub)" "$WORK/c"
identity=$(uri_of "$WORK/c/leaf.pem")
client "$WORK/github" "$identity" "$GITHUB_ISSUER"

step "a signing config without a timestamp authority loads too"
jq 'del(.tsaUrls, .tsaConfig)' "$SIGNING_CONFIG" >"$WORK/untimed.json"
NODE_ROOT="$CACHE/node" node -e '
  const load = require("node:module").createRequire(process.env.NODE_ROOT + "/package.json");
  const config = load("@sigstore/protobuf-specs").SigningConfig.fromJSON(JSON.parse(require("node:fs").readFileSync(process.argv[1])));
  load("@sigstore/sign").bundleBuilderFromSigningConfig({ signingConfig: config, bundleType: "messageSignature" });
' "$WORK/untimed.json"

step "a bad token: the server's own words reach the user"
spoil_token "$WORK/token" "$WORK/bad"
refused "creating signing certificate.*token" client "$WORK/bad" "$EMAIL" "$ISSUER"
stop_mayfly
