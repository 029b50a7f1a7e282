"""The results that ship: each folder has its command, numbers in documents are those of files, and old ones only go."""

import json
import re
import shlex
import shutil
import sys
import tomllib
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from mnist_ddm.claims.ledger import claim_named
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore

ROOT = Path(__file__).parents[1]
STALE_AT_MOST = {"paris", "random-quality"}
"""Folders that may be of older code. Names only ever go from here: a new result is of the code that it came with."""


def script(name):
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def marks():
    return script("marks")


@pytest.fixture(scope="module")
def record():
    """The modules of `docs/record.py`, and itself as `command`."""
    names = ("marks", "folders", "make_results", "say_results", "check_results", "record")
    sys.path.insert(0, str(ROOT / "docs"))
    modules = [import_module(name) for name in names]
    yield SimpleNamespace(
        **dict(zip(("marks", "folders", "making", "saying", "checking", "command"), modules, strict=True))
    )
    sys.path.remove(str(ROOT / "docs"))
    for name in names:
        del sys.modules[name]


def test_folders_commands_and_documents_agree(record):
    assert list(record.checking.faults()) == []


def test_the_table_of_runs_says_which_code_made_each(record):
    table = record.saying.runs_table()
    for entry in record.folders.entries():
        file = entry.folder / "manifest.json"
        git = json.loads(file.read_text()).get("git") if file.exists() else None
        code = f"`{git['commit'][:8]}{'+' if git['dirty'] else ''}`" if git else ""
        assert f"| {entry.paper} | {code} |" in next(
            line for line in table.splitlines() if f"`{entry.command}`" in line
        )


def test_old_results_only_become_fewer(record):
    assert {entry.name for entry in record.folders.entries() if entry.stale} <= STALE_AT_MOST


def test_every_command_is_one_of_the_package_and_has_a_plan(record):
    """That of the exact system is made here; those of trained ones take seconds each."""
    ((_, cost),) = record.making.expected(
        [entry for entry in record.folders.entries() if entry.name == "gaussian-roughness"], 1
    )
    assert min(cost.recording, cost.tables) > 0
    assert cost.unknown == []
    for entry in record.folders.entries():
        if entry.is_run:
            assert record.folders.asked_by(entry.command)[1]["system"] in ("gaussian", "mnist", "paris")


def test_what_two_folders_need_is_counted_once(record, monkeypatch):
    one, other = (
        record.folders.Entry(name, "mnist-ddm analyze --system gaussian --n 8 --steps 4", "") for name in "ab"
    )
    (_, first), (_, second) = record.making.expected([one, other], 1)
    assert first.recording > 0
    assert second.recording == 0
    assert second.tables == first.tables > 0


def test_a_plan_counts_every_training_what_is_asked_of_it_and_what_comes_before(record, tmp_path):
    (entry,) = (entry for entry in record.folders.entries() if entry.name == "trainings")
    studies = record.folders.studies_of(entry, RecordingStore(tmp_path))
    assert [study.settings["quality"].seed for study in studies] == [0, 1, 2, 3, 4]
    assert "regime-map" not in studies[0].analyses  # none of its claims needs it
    cards = (ROOT / "checkpoints" / "mnist-classroom").glob("*.json")
    whole = sum(json.loads(f.read_text()).get("figures", {}).get("seconds", 0) for f in cards)
    assert record.making.trained_seconds(entry.before[0]) == pytest.approx(whole)
    (stage,) = (entry for entry in record.folders.entries() if entry.name == "sizes/stage-400")
    assert 0 < record.making.trained_seconds(stage.before[0]) < whole
    assert record.making.trained_seconds("mnist-ddm train --preset tiny --out build/tiny") is None


def test_a_plan_names_what_it_does_not_count(record):
    one = record.folders.Entry(
        "a", "python tests/coverage", "", before=("mnist-ddm train --preset tiny --out build/t",)
    )
    ((_, cost),) = record.making.expected([one], 1)
    told = "nothing to wait for, not counted: `mnist-ddm train --preset tiny --out build/t`, `python tests/coverage`"
    assert str(cost) == told


def test_every_command_is_run_by_this_python(record):
    for entry in record.folders.entries():
        for command in (*entry.before, entry.command):
            assert shlex.split(command)[0] in ("mnist-ddm", "python")


def test_a_name_that_is_none_and_a_command_that_fails_are_one_line_and_exit_code_2(record, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["record.py", "make", "averagin"])
    with pytest.raises(SystemExit) as ended:
        record.command.main()
    assert ended.value.code == 2
    assert "did you mean 'averaging'" in one_line_of(capsys)
    failing = record.folders.Entry("a", "python -c raise(SystemExit(3))", "")
    monkeypatch.setattr(record.making, "to_make", lambda names: [failing])
    with pytest.raises(SystemExit) as ended:
        record.command.main()
    assert ended.value.code == 2
    assert one_line_of(capsys).startswith("a: what it says above ended this with exit code 3: `python -c")


