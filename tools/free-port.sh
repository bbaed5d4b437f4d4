#!/usr/bin/env bash
# free-port.sh: prints a port of the loopback that nobody listens on, for what takes no port 0.
set -euo pipefail
python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
