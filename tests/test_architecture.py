"""The direction of dependencies, and the README's code."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mnist_ddm.systems.options import SystemOption
from mnist_ddm.terminal.commands import LazyCommand

ROOT = Path(__file__).parents[1]


def test_imports_point_one_way():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_readmes_quickstart_runs_as_it_stands(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert len(code.strip().splitlines()) <= 10
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "module",
    ["mnist_ddm", "mnist_ddm.errors", "mnist_ddm.systems.options", "mnist_ddm.terminal.options", "paris_ddm.cli"],
)
def test_importing_the_package_does_not_import_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_does_not_import_torch_or_what_options_and_commands_stand_for():
    code = """
import sys
from mnist_ddm import cli
sys.argv = ["mnist-ddm", "--help"]
try:
    cli.main()
except SystemExit:
    pass
assert not {"torch", "numpy", "rich", "paris_ddm.cli"} & sys.modules.keys()
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "Train the small Paris model" in told


def test_no_two_classes_have_one_name():
    places = defaultdict(list)
    for package in ("mnist_ddm", "paris_ddm"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_an_installed_package_can_add_a_system(monkeypatch):
    from mnist_ddm import load_system
    from mnist_ddm.systems import registry

    entry = EntryPoint("mine", "mnist_ddm.systems.gaussian:load", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert registry.system_names() == ["mine"]
    assert load_system("mine").n_experts == 8


@pytest.fixture
def announced(monkeypatch):
    """Announce entry points in place of the installed ones."""
    from mnist_ddm.terminal import commands, options

    def announce(*entries):
        for module in (commands, options):
            monkeypatch.setattr(module, "entry_points", lambda group: [e for e in entries if e.group == group])

    known = (commands.installed_commands, options.installed_options)
    for function in known:
        function.cache_clear()
    yield announce
    for function in known:
        function.cache_clear()


OWN = (
    SystemOption("petals", "Their number.", kind="number"),
    SystemOption("garden", "Where they grow.", kind="path", place=True),
    SystemOption("bee", "Visitors.", many=True),
    SystemOption("checkpoint", "Of no effect: `mnist` says it first."),
)
SIZE = LazyCommand("click:Command", "Say how large the flower is.")


def test_an_installed_package_can_add_options_and_the_broken_ones_of_another_do_no_harm(announced, tmp_path):
    import click
    from click.testing import CliRunner

    from mnist_ddm.systems.options import ENTRY_POINT_GROUP
    from mnist_ddm.terminal import options

    announced(
        EntryPoint("a", "nothing_here:OPTIONS", ENTRY_POINT_GROUP),
        EntryPoint("b", f"{__name__}:SIZE", ENTRY_POINT_GROUP),  # no tuple of options
        EntryPoint("c", f"{__name__}:OWN", ENTRY_POINT_GROUP),
    )

    @click.command()
    @options.system_options
    def show(system, **of_system):
        click.echo(repr(of_system))

    @click.command()
    @options.place_options
    def places(**given):
        click.echo(sorted(given))

    result = CliRunner().invoke(show, ["--petals", "5", "--garden", "here", "--bee", "a", "--bee", "b"])
    assert eval(result.output, {"PosixPath": Path, "WindowsPath": Path}) == {
        "checkpoint": None, "data_dir": None, "labels": None, "judge": None, "precision": None, "device": "cpu",
        "petals": 5.0,
        "garden": Path("here"), "bee": ("a", "b"),
    }  # fmt: skip
    assert "Of no effect" not in CliRunner().invoke(show, ["--help"]).output
    assert CliRunner().invoke(places).output.strip() == "['checkpoint', 'data_dir', 'garden', 'judge']"


def test_an_installed_package_can_add_commands_and_the_broken_ones_of_another_do_no_harm(announced):
    from click.testing import CliRunner

    from mnist_ddm.cli import cli
    from mnist_ddm.terminal.commands import ENTRY_POINT_GROUP

    announced(
        EntryPoint("broken", "nothing_here:COMMAND", ENTRY_POINT_GROUP),
        EntryPoint("flower", f"{__name__}:SIZE", ENTRY_POINT_GROUP),
        EntryPoint("train", f"{__name__}:SIZE", ENTRY_POINT_GROUP),  # ours stays ours
    )
    told = CliRunner().invoke(cli, ["--help"]).output
    assert told.count("Say how large the flower is.") == 1
    assert "Train experts, router" in told
    assert "broken" not in told
    assert "the command 'broken' of nothing_here:COMMAND does not work" in str(
        CliRunner().invoke(cli, ["broken"]).exception
    )
    assert cli.get_command(None, "flower") is SIZE.load()


def test_what_paris_takes_is_what_its_system_takes():
    import inspect

    from mnist_ddm.systems.options import MNIST
    from paris_ddm.options import PARIS
    from paris_ddm.system import load

    # Clusters of captions are no classes, and its precision is `dtype`.
    taken = {option.name for option in (*MNIST, *PARIS)} - {"labels", "judge", "precision"}
    assert taken | {"device"} == inspect.signature(load).parameters.keys()
