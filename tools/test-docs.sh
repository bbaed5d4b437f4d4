#!/usr/bin/env bash
# Checks the commands in docs/*.md and README.md. All of them: metrics-host knows the command with its flags, and the Makefile the target.
# A block below the line `<!-- test -->` is also run, and below `<!-- test: each line -->` each line by itself, with other ports and folders:
# it has to succeed, or to run until metrics-host is ready. HOST=FILE names another binary than that of `make build`.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/wait.sh
. tools/wait.sh
# shellcheck source=tools/scratch.sh
. tools/scratch.sh
fail() { echo "test-docs: $*" >&2; exit 1; }

mkdir -p "$work"/{bin,blocks,here/rules,my-app,usr/{local/share/man/man1,share/bash-completion/completions}}
ln -s "$(realpath "${HOST:-target/release/metrics-host}")" "$work/bin/metrics-host"
ln -s "$PWD/docs" "$work/here/docs"
sed "s,\"target/,\"$PWD/target/," spin.toml | tee "$work/here/spin.toml" >"$work/my-app/spin.toml"
# Stand-ins for programs that this machine need not have, or that would change it.
printf '#!/bin/sh\nexec "$@"\n' >"$work/bin/sudo"
printf '#!/bin/sh\ngrep -q "^kind:"\n' >"$work/bin/kubectl"
chmod +x "$work/bin"/{sudo,kubectl}
PATH=$work/bin:$PATH

# Each block of commands becomes a file: the page with its line, how to run it, then the commands.
awk -v folder="$work/blocks" '
  /^<!-- test.* -->$/ { how = $0; gsub(/<!-- | -->/, "", how); next }
  /^```sh$/ { on = 1; file = sprintf("%s/%03d", folder, ++number); print FILENAME ":" FNR >file; print how >file; how = ""; next }
  /^```/ { on = 0; next }
  on { print >file }
  !on && NF { how = "" }
' README.md docs/*.md

# known COMMAND: tells whether the commands of a line exist, with their flags.
known() {
  local target targets words
  read -ra targets < <(grep -oE '(^|&& |[ =])make( [a-z][a-z0-9-]*)+' <<<"$1" | sed 's/.*make//') || true
  for target in "${targets[@]}"; do
    grep -q "^$target:" Makefile || fail "$2: the Makefile has no target $target"
  done
  # The first command of a pipeline, without comment, redirection, and the command that it starts.
  words=$(grep -oE '(^|sudo |&& |\| |[A-Z_]+=[^ ]+ )metrics-host( +[^#|>&]+)?' <<<"$1" | head -n 1 | sed -E 's/^.*metrics-host//; s/ -- .*//; s/ --$//') || return 0
  [ -z "$words" ] || eval "metrics-host $words --help" >/dev/null 2>"$work/known.log" || fail "$2: metrics-host$words: $(head -n 1 "$work/known.log")"
}

api=127.0.0.1:$(tools/free-port.sh) metrics=127.0.0.1:$(tools/free-port.sh) otlp=127.0.0.1:$(tools/free-port.sh) other=127.0.0.1:$(tools/free-port.sh)
export METRICS_HOST_LISTEN=$api METRICS_HOST_METRICS_LISTEN=$metrics METRICS_HOST_OTLP_LISTEN=$otlp SPIN_HTTP_LISTEN_ADDR=$other
# A person waits until a server answers.
patient='curl() { command curl --retry 60 --retry-connrefused --retry-delay 1 "$@"; }'

# runs WHERE COMMANDS: runs commands of a page.
runs() {
  local commands pid
  if grep -qE '(^|[ -])spin ' <<<"$2" && ! command -v spin >/dev/null; then
    echo "test-docs: $1: not run: there is no Spin on PATH"
    return
  fi
  commands=$(sed -e "s|127.0.0.1:8080|$api|g; s|127.0.0.1:9464|$metrics|g; s|127.0.0.1:4318|$otlp|g; s|127.0.0.1:3000|$other|g" \
    -e "s|orders.py 3000|orders.py ${other#*:}|; s|/usr/|$work/usr/|g" <<<"$2")
  (cd "$work/here" && exec setsid bash -euo pipefail -c "$patient; $commands") >"$work/run.log" 2>&1 &
  pid=$!
  pids+=("$pid")
  await 180 "$1 ends, or metrics-host is ready" ended "$pid"
  # Also what it started.
  if kill -0 "$pid" 2>/dev/null; then
    kill -- "-$pid"
    wait "$pid" || true
  else
    wait "$pid" || fail "$1: exit code $?: $2"
    kill -- "-$pid" 2>/dev/null || true
  fi
  await 20 "the servers of $1 have ended" free
  echo "test-docs: $1: $(head -n 1 <<<"$2")"
}
# A server that a block starts in the background is asked by the block itself.
ended() { ! kill -0 "$1" 2>/dev/null || { ! pgrep --parent "$1" --exact curl >/dev/null && answers "http://$metrics/-/ready"; }; }
free() { ! answers "http://$metrics/-/healthy"; }

for block in "$work"/blocks/*; do
  { read -r where; read -r how; } <"$block"
  joined=$(sed '1,2d' "$block" | sed -e ':a' -e '/\\$/N; s/\\\n//; ta')
  while read -r line; do known "$line" "$where"; done <<<"$joined"
  case $how in
    '') ;;
    test) runs "$where" "$joined" ;;
    'test: each line') while read -r line <&3; do runs "$where" "$line"; done 3<<<"$joined" ;;
    *) fail "$where: expected \"test\" or \"test: each line\", got \"$how\"" ;;
  esac
done
echo "test-docs: all commands are known"
