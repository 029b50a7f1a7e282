"""The documentation holds: its commands and its code run, and nothing that exists is missing from it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mnist_ddm import cli
from mnist_ddm.analyses import names
from mnist_ddm.analyses import registry as analyses
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.compute import cores
from mnist_ddm.core import spellings
from mnist_ddm.exercises.registry import exercise_names, sheet_of
from mnist_ddm.systems import registry

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "teacher/README.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if "_build" not in path.parts
]
SETUP = ("python3 -m venv ", "source ", "pip install ", ".venv/bin/pip ", ".venv/bin/python -m pytest")
"""What `make` and `.ci/run` do before anything else can be tested."""

SAMPLING = (
    "sample",
    "analyze",
    "measure",
    "train",
    "train-experts",
    "train-router",
    "train-monolith",
    "train-classifier",
    "explore",
    "reproduce",
    "report",
    "verify",
    "compare",
    "paris",
)
"""Commands that take long on digits, or need a run that took long."""

RUNS = ("runs/mnist-1234abcd", "runs/other")
"""What the documents call a finished run."""


def _fences(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.S | re.M)


def _commands(path):
    """Each command of a document, and whether it is marked as long."""
    found = []
    for block in _fences(path, "sh"):
        for line in block.splitlines():
            command, _, comment = line.partition("#")
            if command.strip():
                found.append((command.strip(), "(long)" in comment))
    return found


def _is_long(command, marked):
    words = shlex.split(command)
    quick = "--system gaussian" in command and (words[1] not in ("analyze", "reproduce") or "--n" in words)
    return marked or (words[1] in SAMPLING and not quick)


def _of(path, *, long):
    own = [(c.removeprefix(".venv/bin/"), m) for c, m in _commands(path)]
    return [c for c, m in own if c.startswith("mnist-ddm ") and _is_long(c, m) == long]


WITH_QUICK = [p for p in DOCUMENTS if _of(p, long=False)]
WITH_LONG = [p for p in DOCUMENTS if _of(p, long=True)]


def _name(value):
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else value


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with all that the documents speak of, the package of the example installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cores, "default_workers", lambda: 1)  # no time for starting processes
    (tmp_path / "fashion").symlink_to(ROOT / "mnist_ddm" / "data")
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    (tmp_path / "class" / "ada").mkdir(parents=True)
    shutil.copy(ROOT / "teacher" / "solutions" / "flow.py", tmp_path / "class" / "ada")
    monkeypatch.syspath_prepend(ROOT / "examples" / "petals")
    told = tomllib.loads((ROOT / "examples" / "petals" / "pyproject.toml").read_text())["project"]["entry-points"]
    known = (("mnist_ddm.systems", registry), ("mnist_ddm.routings", spellings), ("mnist_ddm.analyses", names))
    for group, module in known:
        own = [EntryPoint(name, value, group) for name, value in told[group].items()]
        before = module.entry_points
        monkeypatch.setattr(module, "entry_points", lambda group, before=before, own=own: [*before(group=group), *own])
    analyses.installed_analyses.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    analyses.installed_analyses.cache_clear()


def _script(name):
    """A program of the documentation."""
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(place, monkeypatch, capsys):
    def call(command):
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        assert end.value.code == 0, f"{command}\n{told.out}\n{told.err}"
        return told.out

    return call


@pytest.mark.long
@pytest.mark.parametrize("path", WITH_QUICK, ids=_name)
def test_commands_run_as_they_stand(run, path):
    for command in _of(path, long=False):
        run(command)


def _smaller(command):
    """The same command with few samples and steps; a later option counts."""
    words = shlex.split(command)
    if words[1].startswith("train"):
        return f"{command} --preset tiny --steps 3"
    if words[1] == "measure":
        return f"{command} --n 12 --steps 2 --fidelity-n 12 --fidelity-steps 2"
    if words[1] == "reproduce":
        return f"{command} --plan"
    if words[1] not in ("sample", "analyze", "explore"):
        return command
    return f"{command} --n 6{_steps(words[-1], 4)}"


def _steps(analysis, steps):
    """The option for an analysis that has steps."""
    known = analysis not in ANALYSES or hasattr(ANALYSES[analysis].sizes.full, "steps")
    return f" --steps {steps}" if known else ""


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_LONG, ids=_name)
def test_long_commands_run_with_few_samples(run, path):
    commands = _of(path, long=True)
    for folder in RUNS:
        if any(folder in command for command in commands):
            run(f"mnist-ddm analyze --system gaussian --analysis expert-deviation --n 6 --steps 4 --out {folder}")
    for command in commands:
        run(_smaller(command))


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_all_other_commands_are_known(path):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for command, _ in _commands(path):
        if command.startswith("make "):
            assert command.split()[1] in targets, command
        else:
            assert command.removeprefix(".venv/bin/").startswith("mnist-ddm ") or command.startswith(SETUP), command


@pytest.mark.long
@pytest.mark.parametrize("path", [p for p in DOCUMENTS if _fences(p, "python") and p.name != "README.md"], ids=_name)
def test_code_runs_as_it_stands(place, path, capsys):
    for number, code in enumerate(_fences(path, "python")):
        exec(compile(code, f"{path.name}[{number}]", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if _fences(p, "toml")], ids=_name)
def test_tables_of_settings_can_be_read(path):
    for text in _fences(path, "toml"):
        tomllib.loads(text)


@pytest.mark.long
def test_the_example_of_an_own_system_answers_questions(place):
    from mnist_ddm import load_system, parse_routing
    from mnist_ddm.notebook import ask, table_named

    pool = load_system("petals")
    assert parse_routing("cautious").name == "cautious"
    assert "petals" in registry.system_names()
    answers = ask(pool, "expert-deviation", "router-calibration", n=40)
    row = table_named(answers, "router-calibration").row(t=0.1)
    assert row["accuracy"].value > 0.9
    assert load_system("petals").fingerprints == pool.fingerprints


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_analysis_runs_on_the_example(run, name):
    run(f"mnist-ddm analyze --system petals --analysis {name} --n 24{_steps(name, 5)} --workers 1")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=_name)
def test_notebooks_run(place, path, monkeypatch, capsys):
    import matplotlib

    matplotlib.use("Agg")
    exec(compile(path.read_text(), path.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=_name)
def test_notebooks_are_cells_that_begin_with_a_title(path):
    _, first, *rest = re.split(r"^# %%.*\n", path.read_text(), flags=re.M)
    assert first.startswith("# # ")
    assert len(rest) >= 4
    compile(path.read_text(), path.name, "exec")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=_name)
def test_notebooks_that_programs_open_are_those_of_the_sources_without_outputs(path):
    shipped = json.loads(path.with_suffix(".ipynb").read_text())
    assert path.with_suffix(".ipynb").read_text() == _script("notebooks").notebook(path), "run docs/notebooks.py"
    code = [cell for cell in shipped["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        compile("".join(cell["source"]), path.name, "exec")


def test_there_is_a_notebook_for_each_group():
    assert {a.group for a in ANALYSES.values()} | {"tour"} == {p.stem for p in (ROOT / "notebooks").glob("*.py")}


def test_every_analysis_has_its_four_paragraphs():
    text = "\n".join(p.read_text() for p in sorted((ROOT / "docs" / "analyses").glob("*.md")))
    for name in ANALYSES:
        section = re.search(rf"^\({name}\)=\n## {name} .*?(?=^\(\S+\)=|\Z)", text, flags=re.S | re.M)
        assert section, name
        for paragraph in ("**Question.**", "**Definition.**", "**How to read it.**", "**What we found.**"):
            assert paragraph in section[0], (name, paragraph)


def test_every_exercise_is_listed_with_its_minutes():
    text = (ROOT / "docs" / "exercises.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \|$", text, flags=re.M)
    assert listed == [(name, str(sheet_of(name).minutes)) for name in exercise_names()]


def test_every_routing_is_explained():
    text = (ROOT / "docs" / "choosing-a-routing.md").read_text()
    for spelling in [*spellings.STRATEGIES, *spellings.MODIFIERS.values()]:
        assert spelling.split("=")[0].split(",")[0].lower() in text.lower(), spelling


def test_every_command_is_somewhere_in_the_documents():
    text = "\n".join(p.read_text() for p in DOCUMENTS)
    for command in cli._COMMANDS:
        assert f"mnist-ddm {command}" in text or f"`{command}`" in text, command


@pytest.mark.parametrize("name", ["commands.md", "routings.md"])
def test_pages_made_from_the_code_are_of_this_code(name):
    reference = _script("reference")
    again = reference.PAGES[name]().rstrip("\n") + "\n"
    assert (ROOT / "docs" / name).read_text() == again, "run `python docs/reference.py`"


def test_the_readme_is_short_and_begins_with_a_picture():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    (picture,) = (re.search(r"!\[[^\]]+\]\((.+)\)", line)[1] for line in lines if line.startswith("!["))
    assert lines.index(next(line for line in lines if line.startswith("!["))) < 12
    assert (ROOT / picture).stat().st_size < 1e6


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        assert re.match(r"https?://", target) or (path.parent / target).exists(), target


def test_the_first_page_has_the_same_three_doors_as_the_sidebar_and_says_how_to_do_without_cuda():
    text = (ROOT / "docs" / "index.md").read_text()
    doors = re.findall(r"^## (.+)$", text, flags=re.M)
    assert re.findall(r"^:caption: (.+)$", text, flags=re.M) == doors == ["Learn", "Research", "Extend"]
    assert text.index("https://download.pytorch.org/whl/cpu") < text.index("pip install -e .")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("there", [False, True])
def test_the_demo_says_first_what_it_will_do_and_says_it_once(tmp_path, there):
    if there:
        (tmp_path / ".ready").touch()
    make = ["make", "--dry-run", "--no-print-directory", "demo", f"VENV={tmp_path}"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # `make test` runs this
    lines = subprocess.run(make, cwd=ROOT, env=alone, check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines[0] == "cat docs/demo/before.txt"
    assert lines.count(lines[0]) == 1
    assert any("Installing" in line for line in lines) != there


def test_the_site_links_both_reports(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    conf, source = _script("conf"), [(ROOT / "docs" / "results" / "README.md").read_text()]
    conf.without_folder_links(SimpleNamespace(srcdir=ROOT / "docs"), "results/README", source)
    for page, words in {"report.html": "the report", "trainings.html": "five trainings"}.items():
        assert f'<a href="../{page}">{words}</a>' in source[0]
        assert page in {Path(path).name for path in conf.html_extra_path}


def test_all_pages_are_in_the_table_of_contents():
    pages = {p.relative_to(ROOT / "docs").with_suffix("").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    listed = set()
    for path in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(r"```\{toctree\}(.*?)```", path.read_text(), flags=re.S):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(path.relative_to(ROOT / "docs").parent / name).as_posix() for name in names}
    assert {p for p in pages if not p.startswith("_build")} - {"index"} <= listed | {"results/README"}


def test_the_two_ways_to_cite_agree(run):
    bibtex = run("mnist-ddm cite")
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told["version"] == project["version"]
    assert f"version = {{{project['version']}}}" in bibtex
    for work in (told, *told["references"]):
        assert work["title"] in bibtex
    for reference in told["references"]:
        for person in reference["authors"]:
            assert f"{person['family-names']}, {person['given-names']}" in bibtex


def test_the_slides_are_those_of_their_source_and_say_the_minutes_of_the_exercises():
    spec = spec_from_file_location("make_slides", ROOT / "teacher" / "make_slides.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    source = module.SOURCE.read_text(encoding="utf-8")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(source), "python teacher/make_slides.py"
    for name, minutes in {"flow": "Fifteen", "ensemble": "Twenty"}.items():
        assert f"{minutes} minutes" in source.partition(f"`{name}`")[2].partition("\n---")[0]
        assert sheet_of(name).minutes == {"Fifteen": 15, "Twenty": 20}[minutes]


def test_the_source_distribution_has_the_folders_that_documents_speak_of():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    told = {name for path in DOCUMENTS for name in re.findall(r"\b(examples|notebooks|teacher)/", path.read_text())}
    assert "examples" in told
    assert told <= set(build["targets"]["sdist"]["include"])


def test_the_teachers_folder_is_not_installed():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["mnist_ddm", "paris_ddm"]
    assert not any("teacher" in source for source in wheel["force-include"])
