"""Jacobian norms along a Top-2 trajectory: this package's way against the textbook's, as ratios within one run.

The textbook: 20 power iterations from a random vector at every state, each with one J v by double backward and one
J^T u, one sample at a time. Ours: all samples together, each state starting from the direction found at the one before.
The norms of the first samples are compared with the same search at a tenth of the tolerance, a hundredth of the error.
What was measured is printed and written to `.benchmarks/spectral-norms.json`.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.core.field import RoutedField, make_field
from mnist_ddm.core.jacobians import expert_term
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.sensitivity import TOLERANCE
from mnist_ddm.core.solvers import StepGrid, solver_named
from mnist_ddm.core.spectral import spectral_norm
from mnist_ddm.core.visits import Visit, start, trajectory
from mnist_ddm.systems.mnist import MnistPool, load

SAMPLES, CHECKED, STEPS, EVERY, ITERATIONS = 64, 8, 50, 7, 20
RESULT = Path(__file__).parents[2] / ".benchmarks" / "spectral-norms.json"

pytestmark = pytest.mark.slow


def textbook(pool: MnistPool, visit: Visit, row: int, generator: torch.Generator) -> float:
    """Power iteration on J^T J of one sample; the networks are called as they are, not in filled batches."""
    assert visit.evaluation.weights is not None
    weights = visit.evaluation.weights[row]

    def velocity(x: Tensor) -> Tensor:
        chosen = weights.nonzero()[:, 0].tolist()
        return torch.stack([weights[k] * pool._experts[k](x, visit.times[:1]) for k in chosen]).sum(dim=0)

    x, sigma = visit.x[row : row + 1], torch.zeros(())
    v = torch.randn(x.shape, generator=generator)
    for _ in range(ITERATIONS):
        v = v / v.norm()
        u = torch.autograd.functional.jvp(velocity, x, v)[1]
        sigma = u.norm()
        v = torch.autograd.functional.vjp(velocity, x, u / sigma)[1]
    return float(v.norm())


def visits(field: RoutedField, n: int) -> list[Visit]:
    x, samples = start(field.pool, sample_seeds(0, n))
    with torch.no_grad():
        return list(trajectory(field, solver_named("heun"), StepGrid(STEPS), x, samples))[:-1]


def ours(states: list[Visit], tolerance: float) -> tuple[Tensor, Tensor]:
    """Norms and products at every state, both ``(T, B)``."""
    norms, products, direction = [], [], None
    for visit in states:
        jacobian = expert_term(
            visit.field, visit.x, visit.times, visit.samples, visit.interval, visit.evaluation.weights
        )
        found = spectral_norm(jacobian, visit.x, start=direction, tolerance=tolerance, max_products=600)
        direction = found.direction
        norms.append(found.norm)
        products.append(found.products.double())
    return torch.stack(norms), torch.stack(products)


def described(error: Tensor) -> dict[str, float]:
    return {
        "mean": float(error.mean()),
        "95th percentile": float(error.flatten().quantile(0.95)),
        "largest": float(error.max()),
    }


def test_against_the_textbook():
    pool = load()
    field = make_field(pool, "top2")
    assert isinstance(field, RoutedField)
    generator = torch.Generator().manual_seed(1)
    with one_thread():
        states = visits(field, SAMPLES)
        exact = ours(visits(field, CHECKED), TOLERANCE / 20)[0]
        some = list(range(0, STEPS, EVERY))
        began = time.perf_counter()
        found = [[textbook(pool, states[i], row, generator) for row in range(CHECKED)] for i in some]
        slow = (time.perf_counter() - began) / len(some) / CHECKED
        error = 1 - torch.tensor(found, dtype=torch.float64) / exact[some]
        report: dict[str, object] = {
            "states": STEPS,
            "samples": SAMPLES,
            "textbook": {"products": 2.0 * ITERATIONS, "seconds a state": slow, "relative error": described(error)},
        }
        for tolerance in (TOLERANCE / 2, TOLERANCE):
            began = time.perf_counter()
            norms, products = ours(states, tolerance)
            fast = (time.perf_counter() - began) / STEPS / SAMPLES
            mine = 1 - norms[:, :CHECKED] / exact
            assert described(mine[some])["mean"] <= described(error)["mean"]
            assert described(mine[some])["largest"] <= described(error)["largest"]
            report[f"tolerance {tolerance:g}"] = {
                "products": float(products.mean()),
                "times fewer products": 2 * ITERATIONS / float(products.mean()),
                "seconds a state": fast,
                "times less time": slow / fast,
                "relative error at the textbook's states": described(mine[some]),
                "relative error at every state": described(mine),
            }
    report["peak memory, 40 steps to 10 steps"] = peak_memory(40) / peak_memory(10)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))


def peak_memory(steps: int) -> float:
    """Of a process that records the norm at every step, in bytes."""
    program = (
        "import resource\n"
        "from mnist_ddm import Sampling, load_system, sample\n"
        "from mnist_ddm.compute.parallel import one_thread\n"
        "with one_thread():\n"
        f"    sample(load_system('mnist'), Sampling('top2', n=16, steps={steps}), observables=('expert-term',))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
