"""Standard input, output and error as a program finds them: closed, of few characters, or with no reader any more."""

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Mapping


def prepare_streams() -> None:
    """See to it that there are all three streams, and that none of them fails at a character that it cannot show."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened would take the number, and what is printed would go into it.
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (a number, for good)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")


def leave_quietly() -> None:
    """Let what is still to be printed go nowhere, as its reader has left; Python would complain at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(null, number)


def print_json(value: object) -> None:
    """Print a JSON-like value on standard output, as strict JSON that ends with a line's end.

    JSON has no infinity and no NaN: they are null.
    """
    print(json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False))


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
