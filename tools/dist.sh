#!/usr/bin/env bash
# dist.sh TARGET [PROGRAM...]: builds metrics-host and these programs of the benchmark by the profile `dist` into target/TARGET/dist, with
# profile-guided optimisation: once so that they count what they execute, then, after the traffic of bench/src/bin/train.rs, by what they
# counted. PGO=off leaves that out. BUILD="cargo auditable build" builds in another way.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
shift
read -ra build <<<"${BUILD:-cargo build}"
# Counts belong to the functions of these packages with these features.
build+=(--locked --profile dist --package metrics-host --package bench --target "$target" --bin metrics-host)

if [ "${PGO:-on}" != off ]; then
  rustup component add llvm-tools
  tools/build-component.sh items-component
  tools/build-component.sh misbehaving-component
  tools/build-component.sh synchronous-component
  work=$PWD/target/pgo
  counting=$work/build/$target/dist
  profile=$work/$target.profdata
  # Without the commit, so that a new one alone needs no new training.
  METRICS_HOST_REVISION=training RUSTFLAGS="-Cprofile-generate -Cdebuginfo=0" \
    "${build[@]}" --bin native --bin train --target-dir "$work/build"
  trained=$(cat "$counting"/{metrics-host,native,train} | sha256sum)
  if [ "$(cat "$profile.of" 2>/dev/null)" != "$trained" ]; then
    # Cargo does not see that a profile has changed.
    rm -rf "$profile.of" "$work/raw" "target/$target/dist"
    LLVM_PROFILE_FILE=$work/raw/%p-%m.profraw "$counting/train"
    # Sparse: what the traffic did not reach is compiled as ever, and not for size.
    "$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin/llvm-profdata" merge --sparse --output "$profile" "$work/raw"
    echo "$trained" >"$profile.of"
  fi
  export RUSTFLAGS=-Cprofile-use=$profile
fi
"${build[@]}" "${@/#/--bin=}"
