#!/bin/sh
# On a machine with an NVIDIA GPU: its tests, then the benchmark, in at most eight minutes; the JSON table comes last.
#
#     WHEELS=folder sh tests/device/check.sh
#
# Nothing is downloaded: what this Python lacks is installed from the wheels in $WHEELS, by default ./wheels, which
#
#     python3 -m pip download --no-deps --dest wheels msgspec torchmetrics lightning lightning-utilities pytorch-lightning \
#         pytest pluggy iniconfig hypothesis sortedcontainers filelock
#
# fills where there is a network, for the same Python. What cannot be had is said, and the rest goes on.
set -u
cd "$(dirname "$0")/../.." || exit 1
PYTHON=${PYTHON:-python3}
export WHEELS="${WHEELS:-wheels}" PYTHONPATH="$PWD" MNIST_DDM_CACHE="${TMPDIR:-/tmp}/mnist-ddm-device-check"

lacking=$("$PYTHON" - <<'END'
import os
from importlib.metadata import distributions
from pathlib import Path

def plain(name):
    return name.lower().replace("-", "_").replace(".", "_")

there = {plain(found.metadata["Name"] or "") for found in distributions()}
print(*(wheel for wheel in sorted(Path(os.environ["WHEELS"]).glob("*.whl")) if plain(wheel.name.split("-")[0]) not in there))
END
)
if [ -n "$lacking" ]; then
    echo "installing $lacking" >&2
    # shellcheck disable=SC2086 (several names)
    timeout --kill-after=5 45 "$PYTHON" -m pip install --quiet --no-index --no-deps $lacking >&2 || echo "without them" >&2
fi

timeout --kill-after=5 145 "$PYTHON" -m pytest -p no:cacheprovider -q -rs tests/device >&2
tests=$?
timeout --kill-after=5 270 "$PYTHON" tests/device/benchmark.py --seconds 250
benchmark=$?
[ "$tests" -eq 0 ] && [ "$benchmark" -eq 0 ]
