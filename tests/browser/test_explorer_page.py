"""The explorer in a real browser: by mouse, by keys and by touch, in light and dark, wide and narrow."""

import re

import pytest
import torch

from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.pages.courses import needed, trajectories
from mnist_ddm.pages.explorer import choose_frames, explorer_page
from mnist_ddm.systems.gaussian import GaussianPool, load
from mnist_ddm.systems.gaussian import spots as gaussian_spots
from mnist_ddm.systems.registry import load_system

STEPS = 40
ROUTINGS = ("top1", "top2", "full", "monolith")


TOO_NARROW = """
return [...document.querySelectorAll(".experts .row-weight, .experts .row-angle, .choice label > span, .player > *")]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className + e.textContent)
"""
"""Elements whose content lies over their neighbours'."""


def write(pool, path, routings, n, steps):
    samplings = [Sampling(r, n, seed=7, steps=steps) for r in routings]
    courses = trajectories(pool, {s: sample(pool, s, needed(s)) for s in samplings}, samplings)
    page = explorer_page(pool, courses, choose_frames(pool, samplings), "mnist-ddm explore")
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def spots(tmp_path_factory):
    return write(load(), tmp_path_factory.mktemp("pages") / "spots.html", ROUTINGS, n=2, steps=STEPS)


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """Sixteen experts and six strategies."""
    pool = GaussianPool(gaussian_spots(16), torch.full((16,), 0.1), torch.ones(16))
    path = tmp_path_factory.mktemp("pages") / "many.html"
    return write(pool, path, ("top1", "top2", "top4", "full", "uniform", "each"), n=1, steps=3)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "digits.html"
    return write(load_system("mnist"), path, ("top2", "full"), n=1, steps=4)


@pytest.fixture(scope="session")
def points(tmp_path_factory):
    means = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0]])
    pool = GaussianPool(means, torch.full((3,), 0.3), torch.ones(3))
    return write(pool, tmp_path_factory.mktemp("pages") / "points.html", ("top1", "full"), n=1, steps=5)


