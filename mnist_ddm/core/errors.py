"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what was wrong and what to do.

    The command line prints it as one line and exits with code 2; a caller of the library may catch it as a
    ``ValueError``.
    """


def unknown(kind: str, name: str, known: list[str] | tuple[str, ...]) -> InputError:
    """An `InputError` for a name that does not exist, listing those that do."""
    return InputError(f"unknown {kind} {name!r}; there are: {', '.join(known)}")
