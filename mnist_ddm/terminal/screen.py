"""The terminal that commands print on."""

import os
import re
import shutil
import sys
import textwrap
from typing import Any, NoReturn, final

from rich.console import Console

_WIDEST = 120
"""Columns of a paragraph: no more can be read well."""
_LINE_WITHIN = re.compile(r"^(\S.*)\n(?=\S)", re.MULTILINE)
_LABEL = re.compile(r"\s*(?:[\w ]{1,10}:\s+)?")
"""The indentation of a line with the word that it begins with, as in `  expected: 7.0`."""


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


@final
class Screen(Console):
    """A terminal for words of any origin: nothing in a text is taken for markup, and a reader may leave."""

    def __init__(self, **options: Any) -> None:
        """Take rich's options."""
        width = os.environ.get("COLUMNS", "")
        # No columns at all, as some batch systems say, would show nothing.
        environment = {k: v for k, v in os.environ.items() if k != "COLUMNS" or width.strip("0")}
        super().__init__(_environ=environment, **{"markup": False, "highlight": False, "emoji": False, **options})

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError
