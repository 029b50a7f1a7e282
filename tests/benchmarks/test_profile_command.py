"""What the profile of a command counts as what."""

import time
from types import FrameType

import pytest
import torch
from profile_command import ELSEWHERE, IMPORTS, INTERVAL, NETWORKS, NUMBERS, PACKAGE, WEIGHTS, place, profile


def frame(*files: str) -> FrameType:
    """Of code of these files, of which each calls the next."""
    found: list[FrameType] = []
    names = {"found": found, "inner": lambda: None}
    for file in reversed(files):
        code = "import sys\ndef f():\n found.append(sys._getframe())\n inner()\n"
        scope = dict(names)
        exec(compile(code, file, "exec"), scope)
        names["inner"] = scope["f"]
    names["inner"]()
    return found[-1]


OWN = str(PACKAGE / "core/field.py")


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ([OWN], "mnist_ddm/core/field.py: f"),
        ([OWN, "/somewhere/numpy/linalg.py"], "mnist_ddm/core/field.py: f"),
        ([OWN, str(PACKAGE / "models/unet.py"), "/somewhere/torch/nn/modules/conv.py"], NETWORKS),
        ([OWN, "/somewhere/torch/autograd/__init__.py"], NETWORKS),
        ([OWN, str(PACKAGE / "models/checkpoint.py"), "/somewhere/torch/nn/modules/module.py"], WEIGHTS),
        ([OWN, str(PACKAGE / "models/shipped.py")], "mnist_ddm/models/shipped.py: f"),
        ([OWN, str(PACKAGE / "core/noise.py")], NUMBERS),
        ([OWN, "<frozen importlib._bootstrap>"], IMPORTS),
    ],
)
def test_time_is_given_to_what_runs_innermost(files, kind):
    assert place(frame(*files)) == kind


def test_what_no_file_of_the_project_runs_is_outside_of_it():
    assert place(None) == ELSEWHERE


def test_the_time_of_a_long_call_counts_in_full():
    """A handler runs when the call has returned, once for however many signals came."""
    x, taken = torch.ones(1500, 1500), []

    def work():
        began = time.process_time()
        for _ in range(3):
            x @ x
        taken.append(time.process_time() - began)

    seen = profile(work)
    assert taken[0] > 3 * INTERVAL
    assert taken[0] - 2 * INTERVAL <= sum(seen.values()) <= taken[0] + 2 * INTERVAL
