"""The picture at the end of an exercise, and what several of them need.

Matplotlib is imported where something is drawn: most checks end before.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ddm.exercises.answers import StudentFunction
from mnist_ddm.exercises.base import Exercise
from mnist_ddm.storage.files import replacing

if TYPE_CHECKING:
    from matplotlib.axis import Axis


def save_picture(exercise: Exercise, function: StudentFunction, path: Path) -> None:
    """Draw what a right answer shows into a PNG file, replaced atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    exercise.draw(function, figure)
    description = {"Software": None, "Description": f"mnist-ddm exercises check {exercise.name}"}
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata=description)


def label_more(axis: "Axis") -> None:
    """Label 1, 2 and 5 times each power of ten on a logarithmic axis, which may be shorter than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
