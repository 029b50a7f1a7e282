"""The command that this package adds to `mnist-ddm`."""

from mnist_ddm.terminal.commands import LazyCommand

PARIS = LazyCommand(
    "paris_ddm.cli:paris", "Train the small Paris model; cluster images for a model, check and measure it."
)
