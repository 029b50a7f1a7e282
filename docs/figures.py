"""The figures of the documentation: the pictures at the end of the exercises, drawn by their solutions."""

import importlib.util
from pathlib import Path

import torch

SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
NAMES = ("flow", "heun", "bayes", "ensemble", "topk", "disagreement", "dissociation", "angle")


def draw_all(folder: Path) -> None:
    """Draw all figures into a folder."""
    from mnist_ddm.exercises.pictures import save_picture
    from mnist_ddm.exercises.registry import exercise_named

    torch.set_num_threads(1)
    for name in NAMES:
        spec = importlib.util.spec_from_file_location(f"solution_{name}", SOLUTIONS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        save_picture(exercise_named(name), getattr(module, name), folder / f"{name}.png")
