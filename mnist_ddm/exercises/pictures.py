"""The picture at the end of an exercise."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_ddm.core.files import replacing
from mnist_ddm.exercises.answers import Answer
from mnist_ddm.exercises.base import Exercise


def save_picture(exercise: Exercise, function: Answer, path: Path) -> None:
    """Draw what a right answer shows into a PNG file, replaced atomically."""
    figure = Figure(figsize=(7.2, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    exercise.draw(function, figure)
    description = {"Software": None, "Description": f"mnist-ddm exercises check {exercise.name}"}
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata=description)
