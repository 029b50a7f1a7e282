"""What the documentation draws as it is built: the pictures that exercises end with, by their solutions, and a page."""

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


def write_play(folder: Path) -> None:
    """Write the page to play with, which the site has as it stands."""
    from mnist_ddm.pages.play import play_page

    folder.mkdir(exist_ok=True)
    (folder / "play.html").write_text(play_page(), encoding="utf-8")
