"""A study: plan, record, answer, write, on the exact system."""

import json
from dataclasses import replace

import pytest

from mnist_ddm import Study
from mnist_ddm.claims.judge import judge_run
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Series
from mnist_ddm.pages.report import write_report
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study import cost
from mnist_ddm.study.folder import Provenance
from mnist_ddm.study.results import read_manifest, read_results
from mnist_ddm.study.verify import check_run
from mnist_ddm.systems.gaussian import GaussianPool, load, spots
from mnist_ddm.tables.files import to_json


@pytest.fixture
def store(tmp_path):
    return RecordingStore(tmp_path / "recordings")


def study(store, *names, **choices):
    return Study(load(), names or ["averaging-variance"], store=store, **{"n": 8, "steps": 4, **choices})


def plain(answers):
    return {name: [to_json(table) for table in answer.tables] for name, answer in answers.items()}


def test_what_several_analyses_need_is_planned_once(store):
    both = study(store, "averaging-variance", "expert-deviation")
    wanted = both.plan().wanted
    assert {"velocity@tenths", "angles"} <= set(wanted[Sampling("top2", 8, steps=4)])
    assert set(both.plan("averaging-variance").wanted) == {Sampling(r, 8, steps=4) for r in ("top1", "top2", "full")}


def test_a_plan_says_what_is_missing_and_what_it_takes(store, monkeypatch):
    assert cost._seconds_per_evaluation(load(), 4) > 0
    monkeypatch.setattr(cost, "_seconds_per_evaluation", lambda pool, batch: 0.25)  # and no clock decides the rest
    asked = study(store)
    before = asked.plan()
    assert len(before.missing) == 3
    assert before.evaluations >= 8 * 7 * (1 + 2 + 8)
    assert before.bytes > 0
    assert before.seconds(1) == 0.25 * before.evaluations
    assert before.seconds(2) == before.seconds(1) / 2
    asked.record()
    after = asked.plan()
    assert (len(after.missing), after.evaluations, after.bytes, after.seconds()) == (0, 0, 0, 0)


def test_recording_and_answering_equals_running(store, tmp_path):
    asked = study(store)
    answers = plain(asked.answer(asked.record()))
    other = study(RecordingStore(tmp_path / "other"))
    assert plain(other.run()) == answers
    assert answers.keys() == {"averaging-variance"}


def test_progress_is_told_for_each_recording(store):
    told = {}
    study(store).record(on_progress=lambda visits, fraction: told.setdefault(visits, []).append(fraction))
    assert len(told) == 3
    assert all(fractions == sorted(fractions) and fractions[-1] == 1 for fractions in told.values())


def test_choices_go_to_the_analyses_that_have_them(store):
    asked = study(store, "router-calibration", "expert-deviation", seed=3, solver="euler")
    assert asked.settings["router-calibration"].seed == asked.settings["expert-deviation"].seed == 3
    assert asked.settings["expert-deviation"].solver == "euler"
    with pytest.raises(InputError, match=r"no setting 'colour'.*n, routings, seed"):
        study(store, colour="red")
    assert study(store, n=None).settings["averaging-variance"].n == 500


def test_a_scale_decides_the_rest(store):
    sizes = [Study(load(), store=store, scale=scale).settings for scale in ("small", "medium", "full")]
    for small, medium, full in zip(*(s.items() for s in sizes), strict=True):
        assert small[0] == medium[0] == full[0]
        assert small[1].n <= medium[1].n <= full[1].n
    with pytest.raises(InputError, match="small, medium, full"):
        Study(load(), store=store, scale="huge")


def test_what_a_system_cannot_answer_is_absent_with_the_reason(store):
    import torch

    two = GaussianPool(spots(2), torch.tensor([0.1, 0.2]), torch.tensor([1.0, 2.0]))
    asked = Study(two, ["expert-deviation", "router-calibration"], store=store, n=8)
    assert list(asked.analyses) == ["router-calibration"]
    assert "at least 3 experts" in asked.absent["expert-deviation"]


