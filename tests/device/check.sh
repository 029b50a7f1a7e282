#!/bin/sh
# On a machine with an NVIDIA GPU: its tests, then the benchmark, in at most eight minutes; the JSON table comes last.
#
#     WHEELS=folder sh tests/device/check.sh
#
# Nothing is downloaded: what this Python lacks is installed from the wheels in $WHEELS, by default ./wheels, which
#
#     python3 -m pip download --no-deps --dest wheels msgspec torchmetrics lightning lightning-utilities pytorch-lightning
#
# fills where there is a network, for the same Python. What cannot be had is said, and the rest goes on.
set -u
cd "$(dirname "$0")/../.." || exit 1
PYTHON=${PYTHON:-python3}
WHEELS=${WHEELS:-wheels}
export PYTHONPATH="$PWD" MNIST_DDM_CACHE="${TMPDIR:-/tmp}/mnist-ddm-device-check"

missing=$("$PYTHON" - <<'END'
import importlib.util, re, tomllib
named = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] + ["pytest", "hypothesis", "filelock"]
names = {re.match(r"[A-Za-z0-9_.-]+", line)[0] for line in named} - {"lpips"}  # which nothing here asks
print(*sorted(name for name in names if importlib.util.find_spec(name.replace("-", "_")) is None))
END
)
if [ -n "$missing" ]; then
    echo "installing from $WHEELS: $missing" >&2
    for name in $missing; do
        timeout 30 "$PYTHON" -m pip install --quiet --no-index --find-links "$WHEELS" "$name" >&2 \
            || timeout 30 "$PYTHON" -m pip install --quiet --no-index --no-deps --find-links "$WHEELS" "$name" >&2 \
            || echo "without $name" >&2
    done
fi

timeout --kill-after=5 150 "$PYTHON" -m pytest -p no:cacheprovider -q -rs tests/device >&2
tests=$?
timeout --kill-after=5 280 "$PYTHON" tests/device/benchmark.py --seconds 260
benchmark=$?
[ "$tests" -eq 0 ] && [ "$benchmark" -eq 0 ]
