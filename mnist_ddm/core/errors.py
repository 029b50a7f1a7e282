"""The one exception that a user is meant to read."""

from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what was wrong and what to do.

    The command line prints it as one line and exits with code 2; a caller of the library may catch it as a
    ``ValueError``.
    """


def unknown(kind: str, name: str, known: list[str] | tuple[str, ...]) -> InputError:
    """An `InputError` for a name that does not exist, listing those that do; the one most like it comes first."""
    meant = "".join(f"did you mean {like!r}? " for like in get_close_matches(name, known, n=1))
    return InputError(f"unknown {kind} {name!r}; {meant}there are: {', '.join(known)}")
