"""Commands that are imported only when they run, those of other packages among them.

A package adds a command by an entry point in the group `mnist_ddm.commands` whose object is a `LazyCommand`. Its module
is read for every `mnist-ddm --help`: it should hold nothing else, and import nothing that takes time.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, final

from mnist_ddm.errors import InputError, blamed

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


@final
class InstalledCommands:
    """The commands that installed packages add.

    Attributes:
        readable: those that can be read, by name.
        broken: of the others, by name, what is wrong.
    """

    def __init__(self) -> None:
        """Read what entry points say; whatever a package does wrong, the rest of the commands must work."""
        self.readable: dict[str, LazyCommand] = {}
        self.broken: dict[str, InputError] = {}
        for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
            try:
                with blamed(f"the command {entry.name!r} of {entry.value}"):
                    command = entry.load()
                    if not isinstance(command, LazyCommand) or not isinstance(command.help, str):
                        raise TypeError("it is no LazyCommand")
                    self.readable[entry.name] = command
            except InputError as error:
                self.broken[entry.name] = error

    def load(self, name: str) -> "Command | None":
        """The command of a name.

        Raises:
            InputError: if its package cannot be used; it says why.
        """
        if name in self.broken:
            raise self.broken[name]
        if name not in self.readable:
            return None
        with blamed(f"the command {name!r} of {self.readable[name].target}"):
            command: object = self.readable[name].load()
            if not callable(command):  # as click commands are
                raise TypeError("it is no click command")
            return self.readable[name].load()


@cache
def installed_commands() -> InstalledCommands:
    """The commands that installed packages add, read once."""
    return InstalledCommands()
