"""The one exception that a user is meant to read."""

import contextlib
import re
from collections.abc import Iterator
from difflib import get_close_matches

LONGEST = 300
"""Characters of a message at the most: names and values in it may come from a file that somebody else wrote."""
_BEGINNING = 2 / 3
"""Of what is kept of a message that is cut; what to do about it stands at its end, so the end is kept as well."""

_NEAREST = 4


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what was wrong and what to do.

    The command line prints it as one line and exits with code 2; a caller of the library may catch it as a
    ``ValueError``. Whatever the message is made of, it is one line of at most `LONGEST` printable characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NotFiniteError(InputError):
    """A part of a system gives NaN or infinite numbers: nothing that is measured of the system means anything.

    Attributes:
        seed: of the sample for which it does, if that is known.
    """

    def __init__(self, message: str, seed: int | None = None) -> None:
        super().__init__(message)
        self.seed = seed


def one_line(text: str, most: int = LONGEST) -> str:
    """A text as one line of at most ``most`` characters; what a terminal would act on is escaped."""
    # Far more than is kept is not looked at: a message may quote a whole file.
    if len(text) > 20 * LONGEST:
        text = f"{text[: 10 * LONGEST]} ... {text[-5 * LONGEST :]}"
    line = "".join(c if c.isprintable() else _escaped(c) for c in " ".join(text.split()))
    if len(line) <= most:
        return line
    beginning = int(_BEGINNING * (most - 5))
    return f"{line[:beginning]} ... {line[len(line) - (most - 5 - beginning) :]}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def unknown(kind: str, name: str, known: list[str] | tuple[str, ...], where: str = "") -> InputError:
    """An `InputError` for a name that does not exist, listing those that do; before them what a misspelt name meant.

    Args:
        kind: of what is named.
        name: that does not exist.
        known: those that do; if they are too many for one message, the nearest of them are told.
        where: all are told, such as "`mnist-ddm info analyses` has all".
    """
    like = [other for other in get_close_matches(name, known, n=1) if _letters(other) != _letters(name)]
    meant = f"did you mean {like[0]!r}? " if like and re.fullmatch(r"[\w-]*[a-z][\w-]*", name, re.IGNORECASE) else ""
    beginning = f"unknown {kind} {name!r}; {meant}there are"
    whole = f"{beginning}: {', '.join(known)}"
    if len(whole) <= LONGEST or not where:
        return InputError(whole)
    near = get_close_matches(name, known, n=_NEAREST, cutoff=0)
    return InputError(f"{beginning} {len(known)}, such as {', '.join(near)}; {where}")


def _letters(name: str) -> str:
    """A name without its numbers: names that differ in these alone are other ones, not misspelt."""
    return re.sub(r"\d+", "", name)


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
