"""Several trainings of one system as one run: their tables joined, with intervals over trainings and samples.

How cells are joined follows from what their column says that its numbers are (`tables.table.Kind`). Each training has
an ordinary run folder of its own below `TRAININGS`; the run above holds what they say together, and can be made from
them again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mnist_ddm.analyses.analysis import Answer
from mnist_ddm.analyses.registry import known_analyses
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series, read_plot
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.stats.levels import Levels, over_trainings, over_values
from mnist_ddm.storage.names import inside
from mnist_ddm.study.folder import PLOTS, RESULTS
from mnist_ddm.study.results import read_manifest
from mnist_ddm.tables.files import read_table
from mnist_ddm.tables.table import PERCENT, Column, Kind, Row, Schema, Table, Value

TRAININGS = "trainings"
"""The folder of the trainings' own runs, each under its number, from 1."""
SPREAD = (
    Column("table", "table", "key"),
    Column("row", "row", "key"),
    Column("column", "column", "key"),
    Column("mean", "mean", "note"),
    Column("between", "sd between trainings", "note"),
    Column("within", "standard error from samples", "note"),
    Column("share", "share of the variance that is training", "measure", "%", kind=PERCENT),
)
"""Columns of the table ANALYSIS-trainings."""


def training_folders(folder: Path, count: int) -> list[Path]:
    """Where the runs of so many trainings are."""
    return [folder / TRAININGS / str(i + 1) for i in range(count)]


def joined_answer(folders: Sequence[Path], analysis: str) -> Answer:
    """What an analysis says over several trainings, from the run of each.

    Raises:
        InputError: if a training's run is not whole, or could not answer it.
    """
    entries = []
    for folder in folders:
        manifest = read_manifest(folder)
        if analysis not in manifest.analyses:
            why = manifest.absent.get(analysis, "it was not asked")
            raise InputError(f"the training {folder.name} has no answer to {analysis}: {why}")
        entries.append(manifest.analyses[analysis])
    known = known_analyses().get(analysis)
    declared = {schema.name: schema for schema in (*known.tables, *known.own_tables)} if known else {}
    tables: list[Table] = []
    spreads: list[Row] = []
    for name in entries[0].tables:
        of_each = [read_table(inside(f, f"{RESULTS}/{name}.json")) for f in folders]
        table, spread = joined_table(of_each, declared.get(name))
        tables.append(table)
        spreads += spread
    if spreads:
        notes = (
            f"mean of {len(folders)} trainings. share: what samples do not explain of the variance between them, "
            "with the interval of a variance of so few. Of ratios sd and standard error are those of the logarithm.",
        )
        tables.append(Table(Schema(f"{analysis}-trainings", SPREAD), "How far trainings differ", tuple(spreads), notes))
    plots = [joined_plot([read_plot(inside(f, f"{PLOTS}/{name}.json")) for f in folders]) for name in entries[0].plots]
    return Answer(tuple(tables), tuple(plot for plot in plots if plot is not None))


def joined_table(tables: Sequence[Table], declared: Schema | None = None) -> tuple[Table, list[Row]]:
    """What tables say together in the rows that all of them have, and how far the trainings differ in each measure.

    Args:
        tables: of the trainings.
        declared: what the columns are; files do not tell the kind of numbers.

    Raises:
        KeyError: if a table has a column that is not declared.
    """
    first, declared = tables[0], declared or tables[0].schema
    keys = [column.key for column in first.schema.keys]
    others = [{_name(row, keys): row for row in table.rows} for table in tables[1:]]
    rows: list[Row] = []
    spreads: list[Row] = []
    largest: set[str] = set()
    for row in first.rows:
        name = _name(row, keys)
        if not all(name in table for table in others):
            continue
        of_each = [row, *(table[name] for table in others)]
        joined: dict[str, Value] = {}
        for column in first.columns:
            values, kind = [r.get(column.key) for r in of_each], declared.kind(column.key, row)
            levels = _levels(values, kind) if column.role == "measure" and kind.averages else None
            joined[column.key] = _joined(values, kind) if levels is None else kind.kept(levels.estimate)
            if levels is not None:
                spreads.append(_spread(first.name, ", ".join(map(str, name)), column.key, levels))
            if not kind.averages and joined[column.key] is not None:
                largest.add(column.key)
        rows.append(joined)
    notes = (
        f"Means of {len(tables)} trainings; intervals hold both trainings and samples.",
        *(["Of p-values the largest of the trainings': their mean says nothing."] if largest else []),
    )
    return replace(first, rows=tuple(rows), notes=(*notes, *first.notes)), spreads


