"""One command for the whole paper: planned first, resumable, checked, compared, and shown on one page."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from mnist_ddm import Study
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.judge import judge_run
from mnist_ddm.claims.ledger import ledger
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.pages.readme import BEGIN, END, put_verdicts
from mnist_ddm.pages.report import write_report
from mnist_ddm.storage.files import read_json, write_json
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.crate import write_crate
from mnist_ddm.study.folder import used_recordings
from mnist_ddm.study.manifest import AnalysisEntry, Manifest, RecordingEntry, Run
from mnist_ddm.study.results import read_manifest
from mnist_ddm.study.verify import recomputable
from mnist_ddm.systems.registry import load_system

ONLY = ("--only", "table-9-entropy", "--only", "router-learns-clusters")


@pytest.fixture
def finished(run, place):
    """A finished run of two claims, made once."""
    if not (place / "done" / "report.html").exists():
        code, out, err = run("reproduce", "--system", "gaussian", *ONLY, "--workers", 1, "--out", "done")
        assert code == 0, err
        (place / "printed.txt").write_text(out)
    return place / "done"


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run that a test may spoil."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_plan_comes_first_with_time_and_disk(run, place):
    code, out, _ = run("reproduce", "--system", "gaussian", "--plan", "--out", "nothing")
    assert code == 0
    assert all(name in out for name in ANALYSES)
    assert re.search(r"\d+ recordings, \d+ of them to be made: about .* about \d+ MB", out, re.S)
    assert not (place / "nothing").exists()


def test_a_small_run_gives_a_report_and_no_verdicts(finished, place):
    printed = (place / "printed.txt").read_text()
    assert printed.index("recordings") < printed.index("verdict")
    assert "no verdict: the scale 'small' has too few samples for any claim about the paper" in printed
    assert "2 claims: 2 no verdict" in printed
    manifest = read_json(finished / "manifest.json")
    assert manifest["state"] == "finished"
    assert set(manifest["analyses"]) == {"rescue", "router-calibration"}
    assert manifest["run"]["scale"] == "small"
    assert manifest["claims"] == ["table-9-entropy", "router-learns-clusters"]
    assert manifest["sources"] == {}
    for key in ("command", "git", "versions", "code", "hardware", "seconds", "schema", "recordings"):
        assert manifest[key] is not None, key
    assert {f.name for f in finished.glob("samples/*.png")} >= {"full.png"}


def test_a_manifest_has_the_hashes_of_data_and_checkpoint():
    from mnist_ddm.systems.registry import load_system

    sources = load_system("mnist").sources
    assert {"data", "expert-0", "router", "classifier", "monolith"} <= sources.keys()
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in sources.values())


def test_the_same_command_takes_over_what_is_whole_and_makes_again_what_is_not(run, copy, monkeypatch):
    done = copy / "results" / "rescue.csv"
    before = done.read_text()
    state = read_json(copy / "manifest.json")
    state["state"] = "running"
    for name in [name for name in state["analyses"]["router-calibration"]["files"] if name.endswith(".csv")]:
        (copy / name).unlink()
    write_json(copy / "manifest.json", state)
    touched = done.stat().st_mtime_ns
    code, out, err = run("reproduce", "--system", "gaussian", *ONLY, "--workers", 1, "--out", copy)
    assert code == 0, err
    assert "already answered: rescue" in out
    assert (copy / "results" / "router-calibration.csv").exists()
    assert done.read_text() == before
    assert done.stat().st_mtime_ns == touched
    assert read_json(copy / "manifest.json")["seconds"] >= state["seconds"]


@pytest.mark.long
def test_results_of_other_code_are_not_taken_over(run, copy):
    state = read_json(copy / "manifest.json")
    write_json(copy / "manifest.json", {**state, "code": "0" * 64})
    code, out, _ = run("reproduce", "--system", "gaussian", *ONLY, "--workers", 1, "--out", copy)
    assert code == 0
    assert "already answered" not in out


def test_verify_hashes_the_files_and_recomputes_tables(run, finished):
    code, out, err = run("verify", finished)
    assert code == 0, err
    assert "files have the hashes of the manifest" in out
    assert "recomputed from" in out
    assert "the same to the last bit" in out
    code, out, err = run("verify", finished, "--all")
    assert code == 0, err
    assert out.count("recomputed from") == 2


@pytest.mark.long
def test_verify_knows_all_numbers_of_samples_that_share_a_recording(tmp_path, small_map):
    # The FIDs that routing-comparison joins have 9 samples, those of the map 7, of the same trajectories.
    pool, store = load_system("gaussian"), RecordingStore(tmp_path / "recordings")
    studies = {
        "quality": Study(pool, ["quality"], store=store, n=9, steps=6),
        "regime-map": Study(pool, ["regime-map"], store=store, n=7, steps=6, temperatures=(1.0,)),
    }
    recordings = {}
    for study in studies.values():
        recordings |= study.record()
    joined = Study(pool, ["routing-comparison"], store=store, n=5, steps=4, quality_n=9, quality_steps=6)
    studies["routing-comparison"] = joined
    recordings |= joined.record()
    used = used_recordings(pool, recordings, store)
    entry = used[recordings[Sampling("full", n=9, steps=6)].key]
    assert entry["n"] == [5, 7, 9]  # the smallest is what routing-comparison would join if there were no more
    assert entry["visits"]["n"] == 9
    settings = {name: study.identity["settings"][name] for name, study in studies.items()}
    run = Run(system="gaussian", scale="full", seed=0, settings=settings, fingerprints={})
    entries = {name: AnalysisEntry(n=1, settings={}, tables=[], plots=[], files={}) for name in settings}
    kept = msgspec.convert(json.loads(json.dumps(used)), dict[str, RecordingEntry])
    manifest = Manifest(schema=3, state="finished", command="", run=run, recordings=kept, analyses=entries)
    plans = {name: set(p.wanted) for study, p in recomputable(manifest, pool, store) for name in study.analyses}
    assert plans.keys() == settings.keys()
    for routing in ("full", "top1", "top2"):
        assert Sampling(routing, n=9, steps=6) in plans["routing-comparison"]
        assert Sampling(routing, n=7, steps=6) in plans["regime-map"]


def one_line(code, err, *words):
    assert code == 2
    assert err.startswith("error:")
    assert err.count("\n") == 1
    for word in words:
        assert word in err, err


@pytest.mark.parametrize(
    "name", ["results/rescue.json", "plots/rescue-temperature.png", "report.html", "samples/full.png"]
)
def test_a_spoiled_file_is_named(run, copy, name):
    (copy / name).write_bytes((copy / name).read_bytes()[:-3])
    one_line(*run("verify", copy)[::2], str(copy / name), "changed")
    (copy / name).unlink()
    one_line(*run("verify", copy)[::2], str(copy / name), "missing")


def test_a_foreign_file_is_named(run, copy):
    (copy / "results" / "thesis.txt").write_text("x")
    code, out, _ = run("verify", copy, "--files")
    assert code == 0
    assert "not part of the run, and not checked: results/thesis.txt" in out


def test_a_table_that_its_recordings_do_not_give_is_an_error(run, copy):
    from mnist_ddm.storage.files import sha256

    file = copy / "results" / "router-calibration.json"
    table = json.loads(file.read_text())
    table["rows"][0]["accuracy"]["value"] += 0.01
    write_json(file, table)
    manifest = read_json(copy / "manifest.json")
    manifest["results"]["results/router-calibration.json"] = sha256(file)
    write_json(copy / "manifest.json", manifest)
    one_line(*run("verify", copy)[::2], "ro-crate-metadata.json", "does not say what manifest.json says")
    write_crate(copy, "manifest.json", read_manifest(copy))
    one_line(*run("verify", copy, "--all")[::2], "router-calibration.json", "not what its recordings give", "accuracy")


def test_a_spoiled_recording_is_named(run, copy, tmp_path, place, monkeypatch):
    shutil.copytree(place / "cache", tmp_path / "cache")
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "cache"))
    manifest = read_json(copy / "manifest.json")
    key, entry = next(item for item in manifest["recordings"].items() if item[1]["visits"]["routing"] == "full")
    file = tmp_path / "cache" / "recordings" / key / next(iter(entry["files"]))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    one_line(*run("verify", copy)[::2], str(file), "not the recording")


def test_recordings_that_are_gone_are_said(run, copy, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "empty"))
    one_line(*run("verify", copy)[::2], "not in", "mnist-ddm reproduce")
    assert run("verify", copy, "--files")[0] == 0


@pytest.mark.parametrize("command", ["verify", "report", "compare"])
@pytest.mark.parametrize("spoil", ["nothing", "no json", "unfinished", "other schema", "no keys"])
def test_what_is_no_run_gets_one_line(run, tmp_path, command, spoil):
    folder = tmp_path / "spoiled"
    folder.mkdir()
    texts = {
        "no json": "{",
        "unfinished": '{"schema": 3, "state": "running", "command": "mnist-ddm x"}',
        "other schema": '{"schema": 99}',
        "no keys": '{"schema": 3, "state": "finished", "command": "x"}',
    }
    if spoil in texts:
        (folder / "manifest.json").write_text(texts[spoil])
    code, _, err = run(command, folder, *([folder] if command == "compare" else []))
    one_line(code, err, str(folder))


@pytest.mark.parametrize("name", ["results/rescue.json", "plots/rescue-temperature.json"])
def test_a_report_of_a_spoiled_run_names_the_file(run, copy, name):
    (copy / name).write_text('{"rows": 3}')
    one_line(*run("report", copy)[::2], str(copy / name))


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.ids = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])


def test_the_report_is_one_file_with_named_pictures(finished):
    text = (finished / "report.html").read_text()
    page = _Page(text)
    assert len(text.encode()) < 8e6
    assert len(page.ids) == len(set(page.ids))
    links = [a["href"][1:] for tag, a in page.tags if tag == "a" and a.get("href", "").startswith("#")]
    assert set(links) <= set(page.ids)
    pictures = [a for tag, a in page.tags if tag == "svg" and a.get("class") == "plot"]
    assert len(pictures) >= 3
    assert all(a["role"] == "img" and set(a["aria-labelledby"].split()) <= set(page.ids) for a in pictures)
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "No claim about the paper" in text
    claims = [a for tag, a in page.tags if tag == "details" and a.get("class") == "claim"]
    assert claims
    assert all(a["id"].startswith("claim-") and "open" not in a for a in claims)


def test_the_report_can_be_written_again_from_the_results_alone(run, copy, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "empty"))
    before = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    code, out, _ = run("report", copy)
    assert code == 0
    assert "MB" in out
    assert (copy / "report.html").read_bytes() == before
    assert run("verify", copy, "--files")[0] == 0


@pytest.mark.long
def test_two_runs_stand_side_by_side(run, finished, place):
    code, _, err = run("reproduce", "--system", "gaussian", *ONLY, "--workers", 1, "--seed", 1, "--out", "other")
    assert code == 0, err
    code, out, err = run("compare", "done", "other", "--out", "both.html")
    assert code == 0, err
    assert "What differs" in out
    assert "seed" in out
    assert "Cells that differ" in out
    assert "The runs judge no claim of the paper" in out  # the small scale has too few samples for any
    assert "(gaussian, scale small, seed 0)" in out
    assert len(out.splitlines()) <= 60
    text = (place / "both.html").read_text()
    assert "accuracy" in text
    assert len(_Page(text).tags) > 50
    code, out, err = run("compare", "done", "done", "--table", "rescue-temperature")
    assert code == 0, err
    assert "yes" not in {row.split("|")[-1].strip() for row in out.splitlines()}
    one_line(*run("compare", "done", "other", "--table", "nowhere")[::2], "rescue-temperature")


@pytest.mark.long
def test_two_routings_stand_side_by_side(run, place):
    arguments = ("--system", "gaussian", "--analysis", "cluster-distance", "--n", 9, "--steps", 10, "--workers", 1)
    assert run("analyze", *arguments, "--out", "ranks")[0] == 0
    code, out, err = run("compare", "ranks", "ranks", "--routings", "top1", "full")
    assert code == 0, err
    assert "mean rank" in out
    assert "Cells that differ" in out
    assert "Cells that differ: 0" not in out
    one_line(*run("compare", "ranks", "ranks", "--routings", "top1", "nowhere")[::2], "in common")


def test_the_verdicts_go_between_the_marks_of_a_readme(run, copy, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end \\1.\n")
    assert run("report", copy, "--readme", readme)[0] == 0
    text = readme.read_text()
    assert text.startswith("# Title")
    assert text.endswith("The end \\1.\n")
    assert "old" not in text
    assert "no verdict" in text
    put_verdicts(readme, copy, judge_run(copy))
    assert readme.read_text() == text
    readme.write_text("no marks")
    with pytest.raises(InputError, match="once each"):
        put_verdicts(readme, copy, judge_run(copy))


def test_a_system_that_cannot_answer_a_question_gets_the_others_answered(run, place, monkeypatch):
    import torch

    from mnist_ddm.systems import gaussian, registry

    pool = gaussian.GaussianPool(gaussian.spots(2), torch.tensor([0.1, 0.2]), torch.tensor([1.0, 2.0]))
    monkeypatch.setattr(registry, "load_system", lambda *a, **k: pool)
    only = ("--only", "selected-closer-to-blend", "--only", "router-learns-clusters")
    code, out, err = run("reproduce", *only, "--workers", 1, "--out", "two-experts")
    assert code == 0, err
    assert "needs at least 3 experts" in out
    assert "router-learns-clusters" in (place / "two-experts" / "report.html").read_text()


def test_bad_input_is_refused_before_anything_is_written(run, tmp_path):
    one_line(*run("reproduce", "--system", "gaussian", "--scale", "huge")[::2], "small, medium, full")
    one_line(*run("reproduce", "--system", "gaussian", "--only", "everything")[::2], "unknown claim")
    one_line(*run("reproduce", "--system", "nowhere")[::2], "unknown system")


@pytest.mark.slow
def test_every_claim_gets_a_verdict_on_the_exact_system(run, place):
    code, _, err = run("reproduce", "--system", "gaussian", "--workers", 2, "--out", "whole")
    assert code == 0, err
    judged = read_json(place / "whole" / "verdicts.json")["rows"]
    assert {row["claim"] for row in judged} == set(ledger().claims)
    not_run = {row["claim"]: row["why"] for row in judged if row["verdict"] == "not run"}
    assert all(not_run.values())
    assert set(not_run) <= {claim.id for claim in ledger().claims.values() if claim.untestable} | {
        "mnist-correlates-more",
        "mnist-larger-gap",
        "table-3-values",
        "weak-diagnostic",
        "table-12-gap-best",
        "table-12-combination",
    }, not_run
    code, _, err = run("verify", "whole", "--all")
    assert code == 0, err


@pytest.mark.slow
def test_a_kill_at_any_point_changes_nothing(tmp_path):
    import os
    import time

    program = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]
    command = [*program, "reproduce", "--system", "gaussian", *ONLY, "--workers", "1", "--out", "run"]
    environment = {**os.environ, "MNIST_DDM_CACHE": str(tmp_path / "cache")}
    for seconds in (3, 4, 5, 6):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    whole = {**environment, "MNIST_DDM_CACHE": str(tmp_path / "other")}
    subprocess.run([*command[:-1], "whole"], cwd=tmp_path, env=whole, check=True, capture_output=True)
    tables = sorted(Path(tmp_path / "whole" / "results").glob("*.csv"))
    assert tables
    for file in tables:
        assert (tmp_path / "run" / "results" / file.name).read_bytes() == file.read_bytes()


def test_write_report_is_the_same_every_time(copy):
    first = write_report(copy, judge_run(copy)).read_bytes()
    assert write_report(copy, judge_run(copy)).read_bytes() == first
