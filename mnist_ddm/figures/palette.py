"""The one palette: a routing strategy and an expert have the same colour in every picture and on every page.

Colours differ in lightness as well as in hue, so that colour-blind readers can tell them apart, and stand out from the
background by at least 3 : 1 in light and in dark. A colour never says anything alone: a strategy also has a mark and a
dash, an expert its number.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mnist_ddm.core.spellings import STRATEGIES, foreign_routings, registered_routings

Dash = Literal["-", "--", ":", "-."]
"""Matplotlib's line styles."""


@dataclass(frozen=True)
class Colour:
    """One colour for a light and one for a dark background, as `#rrggbb`."""

    light: str
    dark: str


@dataclass(frozen=True)
class Mark:
    """A shape.

    Attributes:
        path: of an SVG in a square of side 10.
        marker: matplotlib's name for about the same shape, or a character between dollars.
    """

    path: str
    marker: str


@dataclass(frozen=True)
class Style:
    """How something is drawn wherever it appears.

    Attributes:
        variable: the CSS variable that holds the colour, such as `--routing-top2`.
        colour: the same for what is drawn without CSS.
        mark: a shape for points and legends.
        dash: of lines.
    """

    variable: str
    colour: Colour
    mark: Mark
    dash: Dash = "-"

    @property
    def css(self) -> str:
        """The colour as a CSS value that follows light and dark."""
        return f"var({self.variable})"


_MARKS: Final = (
    Mark("M5 .8a4.2 4.2 0 1 0 0 8.4a4.2 4.2 0 1 0 0-8.4z", "o"),
    Mark("M1.2 1.2h7.6v7.6h-7.6z", "s"),
    Mark("M5 .6l4.6 8.2h-9.2z", "^"),
    Mark("M5 .2l4.8 4.8l-4.8 4.8l-4.8-4.8z", "D"),
    Mark("M5 9.4l-4.6-8.2h9.2z", "v"),
    Mark("M3.4.8h3.2v2.6h2.6v3.2h-2.6v2.6h-3.2v-2.6h-2.6v-3.2h2.6z", "P"),
    Mark("M2.7.4l2.3 2.3l2.3-2.3l2.3 2.3l-2.3 2.3l2.3 2.3l-2.3 2.3l-2.3-2.3l-2.3 2.3l-2.3-2.3l2.3-2.3l-2.3-2.3z", "X"),
    Mark("M5 .3l1.4 3.2l3.5.3l-2.7 2.3l.8 3.4l-3-1.8l-3 1.8l.8-3.4l-2.7-2.3l3.5-.3z", "*"),
    Mark("M5 .5l4.5 3.3l-1.7 5.3h-5.6l-1.7-5.3z", "p"),
    Mark("M5 .4l4 2.3v4.6l-4 2.3l-4-2.3v-4.6z", "h"),
    Mark("M.6 5l8.2-4.6v9.2z", "<"),
    Mark("M9.4 5l-8.2-4.6v9.2z", ">"),
    Mark("M5 .2l2.9 4.8l-2.9 4.8l-2.9-4.8z", "d"),
    Mark("M5 .2l1.7 3.1l3.1 1.7l-3.1 1.7l-1.7 3.1l-1.7-3.1l-3.1-1.7l3.1-1.7z", "$\u2726$"),
    Mark("M3.3 .6h3.4l2.7 2.7v3.4l-2.7 2.7h-3.4l-2.7-2.7v-3.4z", "8"),
)
_DASHES: Final[tuple[Dash, ...]] = ("-", "--", ":", "-.")

SURFACES: Final[Mapping[str, Colour]] = {
    "page": Colour("#f7f7f4", "#14171b"),
    "surface": Colour("#ffffff", "#1c2127"),
    "sunken": Colour("#eceeec", "#262c34"),
    "line": Colour("#d3d7d9", "#3b444e"),
    "edge": Colour("#7b848c", "#7d8894"),
    "text": Colour("#1a1e22", "#e9ebee"),
    "muted": Colour("#525c66", "#a9b3bd"),
    "accent": Colour("#0a5aa8", "#74b6ff"),
    "on-accent": Colour("#ffffff", "#0d1b2a"),
    "good": Colour("#006d4f", "#4fd1a5"),
    "fair": Colour("#7a5a00", "#e3b341"),
    "poor": Colour("#a63200", "#ff9166"),
}
"""Backgrounds, lines, text, and the colours of good, fair and poor outcomes; each is a CSS variable `--NAME`."""

_MAIN: Final = (
    Colour("#a8550a", "#c84d13"),
    Colour("#1e67cb", "#3d74b9"),
    Colour("#149d82", "#52cf97"),
    Colour("#4e5f5f", "#e2f1e7"),
)
_TEN: Final = (
    Colour("#2336ab", "#96cff5"),
    Colour("#85900b", "#f8dd61"),
    Colour("#af083d", "#b64795"),
    Colour("#003e5a", "#2ba3b3"),
    Colour("#dc6770", "#f3b3c0"),
    Colour("#380773", "#956be3"),
    Colour("#753302", "#e89447"),
    Colour("#8e5084", "#d691fc"),
    Colour("#660b3d", "#f4638b"),
    Colour("#292503", "#697859"),
)
_FURTHER: Final = {
    "label": Colour("#163cd4", "#aaaed4"),
    "uniform": Colour("#240a06", "#c87e06"),
    "misaligned": Colour("#753a81", "#d607bf"),
    "once": Colour("#b46bb9", "#c481da"),
    "each": Colour("#8572f7", "#a780fb"),
    "top": Colour("#810dff", "#b12dfe"),
    "commit": Colour("#0b0346", "#bee1f6"),
    "top-p": Colour("#582686", "#5effa7"),
    "posterior": Colour("#3b0927", "#68986d"),
    "gumbel": Colour("#fe5109", "#aad77d"),
    "other": Colour("#0a001a", "#c3ca05"),
}
# Found by a search for the largest least distance of any two, in OKLab, as seen by normal and by protan-, deutan- and
# tritanopic readers, under the contrasts that the tests ask for; the further ones after the first fourteen.

