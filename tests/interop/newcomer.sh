#!/usr/bin/env bash
# A newcomer who starts `mayfly dev` and types what it prints, letter for letter, at a terminal with a browser.
source "$(dirname "$0")/lib.sh"
export HOME="$WORK/home"
mkdir -p "$HOME" "$WORK/bin"
cd "$WORK"
cat >bin/xdg-open <<SH
#!/usr/bin/env bash
python3 "$HERE/browser.py" "\$1" "$EMAIL" >"$WORK/browser.log" 2>&1 &
SH
chmod +x bin/xdg-open

step "what it prints"
exec {output}< <(exec "$MAYFLY" dev --port 0 --data-dir "$WORK/my data" 2>"$WORK/mayfly.log")
MAYFLY_PID=$!
PIDS+=("$MAYFLY_PID")
while read -r -t 60 -u "$output" line; do
  printf '%s\n' "$line"
  [[ $line == "Stop with"* ]] && break
done >printed
cat printed
# Its commands are those of cosign, mayfly and echo, with their continuation lines.
awk '/^(cosign|echo|.*mayfly dev token) / { on = 1 } on { print } !/\\$/ { on = 0 }' <(sed 's/^ *//' printed) >commands
expect "2 1" "$(grep -c '^cosign sign-blob' commands) $(grep -c '^cosign verify-blob' commands)" "sign and verify commands"

step "typed"
PATH="$WORK/bin:$PATH" script --quiet --return --command "bash -euxo pipefail commands" typescript </dev/null
stop_mayfly
