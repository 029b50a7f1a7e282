"""The page to play with in a real browser: its formulas against Python's, its presets, its controls."""

import time

import pytest
import torch
from selenium.webdriver.common.keys import Keys

from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.routing import Samples, parse_routing
from mnist_ddm.core.solvers import SOLVERS, StepGrid
from mnist_ddm.metrics.frechet import frechet_distance
from mnist_ddm.pages.play import directions, play_page
from mnist_ddm.systems.gaussian import GaussianPool

MEANS = [[-1.1, 0.2], [0.3, 1.8], [1.7, -0.4], [-0.2, -0.9]]
SCALES = [0.29, 0.42, 0.35, 0.61]
SHARES = [1.9, 1.3, 2.1, 0.4]
ROUGHNESS = 5.0


def pool(temperature=1.0, error=0.0):
    as_double = (torch.tensor(values, dtype=torch.float64) for values in (MEANS, SCALES, SHARES))
    return GaussianPool(*as_double, expert_error=error, router_temperature=temperature)


def system(temperature=1.0, error=0.0, rough=0.0):
    clusters = [{"x": m[0], "y": m[1], "s": s, "p": p} for m, s, p in zip(MEANS, SCALES, SHARES, strict=True)]
    return {"clusters": clusters, "temperature": temperature, "error": error, "rough": rough}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "play.html"
    path.write_text(play_page())
    return path


@pytest.fixture
def page(open_page, file):
    return open_page(file)


STATES = torch.tensor([[0.1, -0.4], [-2.0, 1.5], [1.6, 0.3], [0.0, 2.9]], dtype=torch.float64)
TIMES = (0.999, 0.7, 0.31, 0.02)


@pytest.mark.parametrize("error", [0.0, 1.3])
def test_velocities_are_those_of_the_closed_form(page, error):
    own = pool(error=error)
    for t in TIMES:
        times = torch.full((len(STATES),), t, dtype=torch.float64)
        wanted = torch.stack([own.velocity(k, STATES, times, None) for k in range(4)], dim=1)
        came = page.run(
            "const [s, d, xs, t] = arguments; return xs.map(([x, y]) => Model.velocities(s, d, x, y, t))",
            system(error=error),
            directions(),
            STATES.tolist(),
            t,
        )
        torch.testing.assert_close(torch.tensor(came, dtype=torch.float64), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("temperature", "rough"), [(1.0, 0.0), (16.0, 0.0), (0.5, 1.7)])
def test_the_router_says_what_the_posterior_over_the_temperature_says(page, temperature, rough):
    own = pool(temperature)
    wave = torch.tensor(directions()[:4], dtype=torch.float64)
    for t in TIMES:
        times = torch.full((len(STATES),), t, dtype=torch.float64)
        waves = torch.sin(ROUGHNESS * STATES @ wave.T + torch.arange(4))
        wanted = (own.router_logits(STATES, times) + rough * waves).softmax(dim=1)
        came = page.run(
            "const [s, d, xs, t] = arguments;"
            "return xs.map(([x, y]) => Model.softmax(Model.routerLogits(s, d, x, y, t)))",
            system(temperature, rough=rough),
            directions(),
            STATES.tolist(),
            t,
        )
        torch.testing.assert_close(torch.tensor(came, dtype=torch.float64), wanted, rtol=1e-9, atol=1e-12)


def _ends(routing, noise, temperature, error, solver, steps):
    field = RoutedField(pool(temperature, error), parse_routing(routing))
    grid, x = StepGrid(steps), noise
    samples = Samples(torch.arange(len(noise)), field.pool.condition(torch.arange(len(noise))))

    def velocity(state, t, interval):
        return field.evaluate(state, torch.full((len(state),), t, dtype=torch.float64), samples, interval).velocity

    for i in range(grid.size):
        t, after = grid.time(i), grid.time(i + 1)
        first = velocity(x, t, i)
        x = SOLVERS[solver].step(lambda s, u, i=i: velocity(s, u, i), x, t, after, first)
    return x


@pytest.mark.parametrize("solver", ["heun", "euler"])
@pytest.mark.parametrize("routing", ["top1", "top2", "full"])
def test_trajectories_end_where_the_samplers_do(page, routing, solver):
    came = page.run(
        "const [s, d, xs, name, solver] = arguments;"
        "return xs.map(x => Model.trajectory(s, d, name, x, {}, 17, solver).at(-1))",
        system(3.0, 0.4),
        directions(),
        STATES.tolist(),
        routing,
        solver,
    )
    wanted = _ends(routing, STATES, 3.0, 0.4, solver, 17)
    torch.testing.assert_close(torch.tensor(came, dtype=torch.float64), wanted, rtol=1e-6, atol=1e-6)


