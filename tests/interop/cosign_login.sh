#!/usr/bin/env bash
# cosign, unmodified, with a person who logs in at the development identity provider: the browser flow
# (authorization code, PKCE, redirect to localhost) and the device flow.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir -p "$HOME" "$WORK/bin"
start_dev
cd "$WORK"
date >blob

# What cosign runs to open a browser. It must return at once: cosign listens only afterwards.
cat >bin/xdg-open <<SH
#!/usr/bin/env bash
python3 "$HERE/browser.py" "\$1" "$EMAIL" >"$WORK/browser.log" 2>&1 &
SH
chmod +x bin/xdg-open

sign() {
  timeout 120 cosign sign-blob -y --signing-config "$SIGNING_CONFIG" --trusted-root "$TRUSTED_ROOT" "$@" blob
}
verify() {
  cosign verify-blob --trusted-root "$TRUSTED_ROOT" --insecure-ignore-tlog --bundle "$1" \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob
}

step "browser"
PATH="$WORK/bin:$PATH" sign --fulcio-auth-flow normal --bundle browser.json </dev/null
verify browser.json

step "device"
mkfifo device
sign --fulcio-auth-flow device --bundle device.json </dev/null >device 2>cosign.log &
signer=$!
while read -r line; do
  echo "  $line"
  if [[ $line == *"browser at: "* ]]; then python3 "$HERE/browser.py" "${line##*browser at: }" "$EMAIL"; fi
done <device
wait "$signer" || fail "device flow"
verify device.json
stop_mayfly
