#!/usr/bin/env bash
# A newcomer at a terminal with a browser who types what README.md says, then what `mayfly dev` prints, letter for letter. The
# ports are those of README.md, so it has a network of its own.
[[ ${OWN_NETWORK:-} ]] || OWN_NETWORK=1 exec unshare --map-root-user --net "$0" "$@"
source "$(dirname "$0")/lib.sh"
ip link set lo up
export HOME="$WORK/home"
mkdir -p "$HOME/.cargo/bin" "$WORK/bin" "$WORK/checkout/target/release"
export PATH="$WORK/bin:$HOME/.cargo/bin:$PATH"
cat >"$WORK/bin/xdg-open" <<SH
#!/usr/bin/env bash
python3 "$HERE/browser.py" "\$1" "$EMAIL" >"$WORK/browser.log" 2>&1 &
SH
# What the compiler would make is there.
cat >"$WORK/bin/cargo" <<'SH'
#!/usr/bin/env bash
case $* in
  "run --release -- dev") exec target/release/mayfly dev ;;
  "install --locked --path .") cp target/release/mayfly "$HOME/.cargo/bin/" ;;
  *) echo "what does cargo $* do?" >&2 && exit 1 ;;
esac
SH
chmod +x "$WORK"/bin/*
ln -s "$MAYFLY" "$WORK/checkout/target/release/mayfly"

# typed FILE: by somebody whose answers come from standard input.
typed() { script --quiet --return --command "bash -euxo pipefail $1" "$WORK/typescript"; }

# dev_prints FOLDER COMMAND...: runs it there until it is stopped; what it says until it is ready is in the file `printed`.
dev_prints() {
  local line
  exec {output}< <(cd "$1" && exec "${@:2}" 2>"$WORK/mayfly.log")
  MAYFLY_PID=$!
  PIDS+=("$MAYFLY_PID")
  while read -r -t 60 -u "$output" line; do
    printf '%s\n' "$line"
    [[ $line == "Stop with"* ]] && break
  done >"$WORK/printed"
  cat "$WORK/printed"
  grep -q '^Stop with' "$WORK/printed" || fail "mayfly dev is not ready"
}

step "README.md, sixty seconds: the first command starts it, the others are typed in the same folder"
cd "$WORK/checkout"
documented "$PROJECT/README.md" "Sixty seconds" | grep . >"$WORK/commands"
cat "$WORK/commands"
expect "cargo run --release -- dev" "$(head -n 1 "$WORK/commands")" "the first command"
expect "1 1 2" "$(for pattern in sign-blob verify-blob 'mayfly log'; do grep -c -- "$pattern" "$WORK/commands"; done | xargs)" \
  "commands that sign, verify and audit"
dev_prints . bash -c "exec $(head -n 1 "$WORK/commands")"
sed -i 1d "$WORK/commands"
typed "$WORK/commands" </dev/null
grep -q '"identities":\["you@example.com"\]' "$WORK/typescript" || fail "the monitor did not see the certificate"
stop_mayfly

step "README.md, in earnest: one after the other, in one shell; the last command is the server, until it answers"
documented "$PROJECT/README.md" "In earnest" | grep . | sed "s|/media/offline|$WORK/offline|" >"$WORK/commands"
cat "$WORK/commands"
sed -i '$ s/$/ \&/' "$WORK/commands"
cat >>"$WORK/commands" <<'SH'
curl -sS --fail --retry 60 --retry-connrefused --retry-delay 1 -o /dev/null http://127.0.0.1:5555/healthz
kill -TERM $!
wait $!
SH
# Name, organisation, common name, kind of keys; passphrases of root and server, each twice; the latter for the server.
printf '%s\n' ca.example.com Acme '' '' 'correct horse' 'correct horse' 'battery staple' 'battery staple' 'battery staple' |
  typed "$WORK/commands"
[[ -s $WORK/offline/root-key.pem ]] || fail "the root is not offline"
grep -q '^no errors' "$WORK/typescript" || fail "the configuration was not checked"

step "what mayfly dev prints"
cd "$WORK"
dev_prints . "$MAYFLY" dev --port 0 --data-dir "$WORK/my data"
# Its commands are those of cosign, mayfly and echo, with their continuation lines.
awk '/^(cosign|echo|.*mayfly (dev|log)) / { on = 1 } on { print } !/\\$/ { on = 0 }' <(sed 's/^ *//' printed) >commands
expect "2 1 1" "$(for pattern in sign-blob verify-blob 'log verify'; do grep -c -- "$pattern" commands; done | xargs)" \
  "commands that sign, verify and audit"
typed commands </dev/null
stop_mayfly
