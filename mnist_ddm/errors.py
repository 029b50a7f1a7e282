"""The one exception that a user is meant to read."""

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
