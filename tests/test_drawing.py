"""A system draws itself: images as grids, points of the plane as scatter and ways, else a line."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mnist_ddm.core.drawing import Pictures, Points, as_drawing
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.figures.points import extent, point_tiles
from mnist_ddm.figures.samples import Canvas, save_samples, save_strips
from mnist_ddm.pages.courses import needed, trajectories
from mnist_ddm.pages.explorer import choose_frames, explorer_page
from mnist_ddm.study.samples import save_sample_grids

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def blobs(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "smallest")
    import smallest

    return smallest.Blobs()


def test_the_shape_says_what_is_drawn_and_a_system_may_say_otherwise(gaussian, blobs):
    assert isinstance(as_drawing(torch.zeros(2, 3, 8, 8), "s"), Pictures)
    assert isinstance(as_drawing(torch.zeros(2, 1, 8, 8), "s"), Pictures)
    assert isinstance(blobs.draw(torch.zeros(5, 2)), Points)
    for shape in ((2, 5), (2, 3), (2, 2, 8, 8), (2, 4, 4)):
        with pytest.raises(InputError, match=r"'s' have the shape .* no image and no point"):
            as_drawing(torch.zeros(shape), "s")


def test_a_tile_has_its_dot_where_the_point_is():
    tiles = point_tiles(torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 1.0], [9.0, -9.0]]), 2.0, None, 41)
    assert tiles.shape == (4, 3, 41, 41)
    dark = tiles.sum(dim=1)
    for tile, (column, row) in zip(dark, [(20, 20), (30, 10), (10, 10), (40, 40)], strict=True):
        assert tile[row, column] == tile.min()
    assert extent([torch.tensor([[3.0, -4.0]])]) == pytest.approx(4.32)
    assert extent([torch.full((1, 2), torch.nan)]) > 0
    real = point_tiles(torch.tensor([[0.0, 0.0]]), 2.0, torch.tensor([[1.0, -1.0]]), 41)
    assert real[0, :, 30, 30].max() < 1


def test_points_are_written_as_scatter_and_as_ways(blobs, tmp_path):
    recording = sample(blobs, Sampling("top1", n=6, steps=4), ("x", "velocity"))
    save_samples(blobs, recording.final, tmp_path / "a.png", {"Command": "mine"})
    save_strips(blobs, recording, tmp_path / "b.png", {})
    scatter, ways = Image.open(tmp_path / "a.png"), Image.open(tmp_path / "b.png")
    assert scatter.text["Command"] == "mine"
    for picture in (scatter, ways):
        assert min(picture.size) >= 600
        accent = sum(n for n, c in picture.convert("RGB").getcolors(2**24) if c[2] > c[0] + 60)
        assert accent > 100  # something blue is drawn
    (grid,) = save_sample_grids(blobs, {recording.visits: recording}, tmp_path / "samples", {})
    assert grid.name == "top1.png"


def test_the_explorer_shows_points_and_a_frame_holds_them_all(blobs):
    samplings = [Sampling(r, n=2, steps=4) for r in ("top1", "full")]
    courses = trajectories(blobs, {s: sample(blobs, s, needed(s)) for s in samplings}, samplings)
    page = explorer_page(blobs, courses, choose_frames(blobs, samplings), "mnist-ddm explore")
    assert "Routing explorer: blobs" in page
    canvas = Canvas(blobs, [courses[0].x.flatten(0, 1)])
    far = float(courses[0].x.abs().max())
    assert canvas.side >= far
    data = json.loads(re.search(r'id="explorer">(.*?)</script>', page)[1])
    assert data["plane"]["axes"] == ["x1", "x2"]
    assert data["plane"]["side"] >= far
    places = torch.tensor(data["samples"][1][0]["places"])  # frame, state or prediction, coordinate
    torch.testing.assert_close(places[:-1, 0], courses[0].x[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(places[-1], courses[0].final[1].expand(2, 2), rtol=1e-3, atol=1e-4)
    assert canvas(courses[0].final).shape[1:] == (3, 128, 128)


def test_what_cannot_be_drawn_is_one_line_before_anything_is_sampled(monkeypatch, capsys, tmp_path):
    from mnist_ddm import cli
    from mnist_ddm.systems import registry

    monkeypatch.syspath_prepend(EXAMPLES / "smallest")
    import smallest

    class Solid(smallest.Blobs):
        state_shape = (3,)

    monkeypatch.setattr(registry, "load_system", lambda *a, **k: Solid())
    for command in (["sample", "--out", str(tmp_path / "a.png")], ["explore", "--out", str(tmp_path / "a.html")]):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", *command, "--system", "blobs", "--workers", "1"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr().err
        assert end.value.code == 2
        assert "'blobs' have the shape (3,), which is no image and no point of the plane" in told
        assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
