#!/usr/bin/env bash
# python-tool.sh PACKAGE==VERSION COMMAND [ARGUMENT...]: runs a command of a Python package, installed under target/tools if it is not there yet.
set -euo pipefail
package=$1 command=$2
shift 2

environment=$(dirname "$0")/../target/tools/$package
if [ ! -x "$environment/bin/$command" ]; then
  # Debian's python3 can make an environment only with python3-venv.
  python3 -c 'import ensurepip' 2>/dev/null || "$(dirname "$0")/need.sh" python3-with-venv python3-venv >&2
  python3 -m venv "$environment" >&2
  "$environment/bin/pip" install --quiet --disable-pip-version-check "$package" >&2
fi
exec "$environment/bin/$command" "$@"
