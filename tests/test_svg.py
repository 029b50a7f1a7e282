"""Plots as SVG and PNG: well-formed, described, themed, and drawn where the axes have a place."""

import itertools
import json
import math
import re
from dataclasses import asdict
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from mnist_ddm.figures import draw
from mnist_ddm.figures.draw import WIDTH, plot_legend, plot_svg, save_plot
from mnist_ddm.figures.palette import variables
from mnist_ddm.figures.plot import Plot, Series, plot_from
from mnist_ddm.figures.ticks import tick_text

NAN = math.nan
PLOTS = {
    "lines": Plot(
        "a",
        "lines",
        "Title <&>",
        "t",
        "y",
        (Series("full", [1, 0.5, 0], [1, NAN, 3], [0, 1, 2], [2, 3, 4]), Series("top1", [1, 0], [2, 2])),
        falling_x=True,
    ),
    "log lines": Plot(
        "a",
        "lines",
        "Title",
        "h",
        "error",
        (Series("full", [0.1, 0.01], [1e-3, 1e-5]), Series("top1", [0.1, 0.01], [0.0, 1e-4])),
        logarithmic=True,
    ),
    "bars": Plot(
        "a", "bars", "Title", "routing", "FID", (Series("", ["top1", "full"], [1.0, NAN], [0.5, NAN], [1.5, NAN]),)
    ),
    "points": Plot("a", "points", "Title", "x", "y", (Series("one", [1.0] * 50, [2.0] * 50), Series("two", [3], [4]))),
    "alone": Plot(
        "a",
        "points",
        "Title",
        "x",
        "y",
        (Series("top1", [1], [2], [0.5], [1.5]), Series("full", [1.01], [2.01])),
        logarithmic=True,
    ),
    "named points": Plot(
        "a",
        "named points",
        "Title",
        "x",
        "y",
        (Series("rest", [1, 2], [3, 4], names=["top1", "x"]), Series("front", [1, 3], [1, 2], names=["full", "y"])),
    ),
    "map": Plot(
        "a",
        "map",
        "Title",
        "T",
        "error",
        (Series("none", ["1", "infinite"], [0.5, NAN]), Series("some", ["1", "infinite"], [2.0, 1.0])),
    ),
    "nothing": Plot("a", "points", "Title", "x", "y", (Series("one", [], []),), logarithmic=True),
}


@pytest.mark.parametrize("name", PLOTS)
def test_every_kind_is_well_formed_named_and_described(name):
    plot = PLOTS[name]
    text = str(plot_svg(plot, "p1"))
    root = ElementTree.fromstring(text)
    title, description = root[0], root[1]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert title.text == plot.title
    assert plot.y_label in description.text
    assert "nan" not in text.lower().replace("title", "")
    assert not re.search(r"#[0-9a-f]{6}|rgb|black|white", text), "colours are the palette's variables"
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", text)) <= variables().keys()
    assert "font-family" not in text
    assert not root.findall(".//style")
    assert [e.text for e in root.iter("text")], "text stays text"
    places = [float(e.get("x")) for e in root.iter() if e.tag in ("text", "use")]
    assert all(0 <= x <= WIDTH for x in places)


def test_ids_of_a_page_are_each_plots_own():
    def ids(ident):
        text = str(plot_svg(PLOTS["lines"], ident))
        own = {e.get("id") for e in ElementTree.fromstring(text).iter() if e.get("id")}
        assert set(re.findall(r"(?:href=\"|url\()#([^\")]+)", text)) <= own
        return own

    assert ids("a").isdisjoint(ids("b"))
    assert str(plot_svg(PLOTS["lines"], "a")) == str(plot_svg(PLOTS["lines"], "a"))


@pytest.mark.long
@pytest.mark.parametrize("name", PLOTS)
def test_the_same_plot_becomes_files_that_stand_alone(name, tmp_path):
    before = dict(matplotlib.rcParams)
    plot = PLOTS[name]
    save_plot(plot, [tmp_path / "plot.png", tmp_path / "plot.svg"], {"Description": "mine \x01 & <yours>"})
    assert dict(matplotlib.rcParams) == before
    first = (tmp_path / "plot.svg").read_bytes()
    save_plot(plot, [tmp_path / "plot.png", tmp_path / "plot.svg"], {"Description": "mine \x01 & <yours>"})
    assert (tmp_path / "plot.svg").read_bytes() == first
    texts = "".join(ElementTree.fromstring(first).itertext())
    assert re.sub(r"\s", "", plot.title) in re.sub(r"\s", "", texts)
    assert "mine \ufffd & <yours>" in texts
    assert "var(" not in first.decode(), "no page gives it colours"
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.text["Description"] == "mine \x01 & <yours>"
        assert picture.width == pytest.approx(WIDTH * 150 / 72, abs=1)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_what_a_user_has_set_for_matplotlib_changes_nothing():
    expected = str(plot_svg(PLOTS["lines"], "p"))
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert str(plot_svg(PLOTS["lines"], "p")) == expected


def test_text_is_never_read_as_mathematics():
    plot = Plot("a", "bars", "Title", "$x_1$ and $y", "FID", (Series("", ["$a$", "^b^"], [1.0, 2.0]),))
    texts = [e.text for e in ElementTree.fromstring(str(plot_svg(plot, "p"))).iter("text")]
    assert {"$a$", "^b^"} <= set(texts)


def boxes(plot, monkeypatch):
    """The boxes of the names that are written into a plot."""
    from mnist_ddm.figures import names

    written = {}
    monkeypatch.setattr(names, "_write", lambda figure, text, box, mark: written.update({text: box}))
    plot_svg(plot, "p")
    return written


