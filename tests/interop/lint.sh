#!/usr/bin/env bash
# The linters of others, pkilint and zlint, on every certificate of a chain: each finding is in
# lint_allowed.txt with its reason, and each line of that file is still found.
source "$(dirname "$0")/lib.sh"
start_dev

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
cat "$WORK/found"
all_allowed "$WORK/found"
stale=$(comm -13 "$WORK/found" "$WORK/allowed")
[[ -z $stale ]] || fail "allowed, but no longer found: $stale"
stop_mayfly
