#!/usr/bin/env bash
# The runbooks of docs/runbooks.md, rehearsed one after the other on one CA: made without a network, its intermediate leaks, its
# log's key leaks, its machine is lost, its root leaks, its timestamp authority leaks. Whatever was signed and timestamped before verifies to the end; what the
# thief signs is refused. Where docs/runbooks.md prints commands, those are run. (An HSM that is replaced: softhsm.sh.)
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir "$HOME" "$WORK/site" "$WORK/bin"
ln -s "$MAYFLY" "$WORK/bin/mayfly"
export PATH="$WORK/bin:$PATH"
start_dev # the identity provider, and nothing else of it
cd "$WORK/site"
date >blob
umask 077
echo 'correct horse' >root.txt
echo 'battery staple' | tee ca.txt >server-passphrase
mkdir credentials
cp ca.txt credentials/ca-passphrase
cp ca.txt credentials/timestamp-passphrase
SERVER=ca/server

# as_printed FOLDER HEADING [NUMBER] [SED]: types, in that folder, a block of commands (the first) of a section of
# docs/runbooks.md. Only the places are others: the CA's, that of the copy, and what SED changes.
as_printed() {
  documented "$PROJECT/docs/runbooks.md" "$2" "" | awk -v RS= -v wanted="${3:-1}" 'NR == wanted' |
    sed -e "s|https://ca.example.com|$API|g; s|/srv/copy|$PWD/copies/log|g" -e "${4:-}" >commands
  [[ -s commands ]] || fail "docs/runbooks.md has no such block: $2, ${3:-1}"
  sed 's/^/    /' commands >&2
  (export CREDENTIALS_DIRECTORY=$PWD/credentials && bash -euo pipefail -c 'cd "$1" && source "$2"' - "$1" "$PWD/commands")
}

# timestamped BUNDLE: signed with the files for clients, and a timestamp.
timestamped() {
  write_token token --email "$EMAIL"
  cosign sign-blob -y --identity-token token --signing-config signing_config.json --trusted-root trusted_root.json --bundle "$1" blob
}

# verifies BUNDLE [COMMAND...]: by the trusted root of now and the timestamp, whatever the time is.
verifies() {
  "${@:2}" cosign verify-blob --trusted-root trusted_root.json --insecure-ignore-tlog --use-signed-timestamps --bundle "$1" \
    --certificate-identity "$EMAIL" --certificate-oidc-issuer "$ISSUER" blob
}

# fetch_trusted_root: what the server says now.
fetch_trusted_root() { curl -sS --fail -o trusted_root.json "$API/trust/trusted_root.json"; }

# ends: of the CAs and logs in it.
ends() { jq -c '[.certificateAuthorities[].validFor.end, .ctlogs[].publicKey.validFor.end]' trusted_root.json; }

# kill_serve: as a power cut does.
kill_serve() {
  kill -KILL "$MAYFLY_PID"
  wait "$MAYFLY_PID" || true
}

step "the ceremony and all of verification, without a network"
printf '#!/bin/sh\nexec unshare --map-root-user --net "%s" "$@"\n' "$MAYFLY" >offline-mayfly
chmod 700 offline-mayfly
MAYFLY="$PWD/offline-mayfly" ceremony ca --root-passphrase file:root.txt --ca-passphrase file:server-passphrase
mv ca/root root
serve_ceremony
cp "$CLIENTS/trusted_root.json" "$CLIENTS/signing_config.json" .
timestamped first.json
verifies first.json
verifies first.json unshare --map-root-user --net

step "the intermediate's key leaked: what the thief logged is in the log, and not in the audit record"
openssl pkey -in $SERVER/ca-key.pem -passin file:server-passphrase -out stolen.pem
openssl ecparam -name prime256v1 -genkey -noout -out thief.pem
printf '%s\n' keyUsage=critical,digitalSignature extendedKeyUsage=codeSigning subjectAltName=critical,email:ceo@example.com \
  authorityKeyIdentifier=keyid subjectKeyIdentifier=hash "1.3.6.1.4.1.57264.1.1=ASN1:UTF8String:$ISSUER" >forged.ext
