"""Assembling a page: one HTML file that holds everything it needs and asks nobody for anything.

A page is a Jinja template in `assets/` that extends `base.html`. Styles and scripts are put into it, images become data
URIs, and a Content-Security-Policy forbids every request and every script but the page's own.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mnist_ddm.figures.palette import Style, css_variables, mark_svg

_PACKAGE: Final = "mnist_ddm.pages"


def render_page(
    template: str,
    values: Mapping[str, Any],
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Mapping[str, object] | None = None,
) -> str:
    """The text of a self-contained HTML page.

    Args:
        template: name of a template in `assets/` that extends `base.html`. Everything it prints is escaped, unless it
            is `Markup`.
        values: for the template; `title` is needed by `base.html`, `description` and `lang` are optional.
        styles: names of style sheets in `assets/` that follow the palette and `base.css`.
        scripts: names of scripts in `assets/`, run after the page is parsed.
        data: JSON-like values for the scripts, each in a `<script type="application/json">` with the key as its id.
            Numbers that are not finite become `null`.

    Raises:
        jinja2.UndefinedError: if the template needs a value that is not given.
    """
    sheets = [css_variables(), *(asset(name) for name in ("base.css", *styles))]
    programs = [asset(name) for name in scripts]
    for text in (*sheets, *programs):
        if "</style" in text.lower() or "</script" in text.lower():
            raise ValueError("a style sheet or script holds an end tag and would break out of its element")
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            policy=_policy(programs),
            styles=[Markup(text) for text in sheets],
            scripts=[Markup(text) for text in programs],
            data={name: Markup(json_for_html(value)) for name, value in (data or {}).items()},
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "assets"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["mark"] = mark
    return environment


@cache
def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return files(_PACKAGE).joinpath("assets", name).read_text(encoding="utf-8")


def mark(style: Style) -> Markup:
    """The mark of a style, for templates: `{{ style | mark }}`."""
    return Markup(mark_svg(style))


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Some bytes as a data URI of media type ``kind``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def json_for_html(value: object) -> str:
    """JSON that cannot end or escape the script element it stands in; numbers that are not finite become `null`."""
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def _policy(programs: Sequence[str]) -> str:
    """Nothing may be fetched from anywhere, and only the given scripts may run."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in programs]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
