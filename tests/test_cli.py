"""The command line as a user meets it: help at once, one clear line for bad input, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
import torch
from PIL import Image

from mnist_ddm import cli


@pytest.fixture
def run(monkeypatch, call_command, tmp_path):
    """Run the command in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return call_command


ANALYZE = ("analyze", "--system", "gaussian", "--workers", 1)  # no time for starting processes
PROGRAM = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]


def test_help_imports_neither_torch_nor_lightning():
    code = (
        "import sys; sys.argv = ['mnist-ddm', '--help']\n"
        "from mnist_ddm.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'lightning', 'torchvision', 'numpy', 'scipy', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for command in ("train", "sample", "analyze", "measure", "info"):
        assert f"  {command} " in out


@pytest.mark.parametrize("command", list(cli._COMMANDS))
def test_every_command_explains_itself(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert out.startswith("Usage:")


def _contexts(context):
    """A command and all below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from _contexts(click.Context(context.command.get_command(context, name), context, info_name=name))


def _as_one_line(text):
    return " ".join(text.replace("\b", "").split()).replace("- ", "-")


@pytest.mark.parametrize("width", [40, 60])
def test_help_fits_a_narrow_terminal_and_breaks_no_word(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for context in _contexts(click.Context(cli.cli, info_name="mnist-ddm", **cli.cli.context_settings)):
        told = context.get_help()
        assert max(map(len, told.splitlines())) <= width, context.command_path
        for text in (context.command.help, *(getattr(option, "help", "") for option in context.command.params)):
            assert _as_one_line(text or "") in _as_one_line(told), context.command_path


def test_samples_become_a_picture_that_says_how_it_was_made(run, tmp_path):
    code, out, _ = run("sample", "--system", "gaussian", "--routing", "top2", "--n", 9, "--steps", 5, "--out", "g.png")
    assert code == 0
    assert "g.png" in out
    picture = Image.open(tmp_path / "g.png")
    assert picture.info["Command"].startswith("mnist-ddm sample")
    assert picture.width == picture.height


def test_record_draws_strips_over_time(run, tmp_path):
    code, _, _ = run("sample", "--system", "gaussian", "--n", 2, "--steps", 12, "--record", "--out", "s.png")
    picture = Image.open(tmp_path / "s.png")
    assert code == 0
    assert picture.width / picture.height == pytest.approx(11 / 4, rel=0.05)


def test_analyze_writes_tables_plots_and_a_manifest(run, tmp_path):
    arguments = ("analyze", "--system", "gaussian", "--n", 12, "--steps", 4, "--out", "r")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "expected time" in out
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["state"] == "finished"
    assert manifest["command"].startswith("mnist-ddm analyze")
    assert {own["n"] for own in manifest["run"]["settings"].values()} == {12}
    assert set(manifest["results"]) == {str(f.relative_to(tmp_path / "r")) for f in (tmp_path / "r").glob("*/*")}
    first = (tmp_path / "r" / "results" / "disagreement.csv").read_text()
    code, out, _ = run(*arguments)
    assert code == 0
    assert "in the cache" in out
    assert (tmp_path / "r" / "results" / "disagreement.csv").read_text() == first


@pytest.mark.slow
def test_a_group_runs_its_analyses_and_keeps_the_reference_statistics(run, tmp_path):
    code, out, _ = run(*ANALYZE, "--group", "quality", "--n", 20, "--steps", 2, "--out", "q")
    assert code == 0
    assert "misaligned2" in out
    manifest = json.loads((tmp_path / "q" / "manifest.json").read_text())
    assert "results/reference-raw.safetensors" in manifest["results"]
    code, out, _ = run(*ANALYZE, "--group", "alignment", "--n", 6, "--steps", 3, "--out", "a")
    assert code == 0
    written = {f.stem for f in (tmp_path / "a" / "results").glob("*.csv")}
    assert written >= {
        "cluster-distance",
        "expert-deviation-references",
        "disagreement-quartiles",
        "router-calibration",
    }


def test_the_cache_can_be_listed_and_cleared(run):
    run(*ANALYZE, "--analysis", "cluster-distance", "--n", 4, "--steps", 3, "--out", "a")
    code, out, _ = run("cache", "ls")
    assert code == 0
    assert "top2" in out
    assert "steps 3" in out
    assert "4 recordings" in out
    code, out, _ = run("cache", "clear", "--yes")
    assert code == 0
    assert out.startswith("freed")
    assert "0 recordings" in run("cache", "ls")[1]


def test_a_checkpoints_figures_are_shown_without_the_marks_of_a_program(run):
    code, out, _ = run("info", "checkpoint", "mnist-classroom")
    assert code == 0
    assert "{" not in out
    assert "0.1: 0.98" in out.replace("\n", " ")


def test_a_shipped_checkpoint_is_known_by_its_name(run):
    shipped = ("sample", "--routing", "label", "--n", 1, "--steps", 1, "--checkpoint", "mnist-classroom")
    code, out, _ = run(*shipped, "--out", "one.png")
    assert code == 0
    assert "one.png: 1 sample, " in out
    code, _, err = run("sample", "--checkpoint", "mnist-nowhere", "--out", "two.png")
    assert code == 2
    assert "mnist-nowhere" in err


def test_strips_and_grids_say_what_they_show(run, tmp_path, monkeypatch):
    from mnist_ddm.figures import samples

    written = []
    monkeypatch.setattr(samples, "save_grid", lambda images, *rest: written.append((len(images), rest[-1])))
    assert run("sample", "--system", "gaussian", "--n", 2, "--steps", 4, "--record", "--workers", 1)[0] == 0
    assert run("sample", "--system", "gaussian", "--n", 5, "--steps", 2, "--routing", "label", "--workers", 1)[0] == 0
    (strips, sides), (_, below) = written
    assert strips == 2 * 2 * len(sides.columns)
    assert sides.columns[0] == "t = 1.00"
    assert sides.columns[-1] == "t = 0"
    assert len(set(sides.columns)) == len(sides.columns)  # each time once, however few there are
    assert sides.rows == ["state", "prediction"] * 2
    assert len(below.images) == 5
    assert all(text.startswith("asked: gaussian ") for text in below.images)


def test_names_beside_a_grid_take_room_and_change_no_pixel_of_it(tmp_path):

    from mnist_ddm.figures.pictures import GridNames, save_grid

    images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    save_grid(images, tmp_path / "bare.png", {}, 3)
    save_grid(images, tmp_path / "named.png", {}, 3, GridNames(columns=["a", "b", "c"], rows=["first", "second"]))
    bare, named = (Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("bare", "named"))
    left, above = named.width - bare.width, named.height - bare.height
    assert left > 20
    assert above > 10
    assert named.crop((left, above, named.width, named.height)).tobytes() == bare.tobytes()
    assert min(named.crop((0, above, left, named.height)).convert("L").tobytes()) < 100  # there is ink


@pytest.mark.parametrize("side", [8, 28])
@pytest.mark.parametrize("name", ["asked: triangle", "asked: " + "a class whose name has no end " * 3])
def test_words_below_images_stay_on_their_own_paper(tmp_path, name, side):
    """Ink of a name lies within the white below its image, however long it is and however wide the lines are."""
    from mnist_ddm.figures.pictures import GridNames, save_grid

    save_grid(torch.zeros(3, 1, side, side), tmp_path / "named.png", {}, 3, GridNames(images=("", name, "")))
    picture = np.asarray(Image.open(tmp_path / "named.png").convert("L"))
    pixel = picture.shape[1] // (3 * (side + 1) + 1)  # the side of an image's pixel, and the width of a line
    words = picture[-pixel - 15 : -pixel - 2]
    left = pixel + (pixel + side * pixel)
    own, others = words[:, left : left + side * pixel], np.delete(words, np.s_[left : left + side * pixel], axis=1)
    inked = np.flatnonzero((own < 255).any(axis=0))
    assert 3 <= inked.min() < inked.max() < side * pixel - 3
    assert inked.min() + inked.max() == pytest.approx(side * pixel, abs=6)
    assert set(np.unique(others)) == {round(0.35 * 255), 255}  # lines and bare paper


def test_info_is_short(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("info")
    assert code == 0
    for word in ("gaussian", "mnist", "top1", "heun", "sensitivity", "torch", "cores", "recordings", "classroom"):
        assert word in out
    assert len(out.splitlines()) <= 25
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("routings", ("top-p=0.9", "drawn at the start", "@T=0.5", "monolith")),
        ("analyses", ("expert-deviation", "Table 3", "group regimes")),
        ("experiments", ("expert-deviation",)),
        ("presets", ("classroom", "steps of")),
        ("features", ("classifier", "inception", "raw", "--distance")),
        ("checkpoint mnist-classroom", ("classifier accuracy", "router accuracy by t", "FID", "monolith")),
        ("checkpoint paris-mini", ("clusters", "FID")),
    ],
)
@pytest.mark.parametrize("width", [40, 80])
def test_info_says_more_of_one_thing(run, monkeypatch, width, topic, words):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = run("info", *topic.split())
    assert code == 0, err
    for word in words:
        assert word in " ".join(out.split())
    assert max(len(line.rstrip()) for line in out.splitlines()) <= width


def test_info_leaves_out_what_a_card_does_not_say_and_has_words_for_the_rest(run):
    code, out, err = run("info", "checkpoint", "mnist-random")
    assert code == 0, err
    told = " ".join(out.split())
    assert "UNets with a linear start" in told
    assert not any(word in told for word in ("()", "True", "labels in the data", "names of the classes", "data in"))


def test_experts_can_be_trained_one_by_one(run, tmp_path):
    code, out, _ = run("train-experts", "--preset", "tiny", "--only", "3,7", "--steps", 2, "--workers", 1, "--out", "t")
    assert code == 0
    assert sorted(f.name for f in (tmp_path / "t").glob("*.safetensors")) == [
        "expert-3.safetensors",
        "expert-7.safetensors",
    ]
    code, out, _ = run("info", "checkpoint", "t")
    assert code == 0
    assert "not trained" in out


BAD = {
    "system": ("sample --system nowhere", "unknown system 'nowhere'; there are: gaussian, mnist"),
    "routing": ("sample --system gaussian --routing best", "unknown routing 'best'; there are: top1"),
    "k > K": ("sample --system gaussian --routing top9", "choose k <= 8"),
    "n": ("sample --system gaussian --n 0", "at least 1"),
    "steps": ("sample --system gaussian --steps 0", "at least 1"),
    "analyze n": ("analyze --system gaussian --n -1", "at least 1"),
    "solver": ("sample --system gaussian --solver rk4", "euler, heun"),
    "seed": ("sample --system gaussian --seed -1", "between 0 and"),
    "workers": ("sample --system gaussian --workers 0", "at least 1"),
    "device": ("sample --system gaussian --device cuda:7", "unknown device"),
    "preset": ("train --preset huge", "classroom, tiny, paper"),
    "partition": ("train --preset tiny --partition alphabet", "digit, random, kmeans"),
    "experts": ("train --preset tiny --experts 3", "one expert for each of the 10 classes"),
    "only": ("train-experts --preset tiny --only 3,12", "no expert '12'"),
    "only text": ("train-experts --preset tiny --only x", "no expert 'x'"),
    "train steps": ("train --preset tiny --steps 0", "at least 1"),
    "analysis": ("analyze --system gaussian --analysis astrology", "`mnist-ddm info analyses` has all"),
    "distance": ("analyze --system gaussian --n 3 --steps 2 --distance alex", "there are: l2"),
    "checkpoint": ("sample --system mnist --checkpoint nowhere", "not a checkpoint"),
    "checkpoint of gaussian": ("sample --system gaussian --checkpoint x", "takes no --checkpoint"),
    "data": ("sample --system mnist --data-dir nowhere", "train-images-idx3-ubyte"),
    "picture": ("sample --system gaussian --out grid.jpg", "must be a .png"),
    "info": ("info nowhere", "there are: routings, analyses"),
    "info checkpoint": ("info checkpoint nowhere", "there are: mnist-classroom"),
    "info name": ("info routings top1", "takes a name"),
    "option": ("sample --colour red", "No such option"),
    "command": ("dance", "No such command 'dance'; see `mnist-ddm --help`"),
    "number": ("sample --n many", "not a valid integer"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_bad_input_gets_one_clear_line_and_exit_code_2(run, tmp_path, what):
    command, expected = BAD[what]
    code, _, err = run(*command.split())
    assert code == 2
    assert expected in err
    assert "Traceback" not in err
    if err.startswith("error:"):
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_an_output_folder_with_another_run_is_left_alone(run, tmp_path):
    base = (*ANALYZE, "--steps", 2, "--out", "r", "--n")
    assert run(*base, 4)[0] == 0
    before = {f: f.read_bytes() for f in (tmp_path / "r").rglob("*") if f.is_file()}
    code, _, err = run(*base, 5)
    assert code == 2
    assert "holds another run; choose another --out" in err
    assert before == {f: f.read_bytes() for f in (tmp_path / "r").rglob("*") if f.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    code, _, err = run(*base[:-2], "mine", "--n", 4)
    assert code == 2
    assert "not an empty folder" in err


def test_a_place_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, err = run("sample", "--system", "gaussian", "--n", 1, "--steps", 1, "--out", "file/grid.png")
    assert code == 2
    assert "cannot write" in err
    (tmp_path / "folder.png").mkdir()
    code, _, err = run("sample", "--system", "gaussian", "--n", 1, "--steps", 1, "--out", "folder.png")
    assert code == 2
    assert "it is a folder" in err
    code, _, err = run(*ANALYZE, "--n", 2, "--steps", 1, "--out", "file/run")
    assert code == 2
    assert "cannot write" in err


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_the_same_command_goes_on(tmp_path):
    command = [*PROGRAM, "train-experts", "--preset", "tiny", "--only", "3", "--steps", "2000", "--workers", "1"]
    process = subprocess.Popen([*command, "--out", "t"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "t" / "state" / "expert-3.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in err
    assert state.exists()


@pytest.mark.slow
def test_a_recording_that_was_killed_goes_on(tmp_path):
    environment = {**os.environ, "MNIST_DDM_CACHE": str(tmp_path / "cache")}
    command = [*PROGRAM, "analyze", "--system", "gaussian", "--n", "300", "--steps", "20", "--workers", "1"]
    process = subprocess.Popen([*command, "--out", "killed"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "cache").rglob("*.safetensors"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    subprocess.run([*command, "--out", "killed"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    environment["MNIST_DDM_CACHE"] = str(tmp_path / "other")
    subprocess.run([*command, "--out", "whole"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    for name in ("expert-deviation", "disagreement", "disagreement-quartiles"):
        a, b = (tmp_path / folder / "results" / f"{name}.csv" for folder in ("killed", "whole"))
        assert a.read_text() == b.read_text()