def test_an_analysis_of_ones_own_needs_no_registry(store):
    from mnist_ddm.analyses.averaging import AveragingVariance

    asked = Study(load(), [AveragingVariance()], store=store, n=8, steps=4)
    assert asked.run()["averaging-variance"].tables[0].rows


def test_a_study_writes_a_run_that_can_be_read(store, tmp_path):
    asked = study(store, "averaging-variance", "expert-deviation", seed=2)
    answers = asked.answer(asked.record())
    folder = asked.write(tmp_path / "run").folder
    manifest, results = read_manifest(folder), read_results(folder)
    assert manifest.run.settings["expert-deviation"] == {
        "n": 8, "routings": [], "seed": 2, "solver": "heun", "steps": 4,
    }  # fmt: skip
    assert (results.system, results.seed, results.scale, results.samples["averaging-variance"]) == (
        "gaussian",
        2,
        "full",
        8,
    )
    for answer in answers.values():
        for table in answer.tables:
            assert to_json(results.tables[table.name])["rows"] == json.loads(json.dumps(to_json(table)["rows"]))
    assert (folder / "samples" / "full.png").exists()
    assert set(manifest.results) == {
        str(f.relative_to(folder))
        for f in folder.rglob("*")
        if f.is_file() and f.name not in ("manifest.json", "ro-crate-metadata.json")
    }


def test_a_plot_without_a_number_is_no_file(store, tmp_path):
    asked = study(store)
    (answer,) = asked.run().values()
    empty = replace(answer.plots[0], name="empty", series=(Series("full", [0.0], [float("nan")]),))
    folder = asked.open(tmp_path / "run", Provenance())
    folder.write(
        "averaging-variance", asked.settings["averaging-variance"], replace(answer, plots=(*answer.plots, empty))
    )
    names = {plot.name for plot in answer.plots}
    assert {file.name.split(".")[0] for file in (tmp_path / "run" / "plots").iterdir()} == names
    assert (
        set(json.loads((tmp_path / "run" / "manifest.json").read_text())["analyses"]["averaging-variance"]["plots"])
        == names
    )


@pytest.mark.long
def test_writing_again_takes_over_what_is_whole(store, tmp_path):
    asked, told = study(store, "averaging-variance", "expert-deviation"), []
    asked.write(tmp_path / "run")
    (tmp_path / "run" / "results" / "averaging-variance.csv").write_text("spoiled")
    asked.write(tmp_path / "run", on_answer=lambda name, answer: told.append((name, answer is None)))
    assert told == [("averaging-variance", False), ("expert-deviation", True)]
    assert "spoiled" not in (tmp_path / "run" / "results" / "averaging-variance.csv").read_text()


@pytest.mark.long
@pytest.mark.parametrize("code", ["this", "another"])
def test_a_page_is_no_result_of_a_run_that_is_written_again(store, tmp_path, code):
    run = tmp_path / "run"
    study(store).write(run)
    write_report(run, judge_run(run))
    manifest = json.loads((run / "manifest.json").read_text())
    assert "report.html" in manifest["derived"]
    if code == "another":
        (run / "manifest.json").write_text(json.dumps({**manifest, "code": "older"}))
    study(store).write(run)
    assert not {"report.html", "verdicts.csv"} & json.loads((run / "manifest.json").read_text())["results"].keys()
    write_report(run, judge_run(run))
    assert check_run(run)[1] == []


def test_a_folder_belongs_to_one_study(store, tmp_path):
    study(store).write(tmp_path / "run")
    with pytest.raises(InputError, match="holds another run"):
        study(store, n=7).write(tmp_path / "run")
    with pytest.raises(InputError, match="holds another run"):
        study(store).open(tmp_path / "run", Provenance(claims=("dissociation",)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not an empty folder"):
        study(store).write(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
