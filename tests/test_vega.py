"""Plots as Vega-Lite: every number that is drawn is in the data, under channels that a viewer knows."""

import json
import math

import pytest

from mnist_ddm.figures.palette import series_styles
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.figures.vega import to_vega_lite

NAN = math.nan
BAND = Series("full", [0.9, 0.5], [1.0, 2.0], [0.5, 1.5], [1.5, 2.5])
PLOTS = {
    "lines": Plot("a", "lines", "Title", "t", "norm", (BAND, Series("top1", [0.9, 0.5], [3.0, NAN])), falling_x=True),
    "points": Plot(
        "b", "points", "Cloud", "x", "y", (Series("rows", [1.0, -1.0, 2.0], [1.0, 2.0, NAN]),), logarithmic=True
    ),
    "single points": Plot("c", "points", "One each", "x", "y", (Series("top1", [1.0], [2.0], [0.5], [1.5]),)),
    "named points": Plot("d", "named points", "Front", "x", "y", (Series("all", [1.0], [2.0], names=["top1"]),)),
    "bars": Plot(
        "e", "bars", "Bars", "routing", "FID", (Series("", ["top1", "full"], [2.0, 1.0], [1.5, NAN], [2.5, NAN]),)
    ),
    "map": Plot("f", "map", "Map", "T", "error", (Series("as it is", ["1", "inf"], [0.5, 4.0]),)),
}


def fields(spec):
    return {
        channel.get("field")
        for layer in spec["layer"]
        for channel in layer["encoding"].values()
        if isinstance(channel, dict)
    }


@pytest.mark.parametrize("kind", PLOTS)
def test_a_plot_is_strict_json_whose_channels_are_columns_of_its_data(kind):
    plot = PLOTS[kind]
    spec = json.loads(json.dumps(to_vega_lite(plot), allow_nan=False))
    assert spec["$schema"].endswith("vega-lite/v5.json")
    assert spec["title"]["text"] == plot.title
    columns = {key for row in spec["data"]["values"] for key in row}
    assert fields(spec) <= columns
    titles = {c.get("title") for layer in spec["layer"] for c in layer["encoding"].values() if isinstance(c, dict)}
    assert {plot.x_label, plot.y_label} <= titles


def test_what_is_not_drawn_is_not_there_and_all_else_is():
    assert to_vega_lite(PLOTS["lines"])["data"]["values"] == [
        {"series": "full", "x": 0.9, "y": 1.0, "low": 0.5, "high": 1.5},
        {"series": "full", "x": 0.5, "y": 2.0, "low": 1.5, "high": 2.5},
        {"series": "top1", "x": 0.9, "y": 3.0},
    ]
    assert to_vega_lite(PLOTS["points"])["data"]["values"] == [{"series": "rows", "x": 1.0, "y": 1.0}]
    assert to_vega_lite(PLOTS["bars"])["data"]["values"][1] == {"series": "", "x": "full", "y": 1.0}


def test_time_falls_colours_are_the_palettes_and_1_is_the_middle_of_a_map():
    band, line = to_vega_lite(PLOTS["lines"])["layer"]
    assert band["mark"]["type"] == "area"
    assert line["encoding"]["x"]["scale"]["reverse"]
    expected = [style.colour.light for style in series_styles(["full", "top1"])]
    assert line["encoding"]["color"]["scale"] == {"domain": ["full", "top1"], "range": expected}
    cell = to_vega_lite(PLOTS["map"])["layer"][0]
    assert cell["encoding"]["color"]["scale"]["domain"] == [0.25, 1, 4.0]
    assert to_vega_lite(PLOTS["points"])["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"


def test_an_interval_of_a_point_that_stands_alone_lies_along_x():
    rule = to_vega_lite(PLOTS["single points"])["layer"][0]
    assert (rule["encoding"]["x"]["field"], rule["encoding"]["x2"]["field"]) == ("low", "high")
