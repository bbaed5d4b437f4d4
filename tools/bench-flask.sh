#!/usr/bin/env bash
# Prints the path of the Python environment in which `make bench` runs the Flask baseline.
cd "$(dirname "$0")/.." && exec tools/packages.sh bench/flask/requirements.txt