_ROUTINGS: Final[Mapping[str, Colour]] = {
    "top1": _MAIN[0],
    "top2": _MAIN[1],
    "full": _MAIN[2],
    "monolith": _MAIN[3],
    **{family: colour for family, colour in _FURTHER.items() if family != "other"},
}
"""By family; `top` is every Top-k but the first two."""

_UNKNOWN: Final = Style("--routing-other", _FURTHER["other"], _MARKS[14])

_EXPERTS: Final = _TEN
_OTHERS: Final = (_TEN[3], _TEN[4], _TEN[1], _TEN[5], _TEN[6], _TEN[2])
"""For what is neither a strategy nor an expert: never a strategy's colour."""

COLOURS: Final = tuple(colour.light for colour in (*_MAIN[:3], *_OTHERS))
"""For pictures of single things on a light background, in order."""


def routing_family(name: str) -> str | None:
    """The part of a routing's spelling that decides its colour, or ``None`` for what is spelled like no routing.

    `top2+equal` and `top2` are of one family, `top3` and `top4` of another, and `once=prior` is of `once`. The paper's
    spellings (`Top-2`, `full ensemble`) are understood too.
    """
    match = re.fullmatch(
        r"([a-z][a-z-]*?)(?:-?(\d+)|=[^@+~]+)?(?:[@+][^~]*)?", name.strip().lower().removesuffix(" ensemble")
    )
    if match is None:
        return None
    base = match[1] + (match[2] or "")
    if base in _ROUTINGS and base != "top":
        return base
    own = match[1] in _ROUTINGS or match[1] in STRATEGIES or match[1] in registered_routings()
    return match[1] if own or any(entry.name == match[1] for entry in foreign_routings()) else None


def routing_label(name: str) -> str:
    """A strategy's name for readers: `Top-2`, `Full`, `Misaligned-2`; what is added to one stays as it is spelled."""
    match = re.fullmatch(r"(top|misaligned)-?(\d+)(.*)", name)
    return f"{match[1].capitalize()}-{match[2]}{match[3]}" if match else name[:1].upper() + name[1:]


def routing_style(name: str) -> Style:
    """The style of a routing strategy, or of the monolith, by its spelling; those without a colour share one style."""
    family = routing_family(name)
    if family is None or family not in _ROUTINGS:
        return _UNKNOWN
    mark = _MARKS[list(_ROUTINGS).index(family)]
    return Style(f"--routing-{family}", _ROUTINGS[family], mark)


def expert_style(number: int) -> Style:
    """The style of an expert by its number from 0; colours repeat after ten, numbers do not."""
    i = number % len(_EXPERTS)
    return Style(f"--expert-{i}", _EXPERTS[i], _MARKS[i], _DASHES[number // len(_EXPERTS) % len(_DASHES)])


def series_styles(labels: Sequence[str]) -> list[Style]:
    """A style for each series of one picture: a strategy's own where a label is one, else one of the others.

    Series of one family keep its colour and differ by dash and mark.
    """
    families = [routing_family(label) for label in labels]
    seen: dict[str, int] = {}
    styles, others = [], 0
    for label, family in zip(labels, families, strict=True):
        if family:
            style = routing_style(label)
        else:
            i = others % len(_OTHERS)
            style, others = Style(f"--other-{i}", _OTHERS[i], _MARKS[i]), others + 1
        again = seen.get(style.variable, 0)
        seen[style.variable] = again + 1
        if again:
            mark = _MARKS[(_MARKS.index(style.mark) + again) % len(_MARKS)]
            style = replace(style, dash=_DASHES[again % len(_DASHES)], mark=mark)
        styles.append(style)
    return styles


def mark_svg(style: Style) -> str:
    """The mark as a small inline SVG in the style's colour; decoration only, the name must stand beside it."""
    shape = f'<path d="{style.mark.path}" fill="{style.css}"/>'
    return f'<svg class="mark" viewBox="0 0 10 10" aria-hidden="true" focusable="false">{shape}</svg>'


def variables() -> dict[str, Colour]:
    """Every colour by the name of its CSS variable."""
    named = {f"--{name}": colour for name, colour in SURFACES.items()}
    named |= {f"--routing-{name}": colour for name, colour in _ROUTINGS.items()}
    named[_UNKNOWN.variable] = _UNKNOWN.colour
    named |= {f"--expert-{i}": colour for i, colour in enumerate(_EXPERTS)}
    return named | {f"--other-{i}": colour for i, colour in enumerate(_OTHERS)}


def css_variables() -> str:
    """The palette as CSS variables, light by default and in print, dark on screens that prefer it."""
    named = variables()
    light = "".join(f"{name}:{colour.light};" for name, colour in named.items())
    dark = "".join(f"{name}:{colour.dark};" for name, colour in named.items())
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}\n"
    )
