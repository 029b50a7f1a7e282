"""The explorer's content: what it shows is what was recorded."""

import base64
import io
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_ddm import cli
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.flow import predicted_clean
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.figures.palette import routing_label
from mnist_ddm.figures.samples import expert_names
from mnist_ddm.pages.courses import needed, trajectories
from mnist_ddm.pages.explorer import choose_frames, explained, explorer_page
from mnist_ddm.pages.sprites import make_sprite, tile_size
from mnist_ddm.stats.summaries import integrate_over_time
from mnist_ddm.systems.gaussian import GaussianPool, load

STEPS, N = 8, 2


def ways(pool, *routings, steps=STEPS, n=N):
    samplings = [Sampling(r, n, seed=7, steps=steps) for r in routings]
    return trajectories(pool, {s: sample(pool, s, needed(s)) for s in samplings}, samplings), samplings


def content(page):
    return json.loads(re.search(r'id="explorer">(.*?)</script>', page)[1])


def pixels(sprite):
    picture = Image.open(io.BytesIO(base64.b64decode(sprite["uri"].split(",")[1])))
    return np.asarray(picture)


@pytest.fixture(scope="module")
def pool():
    return load()


@pytest.fixture(scope="module")
def four(pool):
    return ways(pool, "top1", "top2", "full", "monolith")


def test_weights_are_what_each_strategy_makes_of_the_router(four):
    trajectories, _ = four
    for way in trajectories:
        p = way.probabilities
        assert set(way.weights) == {"top1", "top2", "full"}
        best = torch.nn.functional.one_hot(p.argmax(dim=2), p.shape[2]).to(p)
        torch.testing.assert_close(way.weights["top1"], best)
        torch.testing.assert_close(way.weights["full"], p, rtol=1e-4, atol=1e-6)
        assert ((way.weights["top2"] > 0).sum(dim=2) <= 2).all()
        torch.testing.assert_close(way.weights["top2"].sum(dim=2), torch.ones_like(p[..., 0]))


def test_all_strategies_start_from_the_same_noise(four):
    first, *others = four[0]
    for way in others:
        assert torch.equal(way.x[:, 0], first.x[:, 0])
        torch.testing.assert_close(way.probabilities[:, 0], first.probabilities[:, 0])
        assert not torch.equal(way.final, first.final)


def test_experts_angles_and_disagreement_are_those_of_the_shown_states(pool, four):
    for way in four[0]:
        condition = pool.condition(sample(pool, way.sampling).seeds)
        for i in (0, 5):
            t = torch.full((N,), float(way.times[i]))
            for k in (0, 3):
                torch.testing.assert_close(way.experts[:, i, k], pool.velocity(k, way.x[:, i], t, condition))
        if way.sampling.routing == "top1":
            alone = way.angles[way.weights["top1"] == 1]
            assert alone.abs().max() < 1e-2
        so_far = way.disagreement_so_far()
        assert so_far.shape == (N, STEPS + 1)
        assert (so_far[:, 0] == 0).all()
        assert (so_far.diff(dim=1) >= 0).all()
        whole = integrate_over_time(way.disagreement.double().numpy(), way.times.numpy())
        np.testing.assert_allclose(so_far[:, -1], whole)


def test_a_strategy_that_remembers_is_asked_along_the_other_trajectory(pool):
    (full, once), _ = ways(pool, "full", "once")
    assert (full.weights["once"].diff(dim=1) == 0).all()
    assert torch.equal(full.weights["once"][:, 0], once.weights["once"][:, 0])


def test_a_strategy_without_a_router_still_shows_what_the_router_says(pool):
    (label,), _ = ways(pool, "label")
    t = torch.full((N,), float(label.times[3]))
    torch.testing.assert_close(label.probabilities[:, 3], pool.router_logits(label.x[:, 3], t).softmax(dim=1))


