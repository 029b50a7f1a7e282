"""The runs that ship, and the page that shows their verdicts."""

from pathlib import Path

import pytest
from test_reproduce import one_line

from mnist_ddm.claims.judge import judge_run
from mnist_ddm.pages.readme import BEGIN, END, verdict_block
from mnist_ddm.storage.files import read_json
from mnist_ddm.study.folder import SCHEMA
from mnist_ddm.study.results import read_results
from mnist_ddm.study.verify import check_files, check_run

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SHIPPED = sorted(str(f.parent.relative_to(RESULTS)) for f in RESULTS.rglob("manifest.json"))


def test_the_documentation_shows_the_verdicts_of_the_shipped_run(monkeypatch):
    root = Path(__file__).parents[1]
    monkeypatch.chdir(root)
    exact = (root / "docs/results/verdicts-gaussian.md").read_text()
    place = Path("docs/results/reproduce-gaussian")
    assert verdict_block(place, judge_run(place)) in exact
    text, shipped = (root / "docs/results/verdicts.md").read_text(), Path("docs/results/reproduce-mnist")
    block = text[text.index(BEGIN) : text.index(END)]
    if read_json(shipped / "manifest.json")["schema"] == SCHEMA:
        assert verdict_block(shipped, judge_run(shipped)) in text
    else:  # recorded by older code, which the page says; its verdicts are the ones that are shown
        assert "older code" in text[: text.index(BEGIN)]
        for row in read_json(shipped / "verdicts.json")["rows"]:
            assert row["statement"].replace("|", "\\|") in block
            assert row["verdict"] in block


@pytest.mark.long
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_runs_are_whole(run, name):
    manifest = read_json(RESULTS / name / "manifest.json")
    today = manifest["schema"] == SCHEMA
    named = {**manifest["results"], **manifest.get("derived", {})}
    count, foreign = check_run(RESULTS / name) if today else check_files(RESULTS / name, named, manifest["command"])
    assert count > 0
    assert set(foreign) <= {"manifest-of-recording.json"}
    if today:
        assert read_results(RESULTS / name).tables
        assert run("verify", RESULTS / name, "--files")[0] == 0
    else:
        one_line(*run("verify", RESULTS / name, "--files")[::2], f"schema {manifest['schema']}", manifest["command"])
