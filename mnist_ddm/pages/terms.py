"""The paper's symbols in running text: set as mathematics, each with what it means."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from markupsafe import Markup

from mnist_ddm.figures.symbols import SYMBOLS, finder

_MEANINGS: Final[Mapping[str, str]] = {
    "L_eff": "how much the velocity field stretches a small difference: its largest Jacobian norm on the way",
    "Delta_refine": "distance between the results of N and of 2N steps from the same noise",
    "D_int": "the experts' mean pairwise distance, integrated along a trajectory",
    "m_p": "margin between the router's two largest probabilities",
    "m_z": "margin between the router's two largest logits",
    "g": "gap between the velocities of the router's two most probable experts",
    "S_eff": "switching score: the gap g over the margin m_z, at its largest",
    "S_int": "the same score, integrated along a trajectory",
    "tau_refine": "the 99th percentile of the step-refinement error under Top-2",
    "FID": "Frechet distance between features of samples and of real data; lower is better",
    "KID": "kernel distance between the same features, unbiased in the number of samples; lower is better",
    "Jacobian": "how the velocity changes with the state; its norm is the largest stretching",
}
"""One line on each of the symbols, and on words that stay as they are."""

_FOUND: Final = finder(_MEANINGS)


def with_terms(text: str) -> Markup:
    """A text as HTML in which the paper's symbols are set as mathematics, each with its meaning as a title."""
    return Markup("".join(_set(part) if part in _MEANINGS else escape(part) for part in _FOUND.split(text)))


def glossary(texts: Iterable[str]) -> list[tuple[Markup, str]]:
    """The symbols that occur in some texts, as HTML, with their meanings."""
    found = dict.fromkeys(name for text in texts for name in _FOUND.findall(text))
    return [(_symbol(name), _MEANINGS[name]) for name in _MEANINGS if name in found]


def _set(name: str) -> str:
    return f'<abbr class="term" title="{escape(_MEANINGS[name])}">{_symbol(name)}</abbr>'


def _symbol(name: str) -> Markup:
    letter, index = SYMBOLS.get(name, ("", ""))
    return Markup(f"<i>{letter}</i>" + f"<sub>{index}</sub>" * bool(index) if letter else escape(name))
