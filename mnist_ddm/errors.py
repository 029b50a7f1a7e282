"""The one exception that a user is meant to read."""

import contextlib
from collections.abc import Iterator
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what was wrong and what to do.

    The command line prints it as one line and exits with code 2; a caller of the library may catch it as a
    ``ValueError``.
    """


def unknown(kind: str, name: str, known: list[str] | tuple[str, ...]) -> InputError:
    """An `InputError` for a name that does not exist, listing those that do; before them what a misspelt word meant."""
    like = get_close_matches(name, known, n=1) if name.isalpha() else []  # numbers are other numbers, not misspelt
    meant = f"did you mean {like[0]!r}? " if like else ""
    return InputError(f"unknown {kind} {name!r}; {meant}there are: {', '.join(known)}")


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Name what another package provides if it fails inside the block, however it does that.

    Args:
        what: it is, such as "the system 'mine' of my_package:load".

    Raises:
        InputError: instead of what the package raised; what was meant for people stays as it is.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # another package may even end the program
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{what} does not work ({told[:150]}); mend or uninstall that package") from error
