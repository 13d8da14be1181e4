#!/usr/bin/env bash
# Dex as the identity provider of `mayfly serve`, with signing keys that change every 30 seconds, and eight clients
# that log in and want certificates all the while: none may fail. Takes 100 seconds, or what DEX_SECONDS says.
source "$(dirname "$0")/lib.sh"
cd "$WORK"

step "one program for the provider and the clients"
# `run` has built it already, then this takes no time.
mkdir -p "$CACHE/bin"
go build -C "$HERE/dex" -o "$CACHE/bin/dex_rotation" .

step "the provider; \`mayfly serve\` with the CA and log of a development directory"
start_dev
stop_mayfly
# Not before: Mayfly's first fetch is to be far from the first change of keys, since it fetches once in ten seconds.
start_server provider dex_rotation provider
PROVIDER=$(ready issuer)
curl -sS --fail "$PROVIDER/.well-known/openid-configuration" | jq -r .issuer
start_serve "$PROVIDER" 127.0.0.1

step "every token gets its certificate, whichever key signed it"
dex_rotation -issuer "$PROVIDER" -api "$API" -duration "${DEX_SECONDS:-100}s" >summary.json 2>clients.log ||
  fail "$(<summary.json)"
summary() { jq -r "$1" summary.json; }
CERTIFICATES=$(summary '.certificates | add')
echo "tokens $(summary '.tokens | add'), certificates $CERTIFICATES, failures $(summary '.failures | length')"
echo "keys in tokens $(summary '.tokens | length'), with a certificate $(summary '.certificates | length')"

step "one fetch for each new key, no more"
ROTATIONS=$(grep -c 'msg="keys rotated"' provider.log)
FETCHES=$(grep -c 'msg="keys fetched"' provider.log)
echo "Dex made $ROTATIONS keys, Mayfly fetched them $FETCHES times"
((FETCHES <= ROTATIONS)) || fail "Mayfly fetched more often than the keys changed"

step "the audit: two records for each of these certificates, and for nothing else"
expect $((2 * CERTIFICATES)) "$(wc -l <audit.jsonl)" "audit records"
NAMES=$(jq -r 'select(.event == "precertificate") | "\(.name.email) \(.extensions.issuer)"' audit.jsonl | sort -u)
expect "alice@example.com $PROVIDER" "$NAMES" "names in the audit"
stop_mayfly
