#!/usr/bin/env bash
# Plants one fault after the other in a copy of the tree, and checks that the gate for it stops it, and that no other gate does. The
# gates are the Makefile's, narrowed down to the crates without Wasmtime. FAULT_RECORDS=FILE gets a JSON record of each fault.
set -euo pipefail
cd "$(dirname "$0")/.."
# The calling cargo's target directory is not for the copy.
unset CARGO_TARGET_DIR
tools/need.sh jq promtool:prometheus amtool:prometheus-alertmanager

gates=(format rust test component alerts versions workflows deploy secrets dependencies prose docs)
# gate NAME: runs a gate, in the copy.
gate() {
  case $1 in
    rust) make lint-rust LINTED="--package telemetry --package alerts" ;;
    test) cargo test --locked --package telemetry --package items-component --lib ;;
    component) make test-component ;;
    # Left out are the tests that run metrics-host or try out every change of a rule: they take longer than all else together.
    alerts) make lint-alerts && cargo test --locked --package alerts -- --skip command:: --skip newer:: --skip scrape:: --skip vocabulary:: --skip mutants:: ;;
    *) make "lint-$1" ;;
  esac
}
# plant NAME: plants the fault that a gate is there for, in the copy.
plant() {
  # shellcheck disable=SC2016 # placeholders, and a fault whose point is that nothing is expanded
  case $1 in
    format) printf '\n#[cfg(test)]\nmod   planted {}\n' >>alerts/src/duration.rs ;;
    # Clippy alone minds it.
    rust) printf '\n/// Planted.\npub fn planted(values: &[u8]) -> bool {\n    values.len() == 0\n}\n' >>telemetry/src/histogram.rs ;;
    test) printf '\n#[cfg(test)]\nmod planted {\n    #[test]\n    fn fails() {\n        assert_eq!(1 + 1, 3);\n    }\n}\n' >>telemetry/src/histogram.rs ;;
    # One import of the component is no longer agreed.
    component) sed -i '$d' items-component/imports.txt ;;
    # The threshold of an alert, in every variant: well formed, and wrong.
    alerts) sed -i 's/^\( *> \)\(${error_ratio}\)$/\12 * \2/' alerts/source/rules/app.yml && make rules ;;
    versions) sed -i 's/^version = "\(.*\)"/version = "\1-planted"/' spin.toml ;;
    workflows) sed -i -E '0,/(actions\/checkout)@[0-9a-f]{40} # v/s//\1@v/' .github/workflows/ci.yml ;;
    deploy) printf '#!/usr/bin/env bash\nrm -rf $1/*\n' >tools/planted.sh ;;
    # Put together here, or this file would be found.
    secrets) printf 'aws_access_key_id = AKIA%s\naws_secret_access_key = %s%s\n' Q3EGRIHRLH6MKZPT wJalrXUtnFEMI7K8MDENG bPxRfiCYzEXAMPQRTLK >planted.ini ;;
    dependencies) sed -i '/^    "MIT",$/d' deny.toml ;;
    docs) printf '\n[Planted](planted.md)\n' >>docs/tuning.md ;;
    prose) printf '\n// %s reads this is told nothing.\n' Who >>telemetry/src/histogram.rs ;;
  esac
}

copy=$PWD/target/gates/tree log=$PWD/target/gates/log
# Lays the tree out as it is here, committed, for the gates that ask git. An earlier run's target stays, and all files are newer than it.
mkdir -p "$copy/target" target/tools
find "$copy" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
tools/copy-tree.sh "$copy"
ln -sfn "$PWD/target/tools" "$copy/target/tools"
cd "$copy"
git init --quiet
git add --all
git ls-files -z | xargs -0 touch
git -c user.name=gates -c user.email=gates@localhost -c commit.gpgsign=false commit --quiet --message laid

# stopping: prints the gates that stop the copy as it is.
stopping() {
  local name
  for name in "${gates[@]}"; do
    gate "$name" >"$log.$name" 2>&1 </dev/null || echo "$name"
  done | xargs
}
stopped=$(stopping)
if [ -n "$stopped" ]; then
  echo "test-gates: without a fault, these stop: $stopped" >&2
  for name in $stopped; do tail -n 20 "$log.$name" >&2; done
  exit 1
fi
echo "test-gates: without a fault, none of ${#gates[@]} gates stops"

failed=
for fault in "${gates[@]}"; do
  start=$SECONDS
  plant "$fault" >"$log" 2>&1
  [ -n "$(git status --porcelain)" ] || { echo "test-gates: the fault for $fault changes nothing: the text it replaces has gone" >&2; exit 1; }
  stopped=$(stopping)
  if [ "$stopped" = "$fault" ]; then
    echo "test-gates: the fault for $fault is stopped by it alone"
  else
    echo "test-gates: the fault for $fault: expected $fault alone to stop it, got: ${stopped:-no gate}" >&2
    failed=yes
  fi
  [ -z "${FAULT_RECORDS:-}" ] || tail -n 40 "$log.$fault" | jq --raw-input --slurp --compact-output --arg name "$fault" --arg stopped "$stopped" \
    --argjson seconds "$((SECONDS - start))" '{kind: "fault", $name, $seconds, stopped_by: ($stopped / " "), log: .}' >>"$FAULT_RECORDS"
  git reset --quiet --hard
  git clean --quiet --force -d
done
[ -z "$failed" ]
