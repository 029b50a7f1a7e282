"""The paper's symbols as letters with indices: how they are found in a text, and how a picture sets them."""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, SubElement

SYMBOLS: Final[Mapping[str, tuple[str, str]]] = {
    "L_eff": ("L", "eff"),
    "Delta_refine": ("\u0394", "refine"),
    "D_int": ("D", "int"),
    "m_p": ("m", "p"),
    "m_z": ("m", "z"),
    "g": ("g", ""),
    "S_eff": ("S", "eff"),
    "S_int": ("S", "int"),
    "tau_refine": ("\u03c4", "refine"),
}
"""By spelling: letter and index, which may be empty."""


def finder(names: Mapping[str, object]) -> re.Pattern[str]:
    """What finds such names in a text, as words of their own."""
    return re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, names)) + r")(?![\w-])")


_FOUND: Final = finder(SYMBOLS)


def as_mathtext(text: str) -> str:
    """A text with its symbols in matplotlib's notation, for artists with `parse_math`."""
    return "".join(_mathtext(part) if part in SYMBOLS else part.replace("$", r"\$") for part in _FOUND.split(text))


def _mathtext(name: str) -> str:
    letter, index = SYMBOLS[name]
    return rf"$\mathit{{{letter}}}_{{\mathrm{{{index}}}}}$" if index else rf"$\mathit{{{letter}}}$"


def set_in(text: Element) -> None:
    """Set the symbols in a text element of an SVG: the letter italic, its index smaller and lower."""
    parts = _FOUND.split(text.text or "")
    text.text, *rest = parts
    for name, after in zip(rest[::2], rest[1::2], strict=True):
        letter, index = SYMBOLS[name]
        SubElement(text, "tspan", {"font-style": "italic"}).text = letter
        if index:
            SubElement(text, "tspan", {"dy": "0.25em", "font-size": "75%"}).text = index
            # Back to the height of the line; shifts add up, and are in the type of what they shift.
            SubElement(text, "tspan", {"dy": "-0.1875em"}).text = after
        else:
            text[-1].tail = after
