"""What `check.sh` says of itself: its minutes, and the wheels that it needs."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

SCRIPT, ENVIRONMENT = (Path(__file__).with_name(name) for name in ("check.sh", "environment.sh"))
ROOT = SCRIPT.parents[2]
MINUTES = 8


def test_all_that_it_may_wait_for_is_within_its_minutes():
    both = SCRIPT.read_text(encoding="utf-8") + ENVIRONMENT.read_text(encoding="utf-8")
    timeouts = re.findall(r"timeout --kill-after=(\d+) (\d+) ", both)
    assert len(timeouts) == both.count("timeout ") == 3
    assert sum(int(more) + int(seconds) for more, seconds in timeouts) <= 60 * MINUTES


def test_whatever_its_tests_import_is_a_dependency_or_a_wheel_that_it_names():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    known = {re.split(r"[^\w-]", name)[0] for name in named} | {"mnist_ddm", "paris_ddm"} | set(sys.stdlib_module_names)
    known |= set(re.search(r"pip download (.*?)#\n", ENVIRONMENT.read_text(encoding="utf-8"), re.DOTALL)[1].split())
    known |= {file.stem for file in SCRIPT.parent.glob("*.py")}
    for file in (ROOT / "tests" / "conftest.py", *SCRIPT.parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= known, file


def test_only_wheels_that_are_not_there_are_installed_and_all_at_once(tmp_path):
    for name in ("pytest-1.0-py3-none-any.whl", "not_there-1.0-py3-none-any.whl", "nor_here-2.0-py3-none-any.whl"):
        (tmp_path / name).touch()
    python, said = tmp_path / "python", tmp_path / "said"
    python.write_text(f'#!/bin/sh\n[ "$1" = - ] && exec "{sys.executable}" "$@"\necho "$@" >> "{said}"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "WHEELS": str(tmp_path)}
    subprocess.run(["sh", SCRIPT], check=True, env=environment, capture_output=True)
    installing, *rest = said.read_text().splitlines()
    wheels = [Path(word).name for word in installing.split() if word.endswith(".whl")]
    assert wheels == ["nor_here-2.0-py3-none-any.whl", "not_there-1.0-py3-none-any.whl"]
    assert [line.split()[0] for line in rest] == ["-m", "tests/device/benchmark.py"]


def test_a_python_that_has_only_the_files_of_the_project_knows_its_systems_and_commands():
    asked = (
        "from importlib.metadata import entry_points, version; print(version('mnist-ddm'), "
        "*(e.value for g in ('systems', 'system_options', 'commands') for e in entry_points(group=f'mnist_ddm.{g}')))"
    )
    environment = {**os.environ, "PYTHON": sys._base_executable, "WHEELS": "none"}
    words = ["sh", "-c", f'. tests/device/environment.sh; exec "$PYTHON" -c "{asked}"']
    said = subprocess.run(words, check=True, cwd=ROOT, env=environment, capture_output=True, text=True).stdout
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = [value for group in project["entry-points"].values() for value in group.values()]
    assert sorted(said.split()) == sorted([project["version"], *entries])