def one_line_of(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_benchmarks_measured_is_copied_whole_or_not_at_all(tmp_path):
    copy, source, target = script("benchmarks"), tmp_path / "from", tmp_path / "to"
    source.mkdir()
    for name in copy.MEASURED[1:]:
        (source / f"{name}.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="grading"):
        copy.copy(source, target)
    assert not target.exists()
    (source / "grading.json").write_text('{"a": 2}')
    copy.copy(source, target)
    assert json.loads((target / "grading.json").read_text()) == {"a": 2}
    assert len(list(target.iterdir())) == 3


def test_final_states_alone_are_counted_too(record, tmp_path):
    """Recordings that keep no observable are most of what some folders need."""
    (entry,) = (entry for entry in record.folders.entries() if entry.name == "gaussian-roughness")
    (study,) = record.folders.studies_of(entry, RecordingStore(tmp_path))
    plan, seen = study.plan(), {}
    assert any(not names for names in plan.missing.values())
    assert record.making.not_counted(plan, seen).wanted == plan.missing
    assert record.making.not_counted(plan, seen).wanted == {}


@pytest.fixture
def results(record, monkeypatch, tmp_path):
    """A copy of what the checks look at, to spoil."""
    (tmp_path / "docs").mkdir()
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "docs" / "results", symlinks=True)
    shutil.copytree(ROOT / "docs" / "pictures", tmp_path / "docs" / "pictures")
    for name in ("why.md", "statistics.md"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    (tmp_path / "teacher").mkdir()
    for name in ("README.md", "teacher/README.md", "codecheck.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    places = {"RESULTS": "docs/results", "TABLE": "docs/results/results.toml", "CODECHECK": "codecheck.yml"}
    places["PICTURES"] = "docs/pictures/pictures.toml"
    monkeypatch.setattr(record.folders, "ROOT", tmp_path)
    for name, place in places.items():
        monkeypatch.setattr(record.folders, name, tmp_path / place)
    return tmp_path / "docs" / "results"


@pytest.mark.long
def test_a_number_that_is_not_the_files_is_a_fault_until_it_is_written_again(record, results):
    page = results / "quality.md"
    text = page.read_text()
    page.write_text(re.sub(r"-->0\.071<", "-->0.701<", text, count=1))
    assert [fault.split(":")[0] for fault in record.checking.faults()] == ["docs/results/quality.md"]
    record.saying.write()
    assert page.read_text() == text
    assert list(record.checking.faults()) == []


def test_the_claims_about_two_systems_are_shown(record):
    shown = record.saying.verdicts_of_two()
    assert shown.startswith("[reproduce-paris-two](reproduce-paris-two): `mnist-ddm reproduce")
    assert "2 claims: " in shown
    for name in ("mnist-correlates-more", "mnist-larger-gap"):
        assert claim_named(name).statement in shown


@pytest.mark.long
@pytest.mark.parametrize("indent", ["", "  "])
def test_a_mark_at_the_begin_of_a_line_is_a_fault(record, results, indent):
    """Markdown takes it for a block of HTML, and what follows for another paragraph; in an item of a list too."""
    page = results / "quality.md"
    page.write_text(page.read_text().replace("| label | <!--=", f"label\n{indent}<!--=", 1))
    assert (
        "docs/results/quality.md: a line begins with a mark, which ends the paragraph there" in record.checking.faults()
    )


@pytest.mark.long
def test_a_folder_that_nothing_makes_and_one_that_is_gone_are_faults(record, results):
    (results / "mine").mkdir()
    shutil.rmtree(results / "coverage")
    found = list(record.checking.faults())
    assert "mine: no command in results.toml makes it" in found
    assert "coverage: not there" in found


def test_a_folder_of_older_code_has_to_be_called_so(record, results):
    record.folders.TABLE.write_text(record.folders.TABLE.read_text().replace("stale = true\n", "", 1))
    assert any(fault.startswith("paris: its manifest has schema 2 of") for fault in record.checking.faults())


def test_a_mark_that_names_no_cell_is_an_error(marks):
    with pytest.raises(ValueError, match="0 rows with routing=huge"):
        marks.number(ROOT, "trainings/quality", "routing=huge", "fid", "{value}")
    with pytest.raises(ValueError, match="column 'fidd'"):
        marks.number(ROOT, "trainings/quality", "routing=full", "fidd", "{value}")


@pytest.fixture
def small(tmp_path):
    """One table whose numbers are known by heart, and one file that is no table."""
    results = tmp_path / "docs" / "results"
    (results / "run" / "results").mkdir(parents=True)
    rows = [
        {"routing": "top1", "t": 0.5, "fid": 6.0, "angle (> 1)": {"value": -3.0, "low": -4.0, "high": -2.0}},
        {"routing": "top2", "t": 0.5, "fid": 1.5, "angle (> 1)": {"value": 5.0, "low": 4.0, "high": 6.0}},
        {"routing": "full", "t": 0.1, "fid": None, "angle (> 1)": {"value": 4.0, "low": 3.0, "high": 5.0}},
    ]
    (results / "run" / "results" / "table.json").write_text(json.dumps({"rows": rows}))
    (results / "timings.json").write_text(json.dumps({"all": 9, "one": {"s": 2, "error": {"mean": 0.25}}, "none": []}))
    return tmp_path


@pytest.mark.parametrize(
    ("place", "rows", "column", "form", "told"),
    [
        ("run/table", "routing=top2", "angle (> 1)", "{value:.1f} [{low:.0f}, {high:.0f}]", "5.0 [4, 6]"),
        ("run/table", "routing=top1; t=0.5 minus routing=top2", "fid", "{value:.2f}", "4.50"),
        ("run/table", "routing=top1 over routing=top2; t=0.5", "angle (> 1)", "{value:.1f}", "-0.6"),
        ("run/table", "least all", "angle (> 1)", "{value:.0f} [{low:.0f}, {high:.0f}]", "-3 [-4, -2]"),
        ("run/table", "most t=0.5", "fid", "{value:.0f}", "6"),
        ("run/table", "count all", "fid", "{value}", "2"),
        ("run/table", "count t=0.5", "routing", "{value}", "2"),
        ("run/table", "distinct all", "t", "{value}", "2"),
        ("run/table", "distinct t=0.5", "routing", "{value}", "2"),
        ("timings", "at=.", "all", "{value}", "9"),
        ("timings", "at=one", "s", "{value}", "2"),
        ("timings", "at=one/error", "mean", "{value:.0%}", "25%"),
    ],
)
def test_a_mark_is_a_cell_or_made_of_two_or_the_least_the_most_or_how_many(
    marks, small, place, rows, column, form, told
):
    assert marks.number(small, place, rows, column, form) == told
    mark = f"<!--= {place} :: {rows} :: {column} :: {form} -->"
    again = marks.quoted(f"a {mark}7<!--/--> b {mark}<!--/-->", small)
    assert again == f"a {mark}{told}<!--/--> b {mark}{told}<!--/-->"


@pytest.mark.parametrize("rows", ["most routing=huge", "count routing=huge", "routing=full", "t=0.5", "all"])
def test_a_mark_of_no_row_or_of_several_is_an_error(marks, small, rows):
    with pytest.raises(ValueError, match="fid"):
        marks.number(small, "run/table", rows, "fid", "{value}")


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("the FID is 1.70, at n = 500, of 20 routings", ["1.70"]),
        ("between [3, 4] and [-2, -1]", ["[3, 4]", "[-2, -1]"]),
        ("at t = 0.9, 0.8 and 0.7 it is 0.3", ["0.3"]),
        ("<!--= a :: b=1 :: c > 2 :: {value:.1f} -->1.7<!--/--> and <!--: the\npaper -->0.63<!--/-->", []),
        ("`full@T=0.5` in [0.71](a-0.5.md), [arXiv 2412.17762](https://arxiv.org/abs/2412.17762)", ["0.71"]),
        (
            "in 3 cases in 4, 1 in every 20, by a factor of 23, 12x, 7 times",
            ["3 cases in 4", "1 in every 20", "factor of 23", "12x", "7 times"],
        ),
        ("at t = 0.9, 0.8 with p = 0.03", ["0.03"]),
        ("<!-- foo -->\n0.03\n<!-- end of foo -->", ["0.03"]),
        ("# 2.5 ways\n\n```text\n0.25\n```\n", ["2.5"]),
        ("5 of 9 claims, 40% of them, K = 6.40, 1,200 of the 3000", ["5 of 9", "40%", "6.40", "1,200 of the 3000"]),
        ("95% intervals by Section 4.2 of arXiv:2602.02685 under Python 3.11, $w = 0.5$", []),
        (
            "| a | Paris, the paper | b |\n|---|---|---|\n| 0.1 | 0.2 | 0.3 |\n\n| a | b |\n|---|---|\n| 1.1 | 1.2 |",
            ["0.3", "1.2"],
        ),
        ("<!-- runs -->\n0.12\n<!-- end of runs -->\n0.13", ["0.13"]),
    ],
)
def test_a_number_typed_by_hand_is_found(marks, text, typed):
    assert marks.typed(text) == typed


@pytest.mark.long
def test_a_number_typed_by_hand_in_a_page_of_results_is_a_fault(record, results):
    (results / "regimes.md").write_text((results / "regimes.md").read_text() + "\nThe ratio is 0.97 here.\n")
    assert list(record.checking.faults()) == ["docs/results/regimes.md: typed by hand: 0.97"]


@pytest.mark.long
def test_a_number_typed_into_any_other_document_is_a_fault_too(record, results):
    readme = record.folders.ROOT / "README.md"
    readme.write_text(readme.read_text() + "\nIt is better in 40% of all cases.\n")
    assert list(record.checking.faults()) == ["README.md: typed by hand: 40%"]


@pytest.mark.long
def test_a_result_that_was_changed_by_hand_and_one_that_nothing_made_are_faults(record, results):
    """Before the documents quote it: marks copy whatever a file says."""
    table = results / "averaging" / "results" / "quality.json"
    table.write_text(table.read_text().replace("0.", "0.0", 1))
    strange = ["orphan.json", "churn/old-run/quality.csv", "reproduce-mnist/plots/orphan.png"]
    for name in strange:
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_text("{}")
    found = list(record.checking.faults())
    assert any(fault.startswith("docs/results/averaging/results/quality.json was changed") for fault in found)
    for name in strange:
        assert f"docs/results/{name}: no run and no command of results.toml made it" in found


def _spoil(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.long
def test_verdicts_tables_crates_and_pictures_are_those_of_the_files(record, results):
    """What `made` writes as a whole, and files that are no results of a run."""
    _spoil(results / "verdicts.md", " claims: ", "0 claims: ")
    _spoil(results / "verdicts-gaussian.md", "| not reproduced: ", "| reproduced: ")
    statistics = results.parent / "statistics.md"
    text = statistics.read_text()
    _spoil(statistics, "| mean | normal | 0.958 |", "| mean | normal | 0.111 |")
    _spoil(statistics, " are false", "9 are false")
    _spoil(results / "averaging" / "ro-crate-metadata.json", '"description": "', '"description": "not ')
    (results / "faults" / "ro-crate-metadata.json").unlink()
    pictures = results.parent / "pictures"
    (pictures / "orphan.png").write_text("")
    _spoil(record.folders.PICTURES, "--n 24", "--n 25")
    (pictures / "explorer.gif").unlink()
    found = list(record.checking.faults())
    for page in ("results/verdicts.md", "results/verdicts-gaussian.md", "statistics.md"):
        assert f"docs/{page}: does not say what the files say; `python docs/record.py write`" in found
    told = "\n".join(found)
    assert "docs/results/averaging/ro-crate-metadata.json does not say what manifest.json says" in told
    assert "docs/results/faults/ro-crate-metadata.json: not there" in told
    assert "docs/pictures/orphan.png: no command in pictures.toml makes it" in found
    assert "docs/pictures/explorer.gif: not there" in found
    assert "docs/pictures/paris-mini.png: made by `mnist-ddm sample --system paris --routing label --n 24" in told
    record.saying.write()
    assert statistics.read_text() == text


@pytest.mark.long
def test_the_picture_of_the_small_paris_is_what_its_command_draws(record, run, tmp_path):
    """Another machine rounds otherwise, and other code or weights draw other digits."""
    made_by = tomllib.loads(record.folders.PICTURES.read_text())["paris-mini.png"]
    words = shlex.split(made_by)[1:-1]
    assert run(*words, tmp_path / "again.png")[0] == 0
    then, now = (
        np.asarray(Image.open(file), dtype=float)
        for file in (ROOT / "docs" / "pictures" / "paris-mini.png", tmp_path / "again.png")
    )
    assert np.abs(then - now).mean() < 1


def test_codecheck_names_files_that_are_there_and_the_commands_that_make_them(record):
    """The fields of https://codecheck.org.uk/spec/config/1.0/ that are ours; who checks adds the others."""
    told = yaml.safe_load((ROOT / "codecheck.yml").read_text())
    assert told["version"] == "https://codecheck.org.uk/spec/config/1.0/"
    assert told["paper"]["title"]
    assert told["paper"]["reference"].startswith("https://")
    assert all(author["name"] for author in told["paper"]["authors"])
    commands = {entry.command for entry in record.folders.entries()}
    files = [one["file"] for one in told["manifest"]]
    assert len(files) == len(set(files)) > 0
    for one in told["manifest"]:
        assert (ROOT / one["file"]).is_file(), one["file"]
        assert one["comment"].split(", after")[0] in commands


def test_the_authors_of_the_paper_are_those_that_are_cited():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"][0]
    told = yaml.safe_load((ROOT / "codecheck.yml").read_text())["paper"]
    assert told["title"] == cited["title"]
    names = [f"{person['given-names']} {person['family-names']}" for person in cited["authors"]]
    assert [author["name"] for author in told["authors"]] == names
