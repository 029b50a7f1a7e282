"""The terminal that commands print on."""

import os
from typing import Any, NoReturn, final

from rich.console import Console


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
