"""The palette and the assembly of pages."""

import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mnist_ddm.core import spellings
from mnist_ddm.figures import palette
from mnist_ddm.figures.palette import expert_style, mark_svg, routing_family, routing_style, series_styles
from mnist_ddm.pages import page
from mnist_ddm.pages.page import data_uri, json_for_html, render_page

SCHEMES = ("light", "dark")
ROUTINGS = (
    "top1",
    "top2",
    "full",
    "monolith",
    "label",
    "uniform",
    "misaligned2",
    "once",
    "each",
    "top4",
    "commit=0.9",
    "top-p=0.9",
    "posterior",
    "gumbel2",
    "mine",
)

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
DEFICIENCIES = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2's ratio."""
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def oklab(rgb):
    lms = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]) @ rgb.clip(0, 1)
    return np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]) @ np.cbrt(lms)


def nearest(colours, seen_by):
    seen = [oklab(DEFICIENCIES[seen_by] @ linear(colour)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_marks_and_text_stand_out_from_every_background(scheme):
    colour = {name: getattr(c, scheme) for name, c in palette.SURFACES.items()}
    for background in ("page", "surface", "sunken"):
        for text in ("text", "muted", "accent", "good", "fair", "poor"):
            assert contrast(colour[text], colour[background]) >= 4.5, (text, background)
        assert contrast(colour["edge"], colour[background]) >= 3, background
    assert contrast(colour["on-accent"], colour["accent"]) >= 4.5
    styles = [
        *map(routing_style, ROUTINGS),
        *map(expert_style, range(10)),
        *series_styles(["a", "b", "c", "d", "e", "f"]),
    ]
    for style in styles:
        for background in ("page", "surface"):
            assert contrast(getattr(style.colour, scheme), colour[background]) >= 3, (style.variable, background)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("seen_by", DEFICIENCIES)
def test_colour_blind_readers_can_tell_colours_apart(scheme, seen_by):
    # Three times what is just noticeable, which is about 0.02 in OKLab.
    experts = [expert_style(k).colour for k in range(10)]
    main = [routing_style(r).colour for r in ("top1", "top2", "full", "monolith")]
    strategies = [routing_style(r).colour for r in ROUTINGS]
    assert nearest([getattr(colour, scheme) for colour in [*experts, *main]], seen_by) > 0.06
    # Nor is any strategy like an expert: the explorer shows both.
    assert nearest([getattr(colour, scheme) for colour in [*experts, *strategies]], seen_by) > 0.055


def test_a_strategy_keeps_its_style_however_it_is_spelled():
    assert routing_style("top2") == routing_style("Top-2") == routing_style("top2+equal") == routing_style("top2@T=4")
    assert routing_style("full ensemble") == routing_style("full@T=0.5+clip")
    assert routing_family("top12") == "top"
    assert routing_family("once=prior") == "once"
    assert routing_family("1 / t (pixels that never vary)") is None
    assert routing_style("theirs=3") == routing_style("mine")
    assert len({routing_style(r).colour for r in ROUTINGS}) == len({routing_style(r).mark for r in ROUTINGS}) == 15


def test_series_of_one_picture_differ_by_more_than_colour():
    labels = ["full", "full@T=2", "full@T=4", "top2", "selected", "non-selected", "another", "top4", "top8"]
    styles = series_styles(labels)
    assert styles[0].colour == styles[1].colour
    assert styles[3] == routing_style("top2")
    assert len({(s.colour, s.dash, s.mark) for s in styles}) == len(labels)
    used = {routing_style(r).colour for r in ("full", "top2", "top4")}
    assert not used & {s.colour for s in styles[4:7]}
    assert expert_style(13).colour == expert_style(3).colour
    assert expert_style(13).dash != expert_style(3).dash


def test_no_strategy_of_a_picture_has_the_colour_of_an_expert(monkeypatch):
    monkeypatch.setitem(spellings._registered, "mine", lambda text: None)
    names = [*(re.sub(r"[ ,].*", "", spelling) for spelling in spellings.STRATEGIES.values()), "mine", "mine=2"]
    experts = {expert_style(k).colour for k in range(10)}
    for name in names:
        (style,) = series_styles([name])
        assert style.colour not in experts, name
        assert style == routing_style(name)


def test_css_has_every_variable_that_a_style_names():
    css = palette.css_variables()
    for style in [*map(routing_style, ROUTINGS), *map(expert_style, range(10)), *series_styles(list("abcdef"))]:
        assert css.count(f"{style.variable}:") == 2
        assert style.css in mark_svg(style)


@pytest.fixture
def template(monkeypatch):
    """Render a template given as text."""
    from jinja2 import ChoiceLoader, DictLoader

    environment = page._environment()

    def render(text, values, **more):
        loader = ChoiceLoader([DictLoader({"test.html": text}), environment.loader])
        monkeypatch.setattr(page, "_environment", lambda: environment.overlay(loader=loader))
        return render_page("test.html", values, **more)

    return render


class _Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\u2028"


def test_what_a_page_is_given_is_escaped(template):
    text = '{% extends "base.html" %}{% block main %}<p title="{{ word }}">{{ word }}</p>{% endblock %}'
    html = template(text, {"title": HOSTILE, "word": HOSTILE}, data={"numbers": {"x": HOSTILE, "nan": float("nan")}})
    parsed = _Elements(html)
    assert not [attributes for tag, attributes in parsed.elements if tag == "img"]
    assert [a for tag, a in parsed.elements if tag == "script"] == [{"type": "application/json", "id": "numbers"}]
    assert dict(parsed.elements)["p"]["title"] == HOSTILE
    (block,) = re.findall(r'id="numbers">(.*?)</script>', html)
    assert json.loads(block) == {"x": HOSTILE, "nan": None}


def test_a_page_forbids_requests_and_foreign_scripts(template):
    html = template('{% extends "base.html" %}{% block main %}x{% endblock %}', {"title": "t"})
    policy = next(a["content"] for tag, a in _Elements(html).elements if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "img-src data:" in policy
    assert "http" not in policy


def test_a_missing_value_is_an_error_and_not_a_hole(template):
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        template('{% extends "base.html" %}{% block main %}{{ nothing }}{% endblock %}', {"title": "t"})


def test_bytes_become_a_data_uri():
    assert data_uri(b"abc") == "data:image/png;base64,YWJj"
    assert json_for_html([1, (2.5, float("inf"))]) == "[1,[2.5,null]]"
