"""Mathematics as MathML, which browsers show by themselves: no script, no fonts, no network.

The translation from LaTeX is docutils' own; a formula that it cannot read is an error of the build.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

_PLAIN = (
    (r"\lVert", r"\|"),
    (r"\rVert", r"\|"),
    (r"\tfrac", r"\frac"),
    (r"\dots", r"\ldots"),
)
"""Commands that docutils does not know, and what stands for them."""

_ACCENT = re.compile(r"\\(hat|tilde|bar) ?([a-zA-Z]|\\[a-zA-Z]+)")
"""An accent over one letter; docutils would put an index of the letter below the accent."""


def to_mathml(latex: str, *, block: bool) -> str:
    """A formula as MathML.

    Raises:
        ExtensionError: if it cannot be translated.
    """
    for command, plain in _PLAIN:
        latex = re.sub(re.escape(command) + r"(?![a-zA-Z])", lambda _, plain=plain: plain + " ", latex)
    latex = _ACCENT.sub(r"{\\\1{\2}}", latex)
    try:
        return tex2mathml(latex, as_block=block)
    except MathError as error:
        raise ExtensionError(f"this formula cannot be shown as MathML ({error}): {latex}") from error


def _inline(translator, node: nodes.math) -> None:
    translator.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> None:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