def _name(row: Row, keys: Sequence[str]) -> tuple[Value, ...]:
    return tuple(row.get(key) for key in keys)


def _levels(values: Sequence[Value], kind: Kind) -> Levels | None:
    """Over trainings, if each has a number; as logarithms where they are put together so, and all are positive."""
    estimates = [v for v in values if isinstance(v, Estimate) and not math.isnan(v.value)]
    if len(estimates) == len(values):
        if not kind.as_logarithms or min(e.value for e in estimates) <= 0:
            return over_trainings(estimates)
        levels = over_trainings([_mapped(e, lambda end: math.log(end) if end > 0 else -math.inf) for e in estimates])
        return replace(levels, estimate=_mapped(levels.estimate, math.exp))
    numbers = [float(v) for v in values if isinstance(v, int | float) and not math.isnan(v)]
    if len(numbers) < len(values):
        return None
    if not kind.as_logarithms or min(numbers) <= 0:
        return over_values(numbers)
    levels = over_values([math.log(number) for number in numbers])
    return replace(levels, estimate=_mapped(levels.estimate, math.exp))


def _mapped(estimate: Estimate, function: Callable[[float], float]) -> Estimate:
    """An estimate on another scale; an end that is not given stays so."""
    low, high = (end if math.isnan(end) else function(end) for end in (estimate.low, estimate.high))
    return replace(estimate, value=function(estimate.value), low=low, high=high)


def _joined(values: Sequence[Value], kind: Kind) -> Value:
    """What is no measure: the same of all, the mean of numbers or the largest, nothing of what differs otherwise."""
    if all(value == values[0] for value in values):
        return values[0]
    if not kind.averages:
        return None if None in values else max(values, key=_size)
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else None


def _size(value: Value) -> float:
    """That of a number; one that a table only bounds, such as `< 1e-300`, is below every other."""
    return float(value) if isinstance(value, int | float) else value.value if isinstance(value, Estimate) else -math.inf


def _spread(table: str, row: str, column: str, levels: Levels) -> Row:
    told: Mapping[str, float] = {"between": levels.between, "within": levels.within}
    cells: Row = {key: None if math.isnan(value) else value for key, value in told.items()}
    told_share = None
    if not math.isnan(levels.share.value):
        told_share = Estimate(*(100 * end for end in (levels.share.value, levels.share.low, levels.share.high)))
    return {"table": table, "row": row, "column": column, "mean": levels.estimate.value, **cells, "share": told_share}


def joined_plot(plots: Sequence[Plot]) -> Plot | None:
    """The means of lines and bars at equal places; nothing for clouds of samples, which have no such places."""
    first = plots[0]
    if first.kind not in ("lines", "bars"):
        return None
    series = [_joined_series([p.series[i] for p in plots]) for i in range(min(len(p.series) for p in plots))]
    whole = tuple(s for s in series if s is not None)
    return replace(first, title=f"{first.title}, {len(plots)} trainings", series=whole) if whole else None


def _joined_series(series: Sequence[Series]) -> Series | None:
    first = series[0]
    if any((s.label, list(s.x)) != (first.label, list(first.x)) for s in series):
        return None
    ends = [zip(s.low, s.high, strict=True) if s.low and s.high else None for s in series]
    if any(end is None for end in ends):
        estimates = [over_values(ys).estimate for ys in zip(*(s.y for s in series), strict=True)]
    else:
        each = [
            [Estimate(y, *end) for y, end in zip(s.y, e or (), strict=True)] for s, e in zip(series, ends, strict=True)
        ]
        estimates = [over_trainings(of_place).estimate for of_place in zip(*each, strict=True)]
    low, high = [e.low for e in estimates], [e.high for e in estimates]
    known = not any(map(math.isnan, [*low, *high]))
    return replace(first, y=[e.value for e in estimates], low=low if known else None, high=high if known else None)