openssl req -new -config req.cnf -key thief.pem -subj / -out thief.csr
openssl x509 -req -in thief.csr -CA $SERVER/ca.pem -CAkey stolen.pem -days 1 -extfile forged.ext -out forged.pem
jq -n --argjson chain "$({ certificates_of forged.pem && certificates_of $SERVER/ca.pem; } | jq -s 'map(.rawBytes)')" '{chain: $chain}' >submission.json
curl -sS --fail-with-body -H 'Content-Type: application/json' --data-binary @submission.json "$API/log/ct/v1/add-chain" >sct.json
as_printed $SERVER "The intermediate's key" >found
expect "ceo@example.com" "$(jq -r --arg serial "$(<found)" 'select(.serial == $serial).identities[]' $SERVER/logged.jsonl)" \
  "who is named by what this server did not issue, and nothing that it issued and did not log"

step "the next intermediate takes over without a restart; the old one is believed until then, and no longer"
as_printed . "Rotation of the intermediate"
END=$(now)
sleep 2
timestamped stolen.json # the old key still signs here, as it does for the thief
mv next/ca.pem $SERVER/ca-2.pem
mv next/ca-key.pem $SERVER/ca-2-key.pem
sed -i "s/ca\.pem/ca-2.pem/; s/ca-key\.pem/ca-2-key.pem/; /^  chain: ca/a\\  also-trusted: [{chain: ca.pem, until: $END}]" $SERVER/mayfly.yaml
in_force
fetch_trusted_root
expect "[null,\"$END\",null]" "$(ends)" "ends"
INTERMEDIATE_END=$END
timestamped second.json
verifies second.json
verifies first.json
refused "leaf certificate verification failed" verifies stolen.json
expect 1 "$(curl -sS --fail "$API/api/v2/trustBundle" | jq '.chains | length')" "chains in the trust bundle"

step "the log's key leaked: the next shard takes over, and the old log stays readable, without its key"
stop_mayfly
as_printed $SERVER "The log's key" 1
sleep 1 # times in a trusted root are seconds
END=$(now)
BORDER=$(date -u -d "+600 seconds" +%FT%TZ) # certificates that are issued from now on end after it
origin=$(sed -n 's/^  origin: \([^ ]*\).*/\1/p' $SERVER/mayfly.yaml)
sed -i '/^log:/,/^[^ #]/{/^  /d}' $SERVER/mayfly.yaml
sed -i "/^log:/r /dev/stdin" $SERVER/mayfly.yaml <<YAML
  shards:
    - {origin: $origin, directory: log, key: log-key.pem, retired: true, trusted-until: $END, not-after: {from: 2026-01-01T00:00:00Z, until: $BORDER}}
    - origin: $origin-2
      directory: log-2
      key: log-2-key.pem
      passphrase: file:$PWD/server-passphrase
      not-after: {from: $BORDER, until: 2036-01-01T00:00:00Z}
YAML
rm $SERVER/log-key.pem
serve_ceremony
as_printed $SERVER "The log's key" 2
fetch_trusted_root
expect "[null,\"$INTERMEDIATE_END\",\"$END\",\"2036-01-01T00:00:00Z\"]" "$(ends)" "ends"
LOG_END=$END
timestamped third.json
verifies third.json
verifies first.json
"$MAYFLY" log verify --tls-roots tls.pem --key $SERVER/log.pem "$API/log"
"$MAYFLY" log verify --tls-roots tls.pem --key $SERVER/log-2.pem "$API/log-2"

step "the machine is lost: configuration and keys from the backup, the log from its copy, which must be the newest"
cp -a $SERVER backup
rm -r backup/log backup/log-2
# of_shard_2 COPY: what is other for that shard, whose copy has this name.
of_shard_2() { echo "s|copies/log|copies/$1|; s|$API/log|$API/log-2|; s|log\\.pem|log-2.pem|; s|--directory log|--directory log-2|"; }
follow() { as_printed $SERVER "The ceremony" 2 "$(of_shard_2 log-2); s|monitor.json|$PWD/monitor-2.json|; s|seen.jsonl|$PWD/seen.jsonl|"; }
as_printed $SERVER "The ceremony" 1
as_printed $SERVER "The ceremony" 1 "$(of_shard_2 behind)"
timestamped fourth.json
as_printed $SERVER "The ceremony" 1 "$(of_shard_2 log-2)"
follow
# What a monitor, a mirror or a witness has seen.
curl -sS --fail "$API/log/checkpoint" >newest.note
curl -sS --fail "$API/log-2/checkpoint" >newest-2.note
kill_serve
rm -r $SERVER
cp -a backup $SERVER
mv newest.note newest-2.note $SERVER
restore_2() { as_printed $SERVER "Disaster: the machine is lost" 1 "$(of_shard_2 "$1"); s|newest.note|newest-2.note|"; }
refused "is a checkpoint of" restore_2 behind
restore_2 log-2
as_printed $SERVER "Disaster: the machine is lost"
serve_ceremony
timestamped fifth.json
for bundle in first second third fourth fifth; do verifies $bundle.json; done
rm seen.jsonl
follow
expect 1 "$(jq -s length seen.jsonl)" "certificates since the monitor last looked: the log only grew"

