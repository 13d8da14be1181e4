#!/usr/bin/env bash
# The linters of others, pkilint and zlint, on every certificate of a chain: each finding is in
# lint_allowed.txt with its reason, and each line of that file is still found.
source "$(dirname "$0")/lib.sh"
start_dev

# findings NAME CERTIFICATE: lines "tool name finding".
findings() {
  openssl x509 -in "$2" -outform DER -out "$WORK/$1.der"
  # Its exit code is the number of findings.
  { "$CACHE/venv/bin/lint_pkix_cert" lint -f json -s NOTICE "$WORK/$1.der" || true; } |
    jq -r --arg name "$1" '.results[].finding_descriptions[] | "pkilint \($name) \(.code)"'
  zlint -format pem "$2" |
    jq -r --arg name "$1" 'to_entries[] | select(.value.result | IN("info", "warn", "error", "fatal")) | "zlint \($name) \(.key)"'
}

step "the linters find what is wrong with a bad certificate"
openssl req -x509 -newkey rsa:1024 -nodes -keyout "$WORK/bad.key" -out "$WORK/bad.pem" -subj / \
  -addext 'subjectAltName=email:someone@example.com' -addext 'keyUsage=keyCertSign' 2>/dev/null
findings bad "$WORK/bad.pem" >"$WORK/bad.findings"
for tool in pkilint zlint; do grep -q "^$tool " "$WORK/bad.findings" || fail "$tool finds nothing in a bad certificate"; done

step "an email, a workflow, the intermediate, the root"
write_token "$WORK/token" --email "$EMAIL"
request_certificate "$WORK/token" "$EMAIL" "$WORK/email"
write_token "$WORK/github" --github octo-org/octo-repo
request_certificate "$WORK/github" "$(claim "$WORK/github" sub)" "$WORK/workflow"
{
  findings leaf "$WORK/email/leaf.pem"
  findings leaf "$WORK/workflow/leaf.pem"
  findings intermediate "$WORK/email/intermediate.pem"
  findings root "$WORK/email/root.pem"
} | sort -u >"$WORK/found"
sed 's/ *#.*//; /^$/d' "$HERE/lint_allowed.txt" | sort -u >"$WORK/allowed"
cat "$WORK/found"
new=$(comm -23 "$WORK/found" "$WORK/allowed")
[[ -z $new ]] || fail "not allowed: $new"
stale=$(comm -13 "$WORK/found" "$WORK/allowed")
[[ -z $stale ]] || fail "allowed, but no longer found: $stale"
stop_mayfly