def test_the_pictures_on_the_page_are_the_states_and_the_predictions(pool, four):
    courses, samplings = four
    frames = choose_frames(pool, samplings)
    data = content(explorer_page(pool, courses, frames, "mnist-ddm explore"))
    assert data["times"] == pytest.approx([1 - i / STEPS for i in range(STEPS + 1)])
    assert len(data["samples"]) == N
    for s, way in enumerate(courses):
        course = data["samples"][1][s]
        sheet = pixels(course["sprite"])
        side = course["sprite"]["width"]
        assert sheet.shape == (side * (STEPS + 1), side * (pool.n_experts + 2))

        def tile(row, column, sheet=sheet, side=side):
            return sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]

        def shown(state):
            return (pool.decode(state).clamp(0, 1) * 255).round().byte().numpy()[0]

        for f in (0, 4):
            x, t = way.x[1, f][None], way.times[f].float().reshape(1)
            np.testing.assert_array_equal(tile(f, 0), shown(x[0]))
            np.testing.assert_array_equal(tile(f, 1), shown(predicted_clean(x, way.velocity[1, f][None], t)[0]))
            np.testing.assert_array_equal(tile(f, 5), shown(predicted_clean(x, way.experts[1, f, 3][None], t)[0]))
        for column in (0, 1):
            np.testing.assert_array_equal(tile(STEPS, column), shown(way.final[1]))
        np.testing.assert_array_equal(pixels(course["result"]), shown(way.final[1]))
        np.testing.assert_allclose(course["probabilities"][4], way.probabilities[1, 4], rtol=1e-3, atol=1e-9)
        # At t = 0 nothing is evaluated: the page shows the last step's numbers, and says so.
        assert course["angles"][STEPS] == course["angles"][STEPS - 1]
    assert data["evaluatedAt"][-1] == pytest.approx(1 / STEPS)


class Captioned(ExpertPool):
    """Like a text-to-image system: states are latents, images are larger and coloured, samples have captions."""

    name = "captioned"
    n_experts = 8
    state_shape = (1, 8, 8)
    side = 96

    def __init__(self, latents):
        self.latents = latents

    def velocity(self, expert, x, t, condition):
        return self.latents.velocity(expert, x, t, condition)

    def router_logits(self, x, t):
        return self.latents.router_logits(x, t)

    def condition(self, seeds):
        captions = tuple(f"</script><b>picture {int(s) % 10}</b>" for s in seeds)
        return Condition(super().condition(seeds).cluster, captions)

    def decode(self, x):
        return torch.nn.functional.interpolate(x, (self.side, 2 * self.side)).expand(-1, 3, -1, -1)


@pytest.fixture
def captioned(pool):
    return Captioned(pool)


def test_latents_captions_and_large_coloured_images(captioned):
    courses, samplings = ways(captioned, "top2", "full")
    page = explorer_page(captioned, courses, choose_frames(captioned, samplings), "mnist-ddm explore")
    data = content(page)
    assert data["captions"][0].startswith("</script><b>picture")
    assert "<b>picture" not in page
    assert data["examples"] is None
    sprite = data["samples"][0][0]["sprite"]
    assert (sprite["height"], sprite["width"]) == (40, 80)
    sheet = pixels(sprite)
    assert sheet.shape[2] == 3
    assert sprite["uri"].startswith("data:image/jpeg")
    x = captioned.decode(courses[0].x[0, :1])
    small = torch.nn.functional.interpolate(x, (40, 80), mode="bilinear", antialias=True)[0].clamp(0, 1) * 255
    assert np.abs(sheet[:40, :80].astype(float) - small.permute(1, 2, 0).numpy()).mean() < 8
    assert pixels(data["samples"][0][0]["result"]).shape == (96, 192, 3)


def test_a_large_system_gets_fewer_frames_and_too_much_is_refused(captioned):
    captioned.side = 512
    some = choose_frames(captioned, [Sampling(r, 4, steps=200) for r in ("top1", "top2")])
    assert 11 <= len(some.visits) < 51
    assert (some.visits[0], some.visits[-1]) == (0, 200)
    with pytest.raises(InputError, match="smaller --n"):
        choose_frames(captioned, [Sampling("top1", 40, steps=200)])
    assert choose_frames(captioned, [Sampling("top1", 1, steps=3)]).visits == (0, 1, 2, 3)
    assert len(choose_frames(captioned, [Sampling("top1", 1, steps=200)]).visits) == 51


def test_a_system_that_cannot_draw_its_states_is_refused_in_one_line():
    points = GaussianPool(torch.eye(3), torch.ones(3), torch.ones(3))
    with pytest.raises(InputError, match="no image and no point") as refused:
        choose_frames(points, [Sampling("full", 1)])
    assert "\n" not in str(refused.value)


def test_sprites_keep_small_tiles_bit_for_bit():
    images = torch.rand(5, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0] = torch.tensor([-1.0, 2.0, float("nan"), 0.0, 1.0, 0.5])
    sprite = make_sprite(images, columns=3)
    sheet = pixels(vars(sprite))
    assert sheet.shape == (8, 18)
    assert sheet[0, :5].tolist() == [0, 255, 0, 0, 255]
    np.testing.assert_array_equal(sheet[4:8, 6:12], (images[4, 0] * 255).round().byte())
    assert (sheet[4:8, 12:] == 0).all()
    assert tile_size(28, 28) == (28, 28)
    assert tile_size(256, 256) == (80, 80)
    assert tile_size(40, 40) == (40, 40)


