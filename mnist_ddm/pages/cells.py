"""Cells of tables and verdicts as HTML."""

import math
from html import escape

from markupsafe import Markup

from mnist_ddm.claims.judge import Verdict
from mnist_ddm.pages.terms import with_terms
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import Column, Table, Value
from mnist_ddm.tables.terminal import shown_value

_BADGES = {
    Verdict.REPRODUCED: ("\u2713", "good"),
    Verdict.DIRECTION: ("\u2248", "fair"),
    Verdict.NOT: ("\u2717", "poor"),
    Verdict.EQUIVALENT: ("\u2261", "poor"),
    Verdict.OPEN: ("?", "open"),
    Verdict.CONSTRUCTION: ("=", "open"),
    Verdict.ABSENT: ("\u2013", "open"),
    Verdict.NONE: ("\u2013", "open"),
}


def badge(verdict: Verdict, text: str = "") -> Markup:
    """A verdict with its sign; the word says it, the colour only helps."""
    sign, kind = _BADGES[verdict]
    return Markup(
        f'<span class="badge {kind}"><span aria-hidden="true">{sign}</span> {escape(text or verdict.value)}</span>'
    )


def cell(value: Value) -> Markup:
    """A table's cell; an interval stands below its value, and symbols in words are set as mathematics."""
    if isinstance(value, Estimate) and not math.isnan(value.low):
        shown, _, interval = shown_value(value).partition(" ")
        return Markup(f'{escape(shown)} <span class="interval">{escape(interval)}</span>')
    return with_terms(shown_value(value)) if isinstance(value, str) else Markup(escape(shown_value(value)))


def is_number(table: Table, column: Column) -> bool:
    """Whether a column holds numbers."""
    return any(isinstance(value, int | float | Estimate) for value in table.column(column.key))


def told_columns(table: Table) -> list[Column]:
    """The columns that hold anything."""
    return [c for c in table.columns if any(value is not None for value in table.column(c.key))]
