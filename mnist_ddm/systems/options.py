"""Options of the command line that systems contribute.

A package adds options by an entry point in the group `mnist_ddm.system_options` whose object is a tuple of
`SystemOption`. Every command that loads a system then takes them, and `load_system` hands what was given to the
system's own function. The module of such a tuple is read whenever a command is looked at: it should import nothing
that takes time, as this one imports neither torch nor click.
"""

from dataclasses import dataclass
from typing import Literal, final

ENTRY_POINT_GROUP = "mnist_ddm.system_options"


@final
@dataclass(frozen=True)
class SystemOption:
    """One option, and the keyword argument of the same name that systems take.

    Attributes:
        name: of the argument, such as `data_dir`; on the command line `--data-dir`.
        help: a line for `--help`. An option of one system alone begins with that system's name.
        kind: of its value.
        many: whether it may be repeated; the system then gets a tuple.
        place: whether it says where files are, which another machine may have elsewhere.
    """

    name: str
    help: str
    kind: Literal["path", "text", "number"] = "text"
    many: bool = False
    place: bool = False

    @property
    def flag(self) -> str:
        """Its spelling on the command line."""
        return f"--{self.name.replace('_', '-')}"


LABELS_HELP = (
    "What the classes are called: names with commas between, or a file of them.  [default: labels.txt of the data]"
)
MNIST = (
    SystemOption(
        "checkpoint",
        "A checkpoint folder, or the name of a shipped one.  [default: mnist-classroom]",
        kind="path",
        place=True,
    ),
    SystemOption(
        "data_dir",
        "A folder with the four IDX files of any 28x28 set.  [default: that of the checkpoint's training]",
        kind="path",
        place=True,
    ),
    SystemOption("labels", LABELS_HELP),
    SystemOption(
        "judge",
        "Checkpoint whose classifier measures the samples, so that trainings compare.  [default: the same]",
        kind="path",
        place=True,
    ),
    SystemOption("precision", "mnist: float32, tf32 or bfloat16, in which networks compute.  [default: float32]"),
)
"""What the `mnist` system takes; other systems may read the same options in their own way."""
