"""The paper's symbols in running text: set as mathematics, each with what it means."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from markupsafe import Markup

_TERMS: Final[Mapping[str, tuple[str, str, str]]] = {
    "L_eff": (
        "L",
        "eff",
        "how much the velocity field stretches a small difference: its largest Jacobian norm on the way",
    ),
    "Delta_refine": ("\u0394", "refine", "distance between the results of N and of 2N steps from the same noise"),
    "D_int": ("D", "int", "the experts' mean pairwise distance, integrated along a trajectory"),
    "m_p": ("m", "p", "margin between the router's two largest probabilities"),
    "m_z": ("m", "z", "margin between the router's two largest logits"),
    "g": ("g", "", "gap between the velocities of the router's two most probable experts"),
    "S_eff": ("S", "eff", "switching score: the gap g over the margin m_z, at its largest"),
    "tau_refine": ("\u03c4", "refine", "the 99th percentile of the step-refinement error under Top-2"),
    "FID": ("", "", "Frechet distance between features of samples and of real images; lower is better"),
    "KID": ("", "", "kernel distance between the same features, unbiased in the number of samples; lower is better"),
    "Jacobian": ("", "", "how the velocity changes with the state; its norm is the largest stretching"),
}
"""By spelling: letter and index, both empty for a word that stays as it is, and one line on the meaning."""

_FOUND: Final = re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, _TERMS)) + r")(?![\w-])")


def with_terms(text: str) -> Markup:
    """A text as HTML in which the paper's symbols are set as mathematics, each with its meaning as a title."""
    return Markup("".join(_set(part) if part in _TERMS else escape(part) for part in _FOUND.split(text)))


def glossary(texts: Iterable[str]) -> list[tuple[Markup, str]]:
    """The symbols that occur in some texts, as HTML, with their meanings."""
    found = dict.fromkeys(name for text in texts for name in _FOUND.findall(text))
    return [(_symbol(name), _TERMS[name][2]) for name in _TERMS if name in found]


def _set(name: str) -> str:
    return f'<abbr class="term" title="{escape(_TERMS[name][2])}">{_symbol(name)}</abbr>'


def _symbol(name: str) -> Markup:
    letter, index, _ = _TERMS[name]
    return Markup(f"<i>{letter}</i>" + f"<sub>{index}</sub>" * bool(index) if letter else escape(name))
