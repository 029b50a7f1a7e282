"""Plots as SVG: well-formed, described, and drawn where the axes have a place."""

import json
import math
import re
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from mnist_ddm.analyses.analysis import Plot, Series
from mnist_ddm.figures.scale import axis_for, tick_text
from mnist_ddm.figures.svg import WIDTH, plot_legend, plot_svg
from mnist_ddm.study.results import plot_from

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
    assert "#" not in re.sub(r"&#\d+;", "", text), "colours are the palette's variables"
    places = [float(x) for x in re.findall(r' (?:x|x1|x2)="(-?[\d.]+)"', text)]
    assert all(0 <= x <= WIDTH for x in places)


def test_a_plot_survives_the_run_folder():
    for plot in PLOTS.values():
        read = plot_from(json.loads(json.dumps(asdict(plot))))
        assert str(plot_svg(read, "p")) == str(plot_svg(plot, "p"))


def test_a_legend_stands_only_where_names_do_not_stand_inside():
    assert [label for label, _ in plot_legend(PLOTS["lines"])] == ["full", "top1"]
    assert plot_legend(PLOTS["alone"]) == plot_legend(PLOTS["named points"]) == plot_legend(PLOTS["map"]) == []


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.0, 3.1), (-5.0, 70.0), (1e-7, 2e-7), (5.0, 5.0)])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_ticks_are_round_few_and_inside(low, high, logarithmic):
    axis = axis_for([low, high], 0, 100, logarithmic=logarithmic)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(axis.low <= tick <= axis.high or math.isclose(tick, axis.low) for tick in ticks)
    places = [axis(tick) for tick in ticks]
    assert places == sorted(places)
    assert 0 <= min(places) <= max(places) <= 100


def test_ticks_are_short():
    assert [tick_text(v) for v in (0, 0.25, 1e-5, 2e-5, 1000, 1e6)] == ["0", "0.25", "10⁻⁵", "2·10⁻⁵", "1000", "10⁶"]
