"""Texts from files, as they can be shown."""


def printable(text: str) -> str:
    """A text from a file as it can be shown: what does not print is spelled out."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