def wait(page, sample=0, strategy=0, frame=0):
    """Until the pictures of a state are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    expected = f"{sample}/{strategy}/{frame}"
    WebDriverWait(page.driver, 10, 0.02).until(
        lambda _: page.run("return document.body.dataset.shown") == expected,
        f"the page should show {expected}, not {page.run('return document.body.dataset.shown')}",
    )


def frame(page):
    return int(page.run("return document.getElementById('time').value"))


def words(page):
    return page.run("return document.getElementById('words').textContent")


def drawing(page, selector):
    """The pixels of a canvas, as a data URI."""
    return page.run("return document.querySelector(arguments[0]).toDataURL()", selector)


def click(page, selector):
    from selenium.webdriver.common.by import By

    page.driver.find_element(By.CSS_SELECTOR, selector).click()


def centre(page, selector, across=0.5):
    """A point in an element that is scrolled into sight, in window coordinates."""
    return page.run(
        """const e = document.querySelector(arguments[0]); e.scrollIntoView({block: "center"});
        const b = e.getBoundingClientRect(); return [b.left + b.width * arguments[1], b.top + b.height / 2];""",
        selector,
        across,
    )


def tap(page, selector, across=0.5):
    x, y = centre(page, selector, across)
    page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


@pytest.mark.parametrize("width", [390, 1280])
def test_many_experts_and_strategies_have_room(open_page, many, width):
    page = open_page(many, width=width)
    wait(page)
    page.check()
    assert page.run(TOO_NARROW) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1160, 1280, 1920])
@pytest.mark.parametrize("which", ["spots", "digits"])
def test_nothing_is_wrong_with_the_page_at_any_time(open_page, request, which, width, dark):
    from selenium.webdriver.common.keys import Keys

    page = open_page(request.getfixturevalue(which), width=width, dark=dark)
    wait(page)
    page.check()
    page.press(Keys.END)
    wait(page, frame=STEPS if which == "spots" else 4)
    page.check()
    assert page.run(TOO_NARROW) == []
    background = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 200) == dark


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_point_is_drawn_with_ticks_and_its_way_so_far(open_page, points, width, dark):
    from selenium.webdriver.common.keys import Keys

    page = open_page(points, width=width, dark=dark)
    wait(page)
    for _ in range(3):
        page.press(Keys.ARROW_RIGHT)
    wait(page, frame=3)
    page.check()
    for name, said, column in (("x", "The state", 0), ("clean", "The prediction", 1)):
        ticks = page.run(f"return [...document.querySelectorAll('#{name} .axes text')].map(e => e.textContent)")
        assert {"0", "1", "-1", "x1", "x2"} <= set(ticks)
        assert page.run(f"return document.querySelector('#{name} .way').getAttribute('d')").count("L") == 3
        place = page.run(f"return data.samples[0][0].places[3][{column}].map(v => v.toFixed(2)).join(', ')")
        label = page.run(f"return document.getElementById('{name}').getAttribute('aria-label')")
        assert label == f"{said}, at ({place})"


def test_every_control_and_picture_says_what_it_is(open_page, spots):
    page = open_page(spots)
    wait(page)
    click(page, "#predict button:last-of-type")  # what is covered says nothing
    nodes = page.nodes()
    names = {name for _, name in nodes}
    assert {"Play", "One step back", "One step forward", "Time t", "Top-1", "Monolith", "sample 0"} <= names
    pictures = [name for role, name in nodes if role in ("image", "img", "canvas")]
    assert len(pictures) == len(set(pictures)) >= 2 + 2 * 8 + 3 + 2 * 4
    assert [role for role, name in nodes if name.startswith("Expert 3: router")] == ["listitem"]


def test_keys_move_in_time_and_between_strategies(open_page, spots):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = open_page(spots)
    wait(page)
    assert "t = 1.00" in words(page)
    before = drawing(page, "#x")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    wait(page, frame=2)
    assert drawing(page, "#x") != before
    page.press(Keys.ARROW_LEFT)
    wait(page, frame=1)
    page.press(Keys.END, Keys.ARROW_RIGHT)
    wait(page, frame=STEPS)
    assert "done" in words(page)
    page.press(Keys.HOME, Keys.ARROW_LEFT)
    wait(page, frame=0)
    assert drawing(page, "#x") == before
    page.press(Keys.ARROW_RIGHT)
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    wait(page, strategy=1, frame=1)
    assert "Top-2 mixes experts" in words(page)
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT * 2).key_up(Keys.SHIFT).perform()
    wait(page, strategy=3, frame=1)
    assert "Monolith needs neither" in words(page)


def test_every_control_is_reached_and_used_by_keys_alone(open_page, spots):
    from selenium.webdriver.common.keys import Keys

    page = open_page(spots)
    wait(page)
    stops = []
    for _ in range(8):
        page.press(Keys.TAB)
        stops.append(page.run("const e = document.activeElement; return e.id || e.name || e.className"))
    assert stops[:7] == ["skip", "strategy", "sample", "back", "play", "forward", "time"]
    page.run("document.querySelector('input[name=strategy]').focus()")
    page.press(Keys.ARROW_RIGHT)
    wait(page, strategy=1)
    page.run("document.querySelector('input[name=sample]').focus()")
    page.press(Keys.ARROW_RIGHT)
    wait(page, sample=1, strategy=1)
    page.run("document.getElementById('forward').focus()")
    page.press(Keys.ENTER)
    wait(page, 1, 1, 1)
    page.press(" ")
    wait(page, 1, 1, 2)
    page.run("document.getElementById('time').focus()")
    page.press(Keys.ARROW_RIGHT)
    wait(page, 1, 1, 3)
    page.press(Keys.PAGE_UP)
    assert frame(page) > 3


@pytest.mark.parametrize("by", ["space", "button"])
def test_play_goes_to_the_end_and_can_be_paused(open_page, spots, by):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    # At the slow pace there is time to press pause, however slow the machine is.
    page = open_page(spots, reduced_motion=True)
    wait(page)

    def toggle():
        page.press(" ") if by == "space" else click(page, "#play")

    def label():
        return page.run("return document.getElementById('play').getAttribute('aria-label')")

    assert label() == "Play"
    toggle()
    assert label() == "Pause"
    WebDriverWait(page.driver, 10, 0.05).until(lambda _: frame(page) >= 1)
    toggle()
    assert label() == "Play"
    stopped = frame(page)
    page.driver.execute_async_script("setTimeout(arguments[0], 1000)")
    assert frame(page) == stopped < STEPS
    page.press(Keys.END, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    toggle()
    wait(page, frame=STEPS)
    WebDriverWait(page.driver, 5, 0.05).until(lambda _: label() == "Play")
    toggle()  # from the end it starts again
    assert frame(page) < STEPS
    assert label() == "Pause"


def pace(page):
    """Milliseconds between two frames while the film plays, over about two seconds."""
    return page.driver.execute_async_script(
        """const done = arguments[0], slider = document.getElementById("time"), begin = performance.now();
        const first = Number(slider.value);
        setTimeout(() => done((performance.now() - begin) / (Number(slider.value) - first)), 2000);"""
    )


def test_the_mouse_moves_slider_charts_and_choices(open_page, spots):
    from selenium.webdriver.common.action_chains import ActionChains

    page = open_page(spots)
    wait(page)
    x, y = centre(page, "#time", 0.5)
    chain = ActionChains(page.driver)
    chain.w3c_actions.pointer_action.move_to_location(int(x), int(y))
    chain.click().perform()
    wait(page, frame=STEPS // 2)
    click(page, "#strategies label:nth-of-type(3)")
    wait(page, strategy=2, frame=STEPS // 2)
    click(page, "#samples label:nth-of-type(2)")
    wait(page, 1, 2, STEPS // 2)
    click(page, "#predict button:last-of-type")  # just show it
    for chart in ("router", "angle", "disagreement"):
        click(page, "#back")
        x, y = centre(page, f"#{chart}-chart svg", 42 / 380 + (1 - 64 / 380) * 0.75)
        chain = ActionChains(page.driver)
        chain.w3c_actions.pointer_action.move_to_location(int(x), int(y))
        chain.click().perform()
        wait(page, 1, 2, STEPS * 3 // 4)


def test_fingers_move_slider_charts_and_buttons(open_page, spots):
    page = open_page(spots, width=390, height=844, touch=True)
    wait(page)
    tap(page, "#forward")
    wait(page, frame=1)
    tap(page, "#time", 0.5)
    wait(page, frame=STEPS // 2)
    tap(page, "#strategies label:nth-of-type(2) span")
    wait(page, strategy=1, frame=STEPS // 2)
    tap(page, "#predict button:last-of-type")
    tap(page, "#router-chart svg", 42 / 380 + (1 - 64 / 380) * 0.25)
    wait(page, strategy=1, frame=STEPS // 4)
    small = page.run(
        """return [...document.querySelectorAll("button, input[type=range], .choice label > span")]
        .map(e => [e.id || e.textContent.trim(), e.getBoundingClientRect()])
        .filter(([_, b]) => b.width < 32 || b.height < 32).map(([name]) => name)"""
    )
    assert small == []


def test_less_motion_means_a_slow_pace_and_no_transitions(open_page, spots):
    page = open_page(spots, reduced_motion=True)
    wait(page)
    page.press(" ")
    assert pace(page) > 400
    moving = page.run(
        """return [...document.querySelectorAll("*")].map(e => getComputedStyle(e))
        .filter(s => s.animationName !== "none" || !/^0s(, 0s)*$/.test(s.transitionDuration)).length"""
    )
    assert moving == 0
    page.check()


def test_what_is_marked_as_used_is_what_the_numbers_say(open_page, spots):
    from selenium.webdriver.common.keys import Keys

    page = open_page(spots)
    wait(page)
    page.press(Keys.ARROW_RIGHT * 4)
    for strategy, count in enumerate((1, 2)):
        click(page, f"#strategies label:nth-of-type({strategy + 1})")
        wait(page, strategy=strategy, frame=4)
        used = page.run("return [...document.querySelectorAll('.expert.used')].map(e => e.ariaLabel)")
        assert len(used) == count
        shown = page.run("return data.samples[0][arguments[0]].probabilities[4]", strategy)
        best = sorted(range(8), key=lambda k: -shown[k])[:count]
        assert [int(re.match(r"Expert (\d+)", text)[1]) for text in used] == sorted(best)


def _seen(page, selector):
    return page.run("return getComputedStyle(document.querySelector(arguments[0])).visibility", selector)


def test_the_routers_chart_shows_once_somebody_has_predicted_it_by_keys_alone(open_page, spots):
    from selenium.webdriver.common.keys import Keys

    page = open_page(spots, width=390)
    wait(page)
    assert _seen(page, "#router-chart") == "hidden"
    first = next(
        (
            t
            for t, p in page.run(
                "return data.samples[0][0].probabilities.map((p, f) => [data.times[f], Math.max(...p)])"
            )
            if p >= 0.5
        ),
        None,
    )
    truth = (
        "never"
        if first is None
        else "above t = 0.8"
        if first > 0.8
        else "from 0.8 to 0.5"
        if first > 0.5
        else "below 0.5"
    )
    labels = page.run("return [...document.querySelectorAll('#predict button')].map(b => b.textContent)")
    assert labels == ["above t = 0.8", "from 0.8 to 0.5", "below 0.5", "never", "just show it"]
    wrong = next(i for i, label in enumerate(labels) if label != truth)
    page.run("document.querySelectorAll('#predict button')[arguments[0]].focus()", wrong)
    page.press(Keys.ENTER)
    assert _seen(page, "#router-chart") == "visible"
    told = page.run("return document.getElementById('predict').textContent")
    assert told == f'You said "{labels[wrong]}". It is: {truth}.'
    page.check()


def test_it_can_be_read_on_paper(open_page, spots):
    page = open_page(spots, dark=True)
    wait(page)
    page.command("Emulation.setEmulatedMedia", media="print")
    assert _seen(page, "#router-chart") == "visible"  # nobody can answer there
    assert page.run("return getComputedStyle(document.querySelector('.transport')).display") == "none"
    assert page.run("return getComputedStyle(document.documentElement).getPropertyValue('--text').trim()") == "#1a1e22"
    page.command("Emulation.setEmulatedMedia", media="")
