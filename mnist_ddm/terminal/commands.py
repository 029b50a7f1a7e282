"""Commands that are imported only when they run, those of other packages among them.

A package adds a command by an entry point in the group `mnist_ddm.commands` whose object is a `LazyCommand`. Its module
is read for every `mnist-ddm --help`: it should hold nothing else, and import nothing that takes time.
"""

import contextlib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from click import Command

ENTRY_POINT_GROUP = "mnist_ddm.commands"


@final
@dataclass(frozen=True)
class LazyCommand:
    """Where a command is, and what is said of it before it is imported.

    Attributes:
        target: `MODULE:ATTRIBUTE`, a click command or group.
        help: its line in `mnist-ddm --help`.
    """

    target: str
    help: str

    def load(self) -> "Command":
        """Import the command."""
        module, attribute = self.target.split(":")
        command: Command = getattr(import_module(module), attribute)
        return command


@cache
def installed_commands() -> dict[str, LazyCommand]:
    """The commands that installed packages add, by name; one that cannot be read is left out."""
    commands = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        with contextlib.suppress(Exception):  # whatever another package does wrong, the rest of the commands must work
            command = entry.load()
            if isinstance(command, LazyCommand):
                commands[entry.name] = command
    return commands
