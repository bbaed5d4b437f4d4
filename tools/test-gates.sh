#!/usr/bin/env bash
# Plants one fault after the other in a copy of the tree, and checks that the gate that is there for it stops it, and that no other
# does. The gates are the Makefile's, narrowed down to the crates without Wasmtime. With GATE_LOGS, a directory, what the gate said
# of each fault is kept there.
set -euo pipefail
cd "$(dirname "$0")/.."
# What the calling make or cargo has set is not for the copy.
unset CARGO_TARGET_DIR MAKEFLAGS MAKELEVEL

gates=(format rust test component alerts versions workflows deploy secrets dependencies)
# Runs a gate, in the copy.
gate() {
  case $1 in
    rust) make lint-rust LINTED="--package telemetry --package alerts" ;;
    test) cargo test --locked --package telemetry --package items-component --lib ;;
    component) make test-component ;;
    # What is skipped asks a running metrics-host, or tries out every change of a rule: it takes longer than all else together.
    alerts) make lint-alerts && cargo test --locked --package alerts -- --skip vocabulary:: --skip mutants:: ;;
    *) make "lint-$1" ;;
  esac
}

# The faults. Each is named after the gate that is to stop it, and planted by a function in the copy.
plant_format() {
  printf '\n#[cfg(test)]\nmod   planted {}\n' >>alerts/src/duration.rs
}
plant_rust() {
  # Clippy has a word for it; the compiler, rustfmt and the tests have none.
  printf '\n/// Planted.\npub fn planted(values: &[u8]) -> bool {\n    values.len() == 0\n}\n' >>telemetry/src/histogram.rs
}
plant_test() {
  printf '\n#[cfg(test)]\nmod planted {\n    #[test]\n    fn fails() {\n        assert_eq!(1 + 1, 3);\n    }\n}\n' >>telemetry/src/histogram.rs
}
plant_component() {
  # One of the things that the component asks for is not agreed to.
  sed -i '$d' items-component/imports.txt
}
plant_alerts() {
  # The threshold of an alert, in every variant: what is loaded is well formed and says something else.
  sed -i 's/^\( *> 0\.0\)5$/\16/' alerts/source/rules/app.yml
  make rules
}
plant_versions() {
  sed -i 's/^version = "\(.*\)"/version = "\1-planted"/' spin.toml
}
plant_workflows() {
  sed -i -E '0,/(actions\/checkout)@[0-9a-f]{40} # v/s//\1@v/' .github/workflows/ci.yml
}
plant_deploy() {
  # shellcheck disable=SC2016 # it is the fault that nothing is expanded here
  printf '#!/usr/bin/env bash\nrm -rf $1/*\n' >tools/planted.sh
}
plant_secrets() {
  # Put together here, or this file would be found.
  printf 'aws_access_key_id = AKIA%s\naws_secret_access_key = %s%s\n' Q3EGRIHRLH6MKZPT wJalrXUtnFEMI7K8MDENG bPxRfiCYzEXAMPQRTLK >planted.ini
}
plant_dependencies() {
  sed -i '/^    "MIT",$/d' deny.toml
}

copy=$PWD/target/gates/tree
log=$PWD/target/gates/log
# lay: lays the tree out as it is here, committed, for the gates that ask git. What was compiled there by an earlier run stays, but for
# what is of the tree: all of it is newer.
lay() {
  mkdir -p "$copy/target" "$PWD/target/tools"
  find "$copy" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
  tools/copy-tree.sh "$copy"
  ln -sfn "$PWD/target/tools" "$copy/target/tools"
  git -C "$copy" init --quiet
  git -C "$copy" add --all
  git -C "$copy" ls-files -z | (cd "$copy" && xargs -0 touch)
  git -C "$copy" -c user.name=gates -c user.email=gates@localhost -c commit.gpgsign=false commit --quiet --message laid
}
# restore: takes a fault back. Files that git writes are newer than what was compiled of them.
restore() {
  git -C "$copy" reset --quiet --hard
  git -C "$copy" clean --quiet --force -d
}

# stopping: prints the gates that stop the copy as it is.
stopping() {
  local name
  for name in "${gates[@]}"; do
    (cd "$copy" && gate "$name") >"$log.$name" 2>&1 </dev/null || echo "$name"
  done
}

lay
stopped=$(stopping)
if [ -n "$stopped" ]; then
  echo "test-gates: without a fault, these stop: $(xargs <<<"$stopped")" >&2
  for name in $stopped; do tail -n 20 "$log.$name" >&2; done
  exit 1
fi
echo "test-gates: without a fault, none of ${#gates[@]} gates stops"

failed=
for fault in "${gates[@]}"; do
  (cd "$copy" && "plant_$fault") >"$log" 2>&1
  if [ -z "$(git -C "$copy" status --porcelain)" ]; then
    echo "test-gates: the fault for $fault changes nothing: what it replaces is no longer there" >&2
    exit 1
  fi
  stopped=$(stopping | xargs)
  [ -z "${GATE_LOGS:-}" ] || cp "$log.$fault" "$GATE_LOGS/$fault.log"
  if [ "$stopped" = "$fault" ]; then
    echo "test-gates: the fault for $fault is stopped by it alone"
  else
    echo "test-gates: the fault for $fault: expected $fault alone to stop it, got: ${stopped:-none}" >&2
    failed=yes
  fi
  restore
done
[ -z "$failed" ]
