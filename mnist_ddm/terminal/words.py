"""Words that fit a terminal of any width. What imports this waits neither for torch nor for rich."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import final

import click

_LABEL = re.compile(r"\s*(?:[\w ]{1,10}:\s+)?")
"""The indentation of a line with the word that it begins with, as in `  expected: 7.0`."""
_WIDEST = 120
"""Columns of a paragraph: no more can be read well."""
_LINE_WITHIN = re.compile(r"^(\S.*)\n(?=\S)", re.MULTILINE)
_NARROWEST = 20
"""Characters for which help is made at the least."""


def at_words(text: str, width: int | None = None, *, paragraphs: bool = False) -> str:
    """A text whose long lines end between words, and go on below where their own text began.

    Args:
        text: of several lines.
        width: by default that of the terminal; where the output is none, lines stay as they are.
        paragraphs: whether lines that follow each other are one paragraph, unless they are indented, as formulas are.
    """
    if width is None:
        if not sys.stdout.isatty():
            return text
        width = shutil.get_terminal_size().columns
    if paragraphs:
        text, width = _LINE_WITHIN.sub(r"\1 ", text), min(width, _WIDEST)
    lines = []
    for line in text.splitlines():
        label = _LABEL.match(line)
        hanging = " " * len(label[0]) if label and len(label[0]) < width // 2 else ""
        wrapper = textwrap.TextWrapper(
            width - 1, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )
        lines += wrapper.wrap(line) if len(line) >= width else [line]
    return "\n".join(lines)


def shown_workers(workers: int) -> str:
    """A number of workers for people."""
    return f"{workers} worker{'s' if workers > 1 else ''}"


def shown_samples(samples: int) -> str:
    """A number of samples for people."""
    return f"{samples} sample{'s' if samples > 1 else ''}"


def shown_duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@final
class FittingHelp(click.HelpFormatter):
    """What `--help` says, for the width that there is: click's own is made for 50 characters at the least."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        """Take click's options."""
        if width is None:
            width = max(min(shutil.get_terminal_size().columns, max_width or 80) - 2, _NARROWEST)
        super().__init__(indent_increment, width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Leave two thirds of the width to what is said of each."""
        super().write_dl(rows, min(col_max, self.width // 3), col_spacing)

    def getvalue(self) -> str:
        """All of it, with the lines broken that click leaves as they are."""
        return at_words(super().getvalue(), self.width + 1)