def test_names_may_hold_what_xml_cannot():
    """Control characters, a lone surrogate, and two that Unicode keeps for nobody."""
    for bad in ("\x01", "\x1b[31m", "\x0b", "\ufffe", "\uffff", "\ud800"):
        series = (
            Series(f"a{bad}", [1, 2], [3, 4], names=[f"n{bad}", "y"]),
            Series("full", [1, 3], [1, 2], names=["z", "w"]),
        )
        shown = str(plot_svg(Plot("a", "named points", f"T{bad}", f"x{bad}", f"y{bad}", series), "p"))
        ElementTree.fromstring(shown)
        assert bad not in shown
        assert "T\ufffd" in shown


def test_names_cover_neither_each_other_nor_marks_and_unneeded_ones_are_dropped(monkeypatch):
    rng = np.random.Generator(np.random.Philox(5))
    crowd = Series("rest", [*rng.normal(size=60)], [*rng.normal(size=60)], names=[f"name {i}" for i in range(60)])
    front = Series("front", [0.05 * i for i in range(12)], [0.0] * 12, names=[f"needed {i}" for i in range(12)])
    written = boxes(Plot("a", "named points", "Title", "x", "y", (crowd, front)), monkeypatch)
    assert {f"needed {i}" for i in range(12)} <= written.keys()
    assert 12 < len(written) < 72
    assert not any(a.overlaps(b) for a, b in itertools.combinations(written.values(), 2))
    alone = tuple(Series(f"top{i}", [1 + i / 1000], [2.0], [0.9], [1.2]) for i in range(1, 12))
    written = boxes(Plot("a", "points", "Title", "x", "y", alone), monkeypatch)
    assert len(written) == 11
    assert not any(a.overlaps(b) for a, b in itertools.combinations(written.values(), 2))


def test_marks_and_bars_say_what_they_are_when_they_are_pointed_at():
    def titles(name):
        root = ElementTree.fromstring(str(plot_svg(PLOTS[name], "p")))
        return {e.text for e in root.iter("title")} - {PLOTS[name].title}

    assert titles("alone") == {"top1: 1, 2", "full: 1.01, 2.01"}
    assert titles("bars") == {"top1: 1"}
    assert "full: 1, 1" in titles("named points")


def test_a_large_cloud_keeps_a_page_small():
    rng = np.random.Generator(np.random.Philox(1))
    series = tuple(
        Series(f"s{i}", rng.normal(size=20_000).tolist(), rng.normal(size=20_000).tolist()) for i in range(2)
    )
    text = str(plot_svg(Plot("a", "points", "Title", "x", "y", series), "p"))
    assert 3900 <= text.count("<use") <= 4100
    assert len(text) < 250_000


def test_an_interval_of_a_single_point_belongs_to_x():
    drawn = draw._drawn(PLOTS["alone"], alone=False)
    (whisker,) = [line for line in drawn.axes.lines if len(line.get_xdata()) == 2]
    assert [*whisker.get_xdata()] == [0.5, 1.5]
    assert [*whisker.get_ydata()] == [2, 2]


def test_an_interval_that_ends_below_zero_reaches_the_end_of_a_logarithmic_axis():
    series = (Series("top1", [1.0], [2.0], [-1.0], [1.5]), Series("full", [0.1], [1.0]))
    drawn = draw._drawn(Plot("a", "points", "Title", "x", "y", series, logarithmic=True), alone=False)
    drawn.figure.draw_without_rendering()
    (whisker,) = [line for line in drawn.axes.lines if len(line.get_xdata()) == 2]
    (left, _), (right, _) = whisker.get_transform().transform(whisker.get_xydata())
    frame = drawn.axes.get_window_extent()
    assert left < frame.x0 < right < frame.x1
    assert whisker.get_clip_on()
    assert 0.01 < drawn.axes.get_xlim()[0] < 0.1


def test_time_falls_from_left_to_right():
    low, high = draw._drawn(PLOTS["lines"], alone=False).axes.get_xlim()
    assert low > 1 > 0 > high


def test_a_plot_survives_the_run_folder():
    for plot in PLOTS.values():
        read = plot_from(json.loads(json.dumps(asdict(plot))), "it")
        assert str(plot_svg(read, "p")) == str(plot_svg(plot, "p"))


def test_a_legend_stands_only_where_names_do_not_stand_inside():
    assert [label for label, _ in plot_legend(PLOTS["lines"])] == ["full", "top1"]
    assert plot_legend(PLOTS["alone"]) == plot_legend(PLOTS["named points"]) == plot_legend(PLOTS["map"]) == []


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.0, 3.1), (-5.0, 70.0), (1e-7, 2e-7), (5.0, 5.0)])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_ticks_are_round_few_and_inside(low, high, logarithmic):
    plot = Plot("a", "points", "Title", "x", "y", (Series("s", [low, high], [low, high]),), logarithmic=logarithmic)
    axes = draw._drawn(plot, alone=False).axes
    for axis in (axes.xaxis, axes.yaxis):
        ends = axis.get_view_interval()
        ticks = [t for t in axis.get_ticklocs() if min(ends) <= t <= max(ends)]
        assert 2 <= len(ticks) <= 8
        assert min(ends) < max(ends)
        texts = axis.get_major_formatter().format_ticks(ticks)
        assert len(set(texts)) == len(texts)
        assert max(map(len, texts)) <= 9


def test_ticks_are_short():
    assert [tick_text(v) for v in (0, 0.25, 1e-5, 2e-5, 1000, 1e6)] == ["0", "0.25", "10⁻⁵", "2·10⁻⁵", "1000", "10⁶"]
    assert [tick_text(v) for v in (-0.5, 250_000, -2e-5)] == ["−0.5", "2.5·10⁵", "−2·10⁻⁵"]  # noqa: RUF001 (a minus)
