#!/bin/sh
# On a machine with an NVIDIA GPU: its tests, then the benchmark, in at most eight minutes; the JSON table comes last.
#
#     WHEELS=folder sh tests/device/check.sh
#
# Nothing is downloaded: what this Python lacks is installed from the wheels in $WHEELS, by default ./wheels.
set -u
cd "$(dirname "$0")/../.." || exit 1
PYTHON=${PYTHON:-python3}
WHEELS=${WHEELS:-wheels}
export PYTHONPATH="$PWD" MNIST_DDM_CACHE="${TMPDIR:-/tmp}/mnist-ddm-device-check"

missing=$("$PYTHON" - <<'END'
import importlib.util, re, tomllib
named = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] + ["pytest", "hypothesis"]
names = [re.match(r"[A-Za-z0-9_.-]+", line)[0] for line in named]
print(*(name for name in names if importlib.util.find_spec(name.replace("-", "_")) is None))
END
)
if [ -n "$missing" ]; then
    echo "installing from $WHEELS: $missing" >&2
    # shellcheck disable=SC2086  # several names
    "$PYTHON" -m pip install --quiet --no-index --find-links "$WHEELS" $missing >&2 || exit 1
fi

timeout 170 "$PYTHON" -m pytest -p no:cacheprovider -q -rs tests/device >&2
tests=$?
timeout 300 "$PYTHON" tests/device/benchmark.py
benchmark=$?
[ "$tests" -eq 0 ] && [ "$benchmark" -eq 0 ]
