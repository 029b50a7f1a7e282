"""Asking questions of a system from a notebook or a script: tables and plots shown in place.

>>> pool = load_system("gaussian")
>>> show(ask(pool, "expert-deviation", n=64, steps=20))
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_ddm.analyses.analysis import Answer
from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.errors import InputError
from mnist_ddm.figures.draw import save_plot
from mnist_ddm.figures.samples import save_samples
from mnist_ddm.storage.door import read_bytes
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.tables.table import Schema, Table
from mnist_ddm.tables.terminal import to_rich

_WIDTH = 110


def ask(pool: ExpertPool, *analyses: str, **choices: Any) -> list[Answer]:
    """Ask some analyses of a system and keep nothing on disk; what they share is computed once.

    Args:
        pool: the system.
        analyses: their names, as `mnist-ddm info` lists them.
        choices: as of `Study`: ``n``, ``steps``, ``seed``, ``scale``, ...

    Returns:
        What each of them says, in their order.

    Raises:
        InputError: if there is no such analysis, or the system cannot answer it.
    """
    with scratch_folder("notebook") as folder:
        study = Study(pool, analyses, store=RecordingStore(folder), **choices)
        for why in study.absent.values():
            raise InputError(why)
        return list(study.run().values())


def show(answers: Sequence[Answer], *names: str, columns: Sequence[str] = ()) -> None:
    """Print the tables, and in a notebook show the plots as well.

    Args:
        answers: of `ask`.
        names: of the tables and plots to show; all if there are none.
        columns: keys of the columns to show, where tables have them; all if there are none.
    """
    console = Console(width=_WIDTH, highlight=False)
    for answer in answers:
        for table in answer.tables:
            if not names or table.name in names:
                shown = _with_columns(table, columns)
                if shown.columns:
                    console.print(to_rich(shown, _WIDTH))
        for plot in answer.plots:
            if not names or plot.name in names:
                with _picture() as path:
                    if path is not None:
                        save_plot(plot, [path], {})


def show_samples(pool: ExpertPool, recording: Recording) -> None:
    """In a notebook show the samples of a recording: images as a grid, points of the plane as a scatter.

    Raises:
        InputError: if the system cannot draw its samples.
    """
    with _picture() as path:
        if path is not None:
            save_samples(pool, recording.final, path, {})


def _with_columns(table: Table, keys: Sequence[str]) -> Table:
    if not keys:
        return table
    kept = tuple(c for c in table.schema.columns if c.key in keys)
    rows = tuple({c.key: row[c.key] for c in kept if c.key in row} for row in table.rows)
    return replace(table, schema=Schema(table.name, kept), rows=rows)


def table_named(answers: Sequence[Answer], name: str) -> Table:
    """One table of some answers.

    Raises:
        KeyError: if there is none of that name.
    """
    return {table.name: table for answer in answers for table in answer.tables}[name]


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
    with scratch_folder("notebook") as folder:
        path = folder / "picture.png"
        yield path
        display(Image(data=read_bytes(path), width=720))
