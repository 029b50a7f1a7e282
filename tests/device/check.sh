#!/bin/sh
# On a machine with an NVIDIA GPU: its tests, then the benchmark, in at most eight minutes; the JSON table comes last.
#
#     WHEELS=folder sh tests/device/check.sh        what is installed first: environment.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/device/environment.sh

timeout --kill-after=5 145 "$PYTHON" -m pytest -p no:cacheprovider -v -rs --durations=5 -m cuda tests/device >&2
tests=$?
timeout --kill-after=5 270 "$PYTHON" tests/device/benchmark.py --seconds 250
benchmark=$?
[ "$tests" -eq 0 ] && [ "$benchmark" -eq 0 ]