def test_one_expert_alone_follows_its_exact_flow(page):
    script = (
        "const [s, d, xs] = arguments;"
        "return xs.map(x => Model.trajectory(s, d, 'once', x, { expert: 2 }, 4000, 'heun').at(-1))"
    )
    came = page.run(script, system(), directions(), STATES.tolist())
    wanted = pool().exact_flow(2, STATES, torch.zeros(len(STATES), dtype=torch.float64))
    torch.testing.assert_close(torch.tensor(came, dtype=torch.float64), wanted, rtol=1e-6, atol=1e-6)


def test_luck_kept_by_a_sample_draws_from_the_router(page):
    """At t = 1 the favourite after Gumbel noise, and the expert drawn once, are draws of the router's probabilities."""
    counts = page.run(
        "const [s, d] = arguments, luck = Model.luckOf(5, 20000, 6), z = Model.routerLogits(s, d, 0.3, -0.2, 1);"
        "return ['gumbel', 'once'].map(name => { const n = [0, 0, 0, 0];"
        "for (const l of luck) n[Model.STRATEGIES[name](z, { ...l }).indexOf(1)]++; return n; })",
        system(),
        directions(),
    )
    wanted = torch.tensor(SHARES, dtype=torch.float64) / sum(SHARES)  # at t = 1 the state says nothing
    for own in counts:
        share = torch.tensor(own, dtype=torch.float64) / 20000
        assert ((share - wanted).abs() < 5 * (wanted * (1 - wanted) / 20000).sqrt()).all()


def test_distances_are_what_they_are_called(page):
    generator = torch.Generator().manual_seed(3)
    a, b = (
        torch.randn(n, 2, generator=generator, dtype=torch.float64) * s + m
        for n, s, m in ((90, 0.7, 0.2), (70, 1.3, -0.4))
    )
    frechet, energy = page.run(
        "const [a, b] = arguments; return [Model.frechet(Model.moments(a), Model.moments(b)), Model.energy(a, b)]",
        a.tolist(),
        b.tolist(),
    )
    assert frechet == pytest.approx(frechet_distance(a, b), rel=1e-6)
    exact = 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()
    assert energy == pytest.approx(exact.item(), rel=1e-6)


_RESULTS = "return Object.fromEntries(Object.entries(results).map(([name, r]) => [name, [r.energy, r.off]]))"


def test_presets_show_what_they_say(page):
    found = {}
    for preset in ("calibrated", "paper", "starvation", "cure"):
        page.run(f"state = structuredClone(PRESETS.{preset}); refresh(N)")
        found[preset] = page.run(_RESULTS)
    energy = {preset: {name: both[0] for name, both in of.items()} for preset, of in found.items()}
    assert energy["calibrated"]["full"] < energy["calibrated"]["top2"] < energy["calibrated"]["top1"]
    assert energy["calibrated"]["full"] == pytest.approx(energy["calibrated"]["exact"], abs=1e-3)
    assert energy["paper"]["top2"] < energy["paper"]["top1"] < energy["paper"]["full"]
    assert energy["paper"]["once"] < energy["paper"]["top2"]
    assert found["starvation"]["top1"][1] > 0.3
    assert found["cure"]["gumbel"][1] < 0.06


_WHERE = (
    "const b = plane.getBoundingClientRect(), c = state.clusters[arguments[0]], unit = b.width / (2 * HALF);"
    "return [b.left + (c.x + HALF) * unit, b.top + (HALF - c.y) * unit, unit];"
)
"""The middle of a cluster on the screen, and the unit of the plane there."""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_quiet_and_fits(open_page, file, width, dark):
    open_page(file, width=width, dark=dark, touch=width < 500).check()


def test_an_address_holds_the_state(page, open_page, file):
    page.run("state = structuredClone(PRESETS.paper); move(1, 0.7, -1.3); state.rough = 0.4; refresh(N)")
    address = page.run("return location.hash")
    page.run("location.hash = '#preset=calibrated'")
    page.run("state = fromAddress(arguments[0]); refresh(N)", address)
    assert page.run("return [state.clusters[1].x, state.clusters[1].y, state.rough, state.temperature]") == [
        0.7,
        -1.3,
        0.4,
        16,
    ]
    assert page.run("return location.hash") == address
    page.run("state = fromAddress('#clusters=a,b;1,2&temperature=x&steps=1e9&solver=rk'); refresh(N)")
    assert page.run("return [state.clusters.length, state.temperature, state.steps, state.solver]") == [
        4,
        1,
        200,
        "heun",
    ]


def test_a_link_keeps_what_is_said_of_an_example_until_something_is_turned(page):
    page.run("document.querySelector('[data-preset=starvation]').click(); refresh(N)")
    address, words = page.run("return [address(), PRESETS.starvation.words]")
    assert page.run("return fromAddress(arguments[0]).words", address) == words
    assert page.run("return fromAddress(arguments[0]).words", address + "&seed=5&shown=full&t=0.2") == words
    for turned in ("&temperature=100", "&rough=1", "&solver=euler"):
        assert page.run("return fromAddress(arguments[0]).words", address.replace("#", "#x=1&") + turned) in ("", words)
        assert page.run("return fromAddress(arguments[0]).words", "#" + turned[1:]) == ""
    page.run("move(0, 0, 0)")
    assert "preset" not in page.run("return address()")


