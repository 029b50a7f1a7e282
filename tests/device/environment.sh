# Read by the scripts beside it, from the root of the project: makes of $PYTHON, by default python3, one that can run it.
#
# Nothing is downloaded: what this Python lacks is installed from the wheels in $WHEELS, by default ./wheels, which
#
#     python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --dest wheels msgspec torchmetrics \
#         lightning lightning-utilities pytorch-lightning pytest pluggy iniconfig hypothesis sortedcontainers filelock
#
# fills where there is a network, for the version of the other Python. The project itself is not installed: its systems
# and commands are known by its metadata, which are written beside. What cannot be had is said, and the rest goes on.
PYTHON=${PYTHON:-python3}
place=$(mktemp -d)
export WHEELS="${WHEELS:-wheels}" PYTHONPATH="$PWD:$place" MNIST_DDM_CACHE="$place/cache"

lacking=$("$PYTHON" - "$place" <<'END'
import os
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

def plain(name):
    return name.lower().replace("-", "_").replace(".", "_")

there = {plain(found.metadata["Name"] or "") for found in distributions()}
project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
if plain(project["name"]) not in there:
    told = Path(sys.argv[1]) / f"{plain(project['name'])}-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entries = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in of.items()) for group, of in project["entry-points"].items()]
    (told / "entry_points.txt").write_text("\n".join(entries))
print(*(wheel for wheel in sorted(Path(os.environ["WHEELS"]).glob("*.whl")) if plain(wheel.name.split("-")[0]) not in there))
END
)
if [ -n "$lacking" ]; then
    echo "installing $lacking" >&2
    # shellcheck disable=SC2086 (several names)
    timeout --kill-after=5 45 "$PYTHON" -m pip install --quiet --no-index --no-deps $lacking >&2 || echo "without them" >&2
fi
