"""Asking questions of a system from a notebook or a script: everything in memory, tables and plots shown in place.

pool = load_system("gaussian")
show(ask(pool, "expert-deviation", n=64, steps=20))
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from mnist_ddm.analyses.analysis import Answer, Settings, Table
from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import sample
from mnist_ddm.figures.draw import save_png
from mnist_ddm.study.study import answer, make_plan
from mnist_ddm.tables.terminal import to_rich

_WIDTH = 110


def ask(pool: ExpertPool, *experiments: str, n: int, steps: int, seed: int = 0, solver: str = "heun") -> list[Answer]:
    """Run experiments on a system and keep everything in memory; what they share is computed once.

    Args:
        pool: the system.
        experiments: their names, as `mnist-ddm info` lists them.
        n: number of samples.
        steps: of the solver.
        seed: of the run.
        solver: `heun` or `euler`.

    Returns:
        What each of them found, in their order.

    Raises:
        InputError: if there is no such experiment, or the system cannot answer it.
    """
    chosen = Settings(n=n, steps=steps, seed=seed, solver=solver)
    analyses = {a: a.settings(chosen) for a in map(analysis_named, experiments)}
    plan = make_plan(pool, analyses)
    recordings = {run: sample(pool, run, names) for run, names in plan.observables.items()}
    return [findings for _, _, findings in answer(pool, analyses, recordings)]


def show(findings: Sequence[Answer], *names: str, columns: Sequence[str] = ()) -> None:
    """Print the tables, and in a notebook show the plots as well.

    Args:
        findings: of `ask`.
        names: of the tables and plots to show; all if there are none.
        columns: of the tables, where they have them; all if there are none.
    """
    console = Console(width=_WIDTH, highlight=False)
    for found in findings:
        for table in found.tables:
            if not names or table.name in names:
                kept = tuple(c for c in table.columns if not columns or c in columns)
                if kept:
                    console.print(*to_rich(replace(table, columns=kept), _WIDTH), sep="\n")
        for plot in found.plots:
            if not names or plot.name in names:
                with _picture() as path:
                    if path is not None:
                        save_png(plot, path, {})


def table_named(findings: Sequence[Answer], name: str) -> Table:
    """One table of what was found.

    Raises:
        KeyError: if there is none of that name.
    """
    return {table.name: table for found in findings for table in found.tables}[name]


@contextlib.contextmanager
def _picture() -> Iterator[Path | None]:
    """A file that is displayed after it was written; nothing outside a notebook."""
    try:
        from IPython import get_ipython
        from IPython.display import Image, display
    except ImportError:
        yield None
        return
    if get_ipython() is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        yield path
        display(Image(data=path.read_bytes(), width=720))