step "the root's key leaked: another root, the same log; the old one is believed until then"
# Whoever has it can certify a timestamp authority, too, that says whatever time they like.
openssl ecparam -name prime256v1 -genkey -noout -out thief-tsa-key.pem
printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature extendedKeyUsage=critical,timeStamping \
  authorityKeyIdentifier=keyid subjectKeyIdentifier=hash >thief-tsa.ext
openssl req -new -config req.cnf -key thief-tsa-key.pem -subj /CN=time -out thief-tsa.csr
openssl x509 -req -in thief-tsa.csr -CA root/root.pem -CAkey root/root-key.pem -passin file:root.txt -days 30 \
  -extfile thief-tsa.ext -out thief-tsa.pem
printf '%s\n' '[tsa]' 'serial = serial' 'signer_digest = sha256' 'default_policy = 1.2.3.4' 'digests = sha256' >ts.cnf
jq -r .messageSignature.signature fifth.json | base64 -d >signature
openssl ts -query -data signature -sha256 -cert -out query.tsq
openssl ts -reply -config ts.cnf -section tsa -signer thief-tsa.pem -inkey thief-tsa-key.pem -queryfile query.tsq -out reply.tsr
openssl ts -verify -queryfile query.tsq -in reply.tsr -CAfile root/root.pem -untrusted thief-tsa.pem
jq --arg reply "$(base64 -w0 reply.tsr)" \
  '.verificationMaterial.timestampVerificationData.rfc3161Timestamps[0].signedTimestamp = $reply' fifth.json >thief-time.json
refused "does not match the provided TSA certificate" verifies thief-time.json
END=$(now)
sleep 2
timestamped stolen.json
as_printed . "The root's key" >summary
cp again/server/ca.pem $SERVER/ca-3.pem
cp again/server/ca-key.pem $SERVER/ca-3-key.pem
sed -i "s/ca-2\.pem/ca-3.pem/; s/ca-2-key\.pem/ca-3-key.pem/; s/also-trusted: \[/&{chain: ca-2.pem, until: $END}, /" $SERVER/mayfly.yaml
in_force
fetch_trusted_root
expect "[null,\"$END\",\"$INTERMEDIATE_END\",\"$LOG_END\",\"2036-01-01T00:00:00Z\"]" "$(ends)" "ends"
timestamped sixth.json
for bundle in first second third fourth fifth sixth; do verifies $bundle.json; done
refused "leaf certificate verification failed" verifies stolen.json
"$MAYFLY" log verify --tls-roots tls.pem --key $SERVER/log-2.pem "$API/log-2"

step "the timestamp authority under the new root takes over without a restart; the old one stays believed"
# timestamps_by NUMBER FOLDER: puts the authority of a folder into place, and names it.
timestamps_by() {
  mv "$2/timestamp.pem" "$SERVER/timestamp-$1.pem"
  mv "$2/timestamp-key.pem" "$SERVER/timestamp-$1-key.pem"
  sed -i -E "s/timestamp(-[0-9])?\.pem/timestamp-$1.pem/; s/timestamp(-[0-9])?-key\.pem/timestamp-$1-key.pem/" $SERVER/mayfly.yaml
}
timestamps_by 2 again/server
sed -i '/^  chain: timestamp/a\  also-trusted: [timestamp.pem]' $SERVER/mayfly.yaml
in_force
fetch_trusted_root
timestamped seventh.json
for bundle in first sixth seventh; do verifies $bundle.json; done

step "the timestamp authority's key leaked: the next one, and no other is believed"
rm -r root
mv again/root root
as_printed . "The timestamp authority's key"
openssl verify -purpose timestampsign -CAfile root/root.pem next/timestamp.pem
sed -i '/^  also-trusted: \[timestamp\.pem\]$/d' $SERVER/mayfly.yaml
timestamps_by 3 next
in_force
fetch_trusted_root
timestamped eighth.json
verifies eighth.json
for bundle in sixth seventh; do refused "threshold not met for verified signed timestamps" verifies $bundle.json; done
stop_mayfly
MAYFLY_PID=$PROVIDER_PID
stop_mayfly
