"""The paper's symbols in pictures and pages."""

import re
from xml.etree import ElementTree

import pytest

from mnist_ddm.figures.draw import plot_svg, save_plot
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.figures.symbols import SYMBOLS, as_mathtext, set_in
from mnist_ddm.pages.cells import cell
from mnist_ddm.pages.terms import glossary


def svg_text(text):
    element = ElementTree.Element("text")
    element.text = text
    set_in(element)
    return element


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        ("mean Delta_refine (lower is steadier)", "mean \u0394refine (lower is steadier)"),
        ("L_eff + S_eff", "Leff + Seff"),
        ("g of S_eff_x, L_eff", "g of S_eff_x, Leff"),
        ("no symbol, L_effs", "no symbol, L_effs"),
        ("", ""),
    ],
)
def test_a_picture_on_a_page_has_letters_with_indices(text, set_as):
    element = svg_text(text)
    assert "".join(element.itertext()) == set_as
    shifts = [
        float(part.get("dy", "0em").removesuffix("em")) * (0.75 if part.get("font-size") else 1) for part in element
    ]
    assert sum(shifts) == pytest.approx(0)


def test_a_picture_in_a_file_has_them_by_mathtext_and_a_dollar_stays_one():
    assert as_mathtext("mean L_eff of $5") == r"mean $\mathit{L}_{\mathrm{eff}}$ of \$5"
    assert as_mathtext("g") == r"$\mathit{g}$"


def bars(names, title="L_eff by $ and _"):
    return Plot("p", "bars", title, "what", "AUC of Delta_refine", (Series("S_eff", names, [0.5] * len(names)),) * 2)


def test_symbols_and_hostile_names_can_be_drawn(tmp_path):
    plot = bars([*SYMBOLS, "$x_{", r"\frac", "L_eff + S_eff"])
    save_plot(plot, [tmp_path / "a.png", tmp_path / "a.svg"], {})
    shown = re.findall(r"<text.*?</text>", plot_svg(plot, "x"))
    assert len(shown) > len(SYMBOLS)
    assert not any("_eff" in text for text in shown)
    assert "$x_{" in plot_svg(plot, "x")


def test_words_in_tables_have_them_and_every_symbol_has_a_meaning():
    assert "<sub>int</sub>" in cell("S_int")
    assert cell("<b>") == "&lt;b&gt;"
    assert len(glossary(SYMBOLS)) == len(SYMBOLS)
