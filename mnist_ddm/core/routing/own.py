"""What tells two versions of somebody's strategy apart."""

import inspect

from mnist_ddm.core.routing.base import Routing, parts_of
from mnist_ddm.storage.files import digest


def source_of(routing: Routing) -> str:
    """A hash of the code of a strategy that does not ship, and of what it is made of; empty for those that ship.

    Recordings are found by it, so that samples of an older version are never taken for those of a new one. Code whose
    text is not to be had, as of a class that was typed at a prompt, is known by its name alone.
    """
    sources = [_source(part) for part in parts_of(routing) if not type(part).__module__.startswith("mnist_ddm.")]
    return digest(sources) if sources else ""


def _source(part: Routing) -> str:
    try:
        return inspect.getsource(type(part))
    except (OSError, TypeError):
        return type(part).__qualname__
