"""Where the checkpoints that ship are."""

from pathlib import Path

CARD = "card.json"
"""The file that makes a folder a checkpoint."""


def checkpoints_folder() -> Path:
    """Where the shipped checkpoints are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "checkpoints"
    return inside if inside.is_dir() else package.parent / "checkpoints"


def shipped_checkpoints() -> list[Path]:
    """Their folders."""
    return [f.parent for f in sorted(checkpoints_folder().glob(f"*/{CARD}"))]
