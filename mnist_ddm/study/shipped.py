"""The run that ships: five trainings of the digit experts, tables and verdicts without weights."""

from pathlib import Path

from mnist_ddm.study.folder import MANIFEST

TRAININGS = "trainings"
"""Its name."""


def results_folder() -> Path:
    """Where shipped results are: inside the installed package, or among the documents of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "results"
    return inside if inside.is_dir() else package.parent / "docs" / "results"


def run_named(place: Path) -> Path:
    """The folder of a run as a user names it: a path, or the name of the one that ships where there is no such path."""
    shipped = results_folder() / place
    return shipped if str(place) == TRAININGS and not place.exists() and (shipped / MANIFEST).exists() else place
