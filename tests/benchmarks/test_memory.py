"""The most memory that a distance of n samples to real ones takes above samples and real ones themselves: flat in n.

And that of encoding as many captions as a benchmark has. What was measured is printed and written to
`.benchmarks/memory.json`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RESULT = Path(__file__).parents[2] / ".benchmarks" / "memory.json"
SIZES = (200, 2000, 20_000)
DIM = 128
ROOM = 30
"""MB by which the largest size may take more than the middle one, above a copy of its samples in float64."""

PROGRAM = """
import resource, sys, torch
from mnist_ddm.metrics.frechet import KernelDistance, frechet_distance
from mnist_ddm.metrics.manifold import precision_and_coverage
torch.set_num_threads(1)
frechet_distance(torch.randn(10, 2), torch.randn(10, 2))
real, fake = torch.randn(10_000, {dim}), torch.randn({n}, {dim})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{what}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
MEASURES = {
    "kernel distance": "KernelDistance(real)(fake)",
    "Frechet distance": "frechet_distance(real, fake)",
    "precision and coverage": "precision_and_coverage(real[:2000], fake)",
}

CAPTIONS = (60, 600)
OF_CAPTIONS = """
import resource, torch
from pathlib import Path
from paris_ddm.config import Details
from paris_ddm.folder import open_folder
from paris_ddm.text import TextEncoder
torch.set_num_threads(1)
encoder = TextEncoder(open_folder(Path({folder!r})), torch.device("cpu"), Details())
encoder.embedding("a caption")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range({n}):
    encoder.embedding(f"caption number {{i}}")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""

pytestmark = pytest.mark.slow


def peak(program: str) -> float:
    """MB that a program says it took."""
    return round(
        float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout), 1
    )


def test_memory_is_flat_in_the_number_of_samples_and_captions():
    folder = str(Path(__file__).parents[2] / "checkpoints" / "paris-mini")
    programs = {
        f"{name}, n = {n}": PROGRAM.format(dim=DIM, n=n, what=what) for name, what in MEASURES.items() for n in SIZES
    }
    programs |= {f"captions, n = {n}": OF_CAPTIONS.format(n=n, folder=folder) for n in CAPTIONS}
    peaks = {name: peak(program) for name, program in programs.items()}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"MB": peaks}, indent=2) + "\n")
    print(json.dumps(peaks, indent=2))
    samples = SIZES[-1] * DIM * 8 / 1e6
    for name in MEASURES:
        assert peaks[f"{name}, n = {SIZES[-1]}"] - peaks[f"{name}, n = {SIZES[1]}"] < samples + ROOM, peaks
