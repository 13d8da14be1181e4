#!/usr/bin/env bash
# Fulcio's own issuer file, unchanged, and Fulcio's own code beside ours: the same identity for the same claims.
source "$(dirname "$0")/lib.sh"

step "Fulcio's code, and the issuer file of its public instance"
# `run` has built it already, then this takes no time.
mkdir -p "$CACHE/bin"
go build -C "$HERE/fulcio-identity" -o "$CACHE/bin/fulcio-identity" .
FULCIO=$(go list -C "$HERE/fulcio-identity" -m -f '{{.Dir}}' github.com/sigstore/fulcio)
ISSUERS="$FULCIO/config/identity/config.yaml"

step "it loads unchanged, with no error"
"$MAYFLY" config check --issuers "$ISSUERS" >"$WORK/check.txt" || fail "$(<"$WORK/check.txt")"
grep -q '^no errors' "$WORK/check.txt" || fail "$(<"$WORK/check.txt")"
refused 'has no `allow`' "$MAYFLY" config check --issuers "$ISSUERS" --deny-warnings

step "thousands of odd tokens get the same identity from both, or none from Mayfly"
python3 "$HERE/fulcio_identity.py" "$MAYFLY" fulcio-identity "$ISSUERS"

step "the golden identities are what Fulcio says, by our file of its public instance's issuers"
"$HERE/fulcio-identity/regenerate.py" --check "$PROJECT/config/public-good.yaml"
python3 "$HERE/fulcio_identity.py" "$MAYFLY" fulcio-identity "$PROJECT/config/public-good.yaml"
