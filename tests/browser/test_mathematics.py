"""Formulas of the documentation in a real browser, with the font that ships: nothing overlaps."""

import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
FORMULAS = sorted(
    {
        (formula.strip(), marks == "$$")
        for page in DOCS.rglob("*.md")
        if "_build" not in page.parts
        for marks, formula in re.findall(r"(\$\$?)([^$`]+?)\1", page.read_text())
        if re.search(r"\\(sum|prod|int|frac|tfrac|binom|max|min|lVert)", formula)
    }
)

_INK = {"first-child": (255, 0, 0), "nth-child(2)": (0, 0, 255), "nth-child(3)": (0, 160, 0)}
"""The colour of each part of a sum with limits: base, below, above."""
_PLACES = """return [...document.querySelectorAll("[display=block] :is(munder, munderover):not(mfrac *)")].map(e => {
  const b = e.getBoundingClientRect();
  return [e.textContent.replace(/\\s+/g, ""), b.left + scrollX, b.top + scrollY, b.right + scrollX, b.bottom + scrollY];
});"""


def _overlaps(page, tmp_path):
    """The sums whose ink touches that of a limit, as the screen shows it."""
    page.driver.execute_async_script("document.fonts.ready.then(arguments[0])")
    places = page.run(_PLACES)
    page.screenshot(tmp_path / "page.png")
    picture = Image.open(tmp_path / "page.png").convert("RGB")
    scale, found = picture.width / page.width, []
    for text, *box in places:
        left, top, right, bottom = (round(scale * edge) for edge in box)
        cut = np.asarray(picture.crop((left - 8, top - 12, right + 8, bottom + 12)), dtype=int)
        rows = [np.flatnonzero((abs(cut - colour).sum(axis=2) < 160).any(axis=1)) for colour in _INK.values()]
        ordered = sorted((r.min(), r.max()) for r in rows if len(r))
        assert len(ordered) > 1, text
        if any(after[0] <= before[1] + scale for before, after in pairwise(ordered)):
            found.append(text)
    return found


@pytest.fixture(scope="module")
def mathml():
    sys.path.insert(0, str(DOCS))
    import mathml

    yield mathml
    sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def written(tmp_path_factory, mathml):
    """A page of all formulas, with the style sheet of the site or without."""
    folder = tmp_path_factory.mktemp("mathematics")
    for name in ("mathematics.css", "mathematics.woff"):
        (folder / name).write_bytes((DOCS / "static" / name).read_bytes())
    ink = "".join(f"munder > :{nth}, munderover > :{nth} {{ color: rgb{rgb} }} " for nth, rgb in _INK.items())
    body = "\n".join(f"<p>{mathml.to_mathml(formula, block=block)}</p>" for formula, block in FORMULAS)
    pages = {}
    for name, head in (
        ("with", '<link rel="stylesheet" href="mathematics.css">'),
        ("without", "<style>math { font-family: serif }</style>"),
    ):
        pages[name] = folder / f"{name}.html"
        head = f'<meta charset="utf-8"><title>Formulas</title>{head}<style>{ink}</style>'
        pages[name].write_text(f'<!doctype html><html lang="en">{head}<h1>All</h1>{body}')
    return pages


def test_no_sum_overlaps_its_limits(open_page, written, tmp_path):
    page = open_page(written["with"])
    assert len(page.run(_PLACES)) > 3
    assert _overlaps(page, tmp_path) == []
    assert page.run("return [...document.fonts].map(f => f.status)") == ["loaded"]


def test_the_test_sees_what_a_system_without_such_a_font_shows(open_page, written, tmp_path):
    assert _overlaps(open_page(written["without"]), tmp_path)
