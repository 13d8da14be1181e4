#!/usr/bin/env bash
# C12: the client of certificate-transparency-go, which knows RFC 6962 and nothing of tiles: tree head, roots, submission,
# entries, proof by hash, consistency. It verifies every signature and proof itself.
source "$(dirname "$0")/lib.sh"
start_dev
LOG=$(jq -er '.ctlogs[0].baseUrl' "$TRUSTED_ROOT")
write_log_key "$WORK/log.pem"

# ct COMMAND ARGUMENTS...
ct() { timeout 60 ctclient "$1" --log_uri "$LOG" --pub_key "$WORK/log.pem" "${@:2}" || fail "ctclient $*"; }

# tree_head: SIZE and ROOT of the newest one, whose signature ctclient verifies.
tree_head() {
  read -r SIZE ROOT < <(ct get-sth | sed -n 's/.*(size=\([0-9]*\)).*hash \([0-9a-f]*\)$/\1 \2/p')
  [[ $ROOT ]] || fail "no tree head"
}

# tree_head_of SIZE: waits until the published tree has that many entries.
tree_head_of() {
  local deadline=$((SECONDS + 20))
  until tree_head && ((SIZE >= $1)); do
    ((SECONDS < deadline)) || fail "the tree is still $SIZE, not $1"
    sleep 0.1
  done
}

certificate() { openssl x509 -in "$1" -outform DER; }

step "the roots are the CA's"
write_token "$WORK/token" --email "$EMAIL"
request_certificate "$WORK/token" "$EMAIL" "$WORK/first"
ct get-roots --text=false >"$WORK/roots.pem"
cmp <(certificate "$WORK/roots.pem") <(certificate "$WORK/first/root.pem") || fail "another root"

step "a tree head with the precertificate of that certificate"
tree_head_of 1
FIRST_SIZE=$SIZE FIRST_ROOT=$ROOT

step "the certificate itself: submitted twice, it gets one entry and one SCT"
cat "$WORK"/first/{leaf,intermediate,root}.pem >"$WORK/chain.pem"
ct upload --cert_chain "$WORK/chain.pem" | tee "$WORK/upload.1"
ct upload --cert_chain "$WORK/chain.pem" >"$WORK/upload.2"
cmp "$WORK/upload.1" "$WORK/upload.2" || fail "the second submission is answered otherwise"
tree_head_of $((FIRST_SIZE + 1))
expect $((FIRST_SIZE + 1)) "$SIZE" "size after the two submissions"

step "more entries, and then a proof that nothing before them changed"
for n in 2 3 4; do request_certificate "$WORK/token" "$EMAIL" "$WORK/more$n"; done
tree_head_of $((FIRST_SIZE + 4))
ct get-consistency-proof --prev_size "$FIRST_SIZE" --prev_hash "$FIRST_ROOT" --size "$SIZE" --tree_hash "$ROOT" |
  tee "$WORK/consistency"
grep -q "^Verified that hash $FIRST_ROOT @$FIRST_SIZE + proof = hash $ROOT @$SIZE" "$WORK/consistency" ||
  fail "no consistency proof"

step "the certificate is found by its leaf hash"
LEAF_HASH=$(sed -n 's/^LeafHash: //p' "$WORK/upload.1")
ct get-inclusion-proof --leaf_hash "$LEAF_HASH" | tee "$WORK/inclusion"
grep -q "^Verified that hash $LEAF_HASH + proof = root hash $ROOT" "$WORK/inclusion" || fail "no inclusion proof"
INDEX=$(sed -n 's/^Inclusion proof for index \([0-9]*\) .*/\1/p' "$WORK/inclusion")
expect "$FIRST_SIZE" "$INDEX" "index of the certificate"
refused 'HTTP Status: 404|no entry with this leaf hash' \
  ctclient get-inclusion-proof --log_uri "$LOG" --pub_key "$WORK/log.pem" --leaf_hash "$(printf '%064d' 0)"

step "its entry holds the certificate and its chain"
ct get-entries --first "$INDEX" --last "$INDEX" --text=false --chain >"$WORK/entry"
sed -n '/BEGIN CERT/,/END CERT/p' "$WORK/entry" >"$WORK/entry.pem"
cmp <(certificate "$WORK/entry.pem") <(certificate "$WORK/first/leaf.pem") || fail "another certificate"
expect 3 "$(grep -c 'BEGIN CERT' "$WORK/entry.pem")" "certificates of the entry and its chain"

step "every entry is there, precertificates too"
ct get-entries --first 0 --last $((SIZE - 1)) --text=false >"$WORK/entries"
expect "$SIZE" "$(grep -c '^Index=' "$WORK/entries")" "entries"
expect $((SIZE - 1)) "$(grep -c 'pre-certificate' "$WORK/entries")" "precertificates"