def test_a_page_speaks_of_points_or_of_images_and_of_routings():
    def words(means):
        pool = GaussianPool(means, torch.full((3,), 0.3), torch.ones(3))
        shown, samplings = ways(pool, "top2", "full", n=1)
        page = explorer_page(pool, shown, choose_frames(pool, samplings), "")
        return re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.S)

    of_points = words(torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0]]))
    assert re.search(r"\bThe point\b", of_points)
    assert not re.search(r"(?i)\b(picture|image|strateg)", of_points)
    assert "is not asked" in of_points
    of_images = words(torch.eye(3).reshape(3, 1, 3, 1).expand(3, 1, 3, 3))
    assert re.search(r"\bThe image\b", of_images)
    assert not re.search(r"(?i)\b(picture|point|strateg)", of_images.replace("points away", ""))


def test_an_expert_has_the_name_of_the_class_that_it_learnt():
    def names(labels, expert_of_label):
        judge = None if labels is None else SimpleNamespace(labels=labels, expert_of_label=expert_of_label)
        return expert_names(SimpleNamespace(n_experts=3, measures=SimpleNamespace(classifier=judge)))

    assert names(("disc", "square", "bar"), (0, 2, 1)) == ["disc", "bar", "square"]
    assert names(("0", "1", "2"), (0, 1, 2)) == names(("gaussian 0", "gaussian 1", "gaussian 2"), (0, 1, 2)) == [""] * 3
    assert names(("a", "b", "c"), None) == names(None, None) == [""] * 3


def test_strategies_are_explained_by_their_own_words():
    assert explained("top2").startswith("the two most probable experts")
    assert explained("top4") == "the 4 most probable experts, renormalised"
    assert "drawn at the start" in explained("once")
    for routing in ("uniform", "label", "commit=0.9", "full@T=2", "top-p=0.9", "misaligned2", "each", "top1+clip"):
        assert 10 < len(explained(routing)) < 120
        assert ":" not in explained(routing)
    assert routing_label("top2") == "Top-2"
    assert routing_label("misaligned2@T=4") == "Misaligned-2@T=4"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", "explore", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return call


def test_the_command_writes_the_same_page_twice(run, tmp_path):
    arguments = (
        "--system",
        "gaussian",
        "--seed",
        7,
        "--n",
        1,
        "--steps",
        5,
        "--routing",
        "top1, full,top1",
        "--workers",
        1,
    )
    code, out, _ = run(*arguments)
    assert code == 0
    assert "explorer.html: 1 sample" in out
    first = (tmp_path / "explorer.html").read_text()
    assert "mnist-ddm explore --system gaussian --seed 7" in first
    assert [s["name"] for s in content(first)["strategies"]] == ["top1", "full"]
    assert run(*arguments)[0] == 0
    second = (tmp_path / "explorer.html").read_text()
    assert content(second) == content(first)


def test_the_command_works_on_digits(run, tmp_path):
    assert run("--n", 1, "--steps", 2, "--routing", "top2", "--out", "digits.html")[0] == 0
    data = content((tmp_path / "digits.html").read_text())
    assert len(data["experts"]) == 10
    assert pixels(data["samples"][0][0]["sprite"]).shape == (3 * 28, 12 * 28)
    assert pixels(data["examples"]).shape == (28, 280)


BAD = {
    "name": (("--out", "page.png"), "must be a .html file"),
    "routing": (("--routing", "best"), "unknown routing 'best'"),
    "k > K": (("--routing", "top9"), "choose k <= 8"),
    "no routing": (("--routing", " , "), "names no routing"),
    "n": (("--n", 0), "at least 1"),
    "steps": (("--steps", 0), "at least 1"),
    "too many": (("--n", 100_000), "smaller --n"),
    "place": (("--out", "file/page.html"), "cannot write"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_bad_input_gets_one_clear_line(run, tmp_path, what):
    (tmp_path / "file").write_text("x")
    arguments, expected = BAD[what]
    code, _, err = run("--system", "gaussian", *arguments)
    assert code == 2
    assert expected in err
    assert err.count("\n") == 1
    assert [f.name for f in tmp_path.iterdir()] == ["file"]
