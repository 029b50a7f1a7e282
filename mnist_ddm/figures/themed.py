"""From the SVG that matplotlib writes to one that belongs to a page."""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

from mnist_ddm.figures.describe import described
from mnist_ddm.figures.palette import variables
from mnist_ddm.figures.plot import Plot
from mnist_ddm.figures.symbols import set_in

_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE: Final = re.compile(r"#([^)\s]+)")
_MEASURED: Final = ("d", "x", "y", "width", "height", "transform")
"""Attributes with lengths, which are rounded: a hundredth of a point is not seen."""
_NOT_OURS: Final = ("metadata", "style")
"""Elements that a page must not get; matplotlib's style sheet would hold for all of the page."""


def themed(svg: str, plot: Plot, ident: str, told: Mapping[str, str]) -> Markup:
    """An inline SVG whose colours are CSS variables, whose type is the page's, and which says what it shows.

    Args:
        svg: as matplotlib writes it with text as text, in the light colours of the palette.
        plot: what it shows.
        ident: of the plot on its page; all ids begin with it.
        told: titles of elements by their ids.

    Raises:
        KeyError: if a colour is not of the palette.
    """
    root = ElementTree.fromstring(svg)
    references = list(dict.fromkeys(name for e in root.iter() for v in e.attrib.values() for name in _referred(v)))
    ids = {name: f"{ident}-{number}" for number, name in enumerate(references)}
    clean = _cleaned(root, ids, told)
    for text in [*clean.iter("text")]:
        set_in(text)
    size = clean.attrib["viewBox"]
    clean.attrib.clear()
    clean.attrib |= {"class": "plot", "viewBox": size, "role": "img", "aria-labelledby": f"{ident}-t {ident}-d"}
    # What the style sheet of matplotlib says, for this picture alone.
    clean.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}
    title, description = Element("title", id=f"{ident}-t"), Element("desc", id=f"{ident}-d")
    title.text, description.text = plot.title, described(plot)
    clean[:] = [title, description, *clean]
    return Markup(ElementTree.tostring(clean, encoding="unicode"))


def _referred(value: str) -> list[str]:
    return _REFERENCE.findall(value) if value.startswith(("#", "url(#")) else []


def _cleaned(element: Element, ids: Mapping[str, str], told: Mapping[str, str]) -> Element:
    """A copy without namespaces, spare ids, spare groups and spare digits."""
    clean = Element(_local(element.tag), {_local(name): value for name, value in element.attrib.items()})
    text = (element.text or "").strip()
    clean.text = text or None
    own = clean.attrib.pop("id", "")
    if own in ids:
        clean.set("id", ids[own])
    for name in _MEASURED:
        if name in clean.attrib:
            clean.set(name, " ".join(_NUMBER.sub(_rounded, clean.attrib[name]).split()))
    for name in ("href", "clip-path"):
        if name in clean.attrib:
            clean.set(name, _REFERENCE.sub(lambda match: f"#{ids[match[1]]}", clean.attrib[name]))
    if "style" in clean.attrib:
        clean.set("style", _style(clean.attrib["style"]))
    if own in told:
        title = Element("title")
        title.text = told[own]
        clean.append(title)
    for child in element:
        if _local(child.tag) not in _NOT_OURS:
            part = _cleaned(child, ids, told)
            spare = part.tag in ("g", "defs") and not part.attrib and part.find("title") is None
            if spare and (part.tag == "g" or not len(part)):
                clean.extend(part)
            else:
                clean.append(part)
    _share_style(clean)
    return clean


def _share_style(group: Element) -> None:
    """Many points of one style say it once."""
    uses = [child for child in group if child.tag != "defs"]
    styles = {use.attrib.get("style", "") for use in uses}
    if all(use.tag == "use" for use in uses) and len(uses) > 1 and len(styles) == 1 and "style" not in group.attrib:
        group.set("style", styles.pop())
        for use in uses:
            use.attrib.pop("style", None)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _style(style: str) -> str:
    """Colours as variables, and of the type its size alone."""
    colours: dict[str, str] = {}
    for variable, colour in variables().items():
        colours.setdefault(colour.light, f"var({variable})")
    parts = dict(part.split(": ", 1) for part in style.split("; "))
    if "font" in parts:
        (parts["font-size"],) = re.findall(r"[\d.]+px", parts.pop("font"))
    parts.pop("font-family", None)
    return ";".join(f"{k}:{_COLOUR.sub(lambda match: colours[match[0]], v)}" for k, v in parts.items())