@pytest.mark.parametrize("name", ["toString", "__proto__", "constructor", ""])
def test_an_example_that_is_none_is_the_first(page, name):
    assert page.run("return fromAddress('#preset=' + arguments[0]).clusters.length", name) == 4


def test_all_arrows_of_one_sample_are_of_the_expert_that_it_drew(page):
    asked = page.run(
        """const field = Model.field, seen = new Set();
        Model.field = (s, d, strategy, luck, x, y, t) => { const v = field(s, d, strategy, luck, x, y, t);
          if (strategy === 'once') seen.add(luck.expert); return v; };
        state.shown = 'once'; drawPlane(); Model.field = field;
        return [[...seen], document.getElementById('whose').textContent]"""
    )
    assert len(asked[0]) == 1
    assert "first sample" in asked[1]


def test_distances_stay_in_sight_beside_the_knobs(open_page, file):
    for width, height in ((1280, 800), (390, 844)):
        page = open_page(file, width=width, height=height, touch=width < 500)
        page.run("document.querySelector('[data-knob=temperature]').scrollIntoView({block: 'center'})")
        top, bottom = page.run(
            "const r = document.querySelector('.told').getBoundingClientRect(); return [r.top, r.bottom]"
        )
        assert 0 <= top < bottom <= height
        assert page.run("return document.querySelector('[data-told=full] b').textContent") == page.run(
            "return results.full.energy.toFixed(3)"
        )


def test_a_swipe_that_takes_no_cluster_scrolls_the_page(open_page, file):
    page = open_page(file, width=390, height=844, touch=True)
    page.run("plane.scrollIntoView()")
    before = page.run("const r = plane.getBoundingClientRect(); return [scrollY, r.left + 12, r.top + 250]")
    _, x, y = before
    page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for moved in range(20, 220, 20):
        page.command("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y - moved}])
    page.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    began = time.monotonic()
    while page.run("return scrollY") <= before[0] + 100:
        assert time.monotonic() - began < 5
        time.sleep(0.05)


def test_clusters_follow_the_mouse_and_the_keys(page):
    before = page.run("return structuredClone(state.clusters)")
    where = page.run(_WHERE, 0)
    for kind, dx, dy in (("mousePressed", 0, 0), ("mouseMoved", 1, 0.5), ("mouseReleased", 1, 0.5)):
        x, y = where[0] + dx * where[2], where[1] - dy * where[2]
        page.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    after = page.run("return state.clusters")
    assert after[0]["x"] == pytest.approx(before[0]["x"] + 1, abs=0.02)
    assert after[0]["y"] == pytest.approx(before[0]["y"] + 0.5, abs=0.02)
    page.run("plane.focus()")
    page.press("2", Keys.ARROW_LEFT, "+", ">")
    moved = page.run("return state.clusters[1]")
    assert moved["x"] == pytest.approx(before[1]["x"] - 0.1)
    assert moved["s"] == pytest.approx(before[1]["s"] * 1.1)
    assert moved["p"] == pytest.approx(before[1]["p"] * 1.2)


def test_clusters_follow_a_finger(open_page, file):
    page = open_page(file, width=390, touch=True)
    page.run("plane.scrollIntoView()")
    x, y, unit = page.run(_WHERE, 2)
    before = page.run("return state.clusters[2].x")
    page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.command("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x - unit, "y": y}])
    page.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert page.run("return state.clusters[2].x") == pytest.approx(before - 1, abs=0.05)


def test_a_preset_asks_before_its_ends_show(page):
    """Covered until an answer; the truth is that of the numbers on the page, and moving a cluster takes it back."""
    covered = "return getComputedStyle(document.querySelector('.ends')).visibility"
    for preset, truth in (("calibrated", "Full"), ("paper", "Top-2"), ("starvation", "Top-1"), ("cure", "Gumbel")):
        page.run("document.querySelector(`[data-preset=${arguments[0]}]`).click(); refresh(N)", preset)
        assert page.run(covered) == "hidden"
        assert page.run("return words.textContent") == ""
        page.run("document.querySelector('#predict button').click()")  # the first choice is Top-1
        assert page.run(covered) == "visible"
        told = page.run("return document.getElementById('predict').textContent")
        assert told.startswith(
            'You said "Top-1", and so it is.' if truth == "Top-1" else f'You said "Top-1". It is: {truth}'
        )
        assert page.run("return words.textContent") == page.run("return PRESETS[arguments[0]].words", preset)
    page.run("document.querySelector('[data-preset=paper]').click(); refresh(N); move(0, 0, 0)")
    assert page.run(covered) == "visible"
    assert page.run("return document.getElementById('predict').hidden")
