"""What a command imports: nothing that takes seconds and that it does not need."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from mnist_ddm.analyses.names import SHIPPED
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.compute.cores import may_have_accelerator
from mnist_ddm.compute.devices import available_devices
from mnist_ddm.core import spellings
from mnist_ddm.core.observables import OBSERVABLES
from mnist_ddm.core.recording import sample
from mnist_ddm.core.routing import grammar
from mnist_ddm.core.solvers import SOLVERS
from mnist_ddm.core.visits import Noising, Sampling
from mnist_ddm.exercises.registry import exercise_names
from mnist_ddm.stats.quantiles import beta_quantile, normal_quantile, normal_share, student_quantile
from mnist_ddm.systems.gaussian import load

SLOW = ("scipy.stats", "scipy.integrate", "scipy.optimize", "matplotlib", "sympy", "lightning", "torchvision")
SLOW += ("torchmetrics", "torch._dynamo", "pandas", "sklearn")
"""Of those, `torch._dynamo` is the slowest, and torchvision brings it along."""


def found(command, unwanted):
    """Lines of a program that runs a command, and ends if one of some modules was imported by then."""
    return [
        f"sys.argv = ['mnist-ddm', *{command.split()!r}]",
        "try: main()",
        "except SystemExit as end: assert not end.code, end.code",
        f"heavy = {{*{(*SLOW, *unwanted)!r}}} & set(sys.modules)",
        f"assert not heavy, ({command!r}, heavy)",
    ]


def run_program(lines, cwd):
    code = "\n".join(["import sys", "from mnist_ddm.cli import main", *lines])
    environment = {**os.environ, "COLUMNS": "200"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=cwd, env=environment)


@pytest.mark.long
def test_no_command_and_no_exercise_imports_what_takes_seconds_and_it_does_not_need(tmp_path):
    """One process, which imports torch once: each command finds what those before it imported, and they need less."""
    lines = [
        *found("sample --system mnist --n 1 --steps 1 --out a.png", ("scipy", "jinja2")),
        *found("reproduce --system gaussian --plan", ("jinja2",)),
        "from mnist_ddm.exercises.registry import exercise_named",
        f"for name in {exercise_names()!r}: exercise_named(name)",
        f"heavy = {{*{SLOW!r}}} & set(sys.modules)",
        "assert not heavy, ('exercises', heavy)",
    ]
    run_program(lines, tmp_path)


def test_a_command_says_that_it_starts_before_it_imports_torch(tmp_path):
    lines = [
        "from mnist_ddm.cli import _all_commands",
        "for name, command in _all_commands().items():",
        "    command.load()",
        "    assert 'torch' not in sys.modules, name",
    ]
    run_program(lines, tmp_path)


def test_info_imports_nothing_that_takes_seconds_and_that_it_does_not_need(tmp_path):
    run_program(found("info", ("torch", "scipy", "PIL", "jinja2")), tmp_path)


def test_what_is_named_without_an_import_is_what_there_is():
    groups = {}
    for analysis in ANALYSES.values():
        groups.setdefault(analysis.group, []).append(analysis.id)
    assert groups == {group: list(names) for group, names in SHIPPED.items()}
    assert grammar._STRATEGIES.keys() == spellings.STRATEGIES.keys()
    assert grammar._MODIFIERS.keys() == spellings.MODIFIERS.keys()
    assert {name: solver.order for name, solver in SOLVERS.items()} == spellings.SOLVERS
    assert may_have_accelerator() or list(available_devices()) == ["cpu"]


def test_quantiles_are_those_of_scipy_stats_to_the_last_bit():
    shares = [1e-12, 0.00625, 0.025, 0.5, 0.8, 0.975, 0.99375]
    for share in shares:
        assert normal_quantile(share) == stats.norm.ppf(share)
        assert -normal_quantile(share) == stats.norm.isf(share)
        for freedom in (1, 2, 3, 7.25, 49, 999, 19999):
            assert student_quantile(share, freedom) == stats.t.ppf(share, freedom)
        for a, b in ((1, 1), (3, 48), (0.5, 49.5), (1.7, 12.3), (250, 251)):
            assert beta_quantile(share, a, b) == stats.beta.ppf(share, a, b)
    for value in np.linspace(-9, 9, 101):
        assert normal_share(value) == stats.norm.cdf(value)
        assert normal_share(-value) == stats.norm.sf(value)


def test_every_observable_keeps_as_many_numbers_as_it_says():
    """What an estimate of disk rests on, without a look at any state; the numbers depend on K and on a state's size."""
    pool = load()
    only_noised = {"target-errors"}
    kept = sample(pool, Sampling("full", 2, steps=2), tuple(OBSERVABLES.keys() - only_noised)).observed
    kept |= sample(pool, Noising("full", 2), tuple(only_noised)).observed
    assert kept.keys() == OBSERVABLES.keys()
    d = int(np.prod(pool.state_shape))
    for name, values in kept.items():
        assert values[0, 0].numel() == OBSERVABLES[name].numbers(pool.n_experts, d), name
