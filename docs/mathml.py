"""Mathematics as MathML, which browsers show by themselves: no script, no network, one font in `static/`.

The translation from LaTeX is docutils' own; a formula that it cannot read is an error of the build.
"""

import html
import re
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_PLAIN = (
    (r"\lVert", r"\|"),
    (r"\rVert", r"\|"),
    (r"\tfrac", r"\frac"),
    (r"\dots", r"\ldots"),
)
"""Commands that docutils does not know, and what stands for them."""

_ACCENTS = "\u02c6^~\u02dc\u00af"
_BARS = ("|", "\u2016", "\u2225")


_ENTITY = re.compile(r"&(?!lt;|gt;|amp;|quot;|apos;|#)\w+;")


def _mended(mathml: str) -> str:
    """The same with the index of an accented letter beside it, where docutils puts it below, and bars of one height."""
    ElementTree.register_namespace("", _NAMESPACE)
    mathml = _ENTITY.sub(lambda found: html.unescape(found[0]), mathml)  # XML knows five names only
    tree = ElementTree.fromstring(mathml)
    for node in tree.iter(f"{{{_NAMESPACE}}}munderover"):
        base, index, accent = node
        if (accent.text or "").strip() in tuple(_ACCENTS):
            over = ElementTree.Element(f"{{{_NAMESPACE}}}mover", accent="true")
            over.extend([base, accent])
            node.tag = f"{{{_NAMESPACE}}}msub"
            node[:] = [over, index]
    for node in tree.iter(f"{{{_NAMESPACE}}}mo"):
        if (node.text or "").strip() in _BARS:  # each would grow with its own neighbours, and not with the other one
            node.set("stretchy", "false")
    return ElementTree.tostring(tree, encoding="unicode")


def to_mathml(latex: str, *, block: bool) -> str:
    """A formula as MathML.

    Raises:
        ValueError: if it cannot be translated, which ends the build.
    """
    for command, plain in _PLAIN:
        latex = re.sub(re.escape(command) + r"(?![a-zA-Z])", lambda _, plain=plain: plain + " ", latex)
    try:
        return _mended(tex2mathml(latex, as_block=block))
    except MathError as error:
        raise ValueError(f"this formula cannot be shown as MathML ({error}): {latex}") from error


def _inline(translator, node: nodes.math) -> None:
    translator.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> None:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
