"""The picture of the paper's thesis: stability against quality by strategy, here and as the paper states it."""

from collections.abc import Mapping

from mnist_ddm.analyses.paper import PARIS, stated_value
from mnist_ddm.analyses.within import FID_BALANCED, WITHIN
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.figures.palette import routing_label
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Value
from mnist_ddm.tables.terminal import shown_value

_ROUTINGS = ("top1", "top2", "top4", "full")
"""The routings that the sentence of `stability` is about: ways to join experts, of which the monolith has none."""
_WITHIN = (WITHIN.name, FID_BALANCED.key)
_X, _Y = "mean Delta_refine (stability; lower is steadier)", "FID (quality; lower is better)"


def points(results: Results, table: str = "quality", column: str = "fid") -> dict[str, tuple[Estimate, float]]:
    """For each routing its refinement error and its Frechet distance, where both were measured.

    Args:
        results: of a run.
        table: that has the distance.
        column: of the distance, a number or an estimate.
    """
    if not {"routing-comparison", table} <= results.tables.keys():
        return {}
    stable = _by_routing(results, "routing-comparison", "delta_refine")
    good = {name: _value(fid) for name, fid in _by_routing(results, table, column).items()}
    return {
        name: (error, float(fid))
        for name, error in stable.items()
        if isinstance(error, Estimate) and isinstance(fid := good.get(name), int | float)
    }


def _by_routing(results: Results, table: str, column: str) -> dict[str, Value]:
    return {str(row["routing"]): row.get(column) for row in results.tables[table].rows}


def here(results: Results) -> Plot | None:
    """The plot of a run; ``None`` if it did not measure both."""
    return _plot("dissociation", f"Stability and quality by routing, {results.system}", points(results))


def within_classes(results: Results) -> Plot | None:
    """The same with every class at its share of the data; ``None`` where classes are not known."""
    title = f"The same with the classes' shares put right, {results.system}"
    return _plot("dissociation-within", title, points(results, *_WITHIN))


def _plot(name: str, title: str, both: Mapping[str, tuple[Estimate, float]]) -> Plot | None:
    if len(both) < 2:
        return None
    series = tuple(Series(name, [error.value], [fid], [error.low], [error.high]) for name, (error, fid) in both.items())
    positive = all(error.value > 0 and fid > 0 for error, fid in both.values())
    return Plot(name, "points", title, _X, _Y, series, logarithmic=positive)


def in_the_paper(results: Results) -> Plot | None:
    """The same of the paper's Table 3, whose FIDs are of other models than its sensitivities.

    ``None`` beside data that are not in the paper.
    """
    if not results.in_paper:
        return None
    series = []
    for name in _ROUTINGS:
        error, fid = (
            _number(stated_value("routing-comparison", PARIS, f"{name}:{c}")[0]) for c in ("Delta_refine", "FID")
        )
        if error is not None and fid is not None:
            series.append(Series(name, [error], [fid]))
    title = "Stability and quality by routing, the paper's Table 3 (FIDs of other models)"
    return Plot("dissociation-paper", "points", title, _X, _Y, tuple(series))


def stability(results: Results) -> str:
    """What the run says of the thesis that the most stable routing is the worst, in a sentence."""
    measured = points(results)
    routed = {name: both for name, both in measured.items() if name in _ROUTINGS}
    if len(routed) < 2:
        return "Stability against quality was not measured: the run lacks one of the two."
    steady = min(routed, key=lambda name: routed[name][0].value)
    order = sorted(routed, key=lambda name: routed[name][1])
    place = {order[0]: "the best", order[-1]: "the worst"}.get(steady, "neither the best nor the worst")
    whole = measured.get(MONOLITH)
    steadier = whole is not None and whole[0].value < routed[steady][0].value
    beside = " (the monolith, which routes nothing, is steadier still)" if steadier else ""
    return (
        "The paper's steadiest routing, Full, has its worst FID; here the steadiest routing is "
        f"{routing_label(steady)}{beside}, and it has {place} FID "
        f"(best first: {', '.join(map(routing_label, order))})."
    )


def shares(results: Results) -> str:
    """What of the order by quality is left within classes, in a sentence; empty where classes are not known."""
    apart, whole = _distances(results, *_WITHIN), _distances(results, "quality", "fid")
    if len(apart) < 2 or whole.keys() != apart.keys():
        return ""
    before, after = (sorted(fids, key=lambda name: fids[name]) for fids in (whole, apart))
    order = ", ".join(map(routing_label, after))
    told = "the same" if before == after else "another"
    return (
        "A FID is also large where good images come in the wrong numbers: with every class at its share of the data "
        f"the order is {told} ({order}), and best and worst FID are {apart[after[0]]:.3g} and {apart[after[-1]]:.3g}, "
        f"instead of {whole[before[0]]:.3g} and {whole[before[-1]]:.3g}."
    )


def _distances(results: Results, table: str, column: str) -> dict[str, float]:
    """The Frechet distance of each of `_ROUTINGS` that was measured."""
    if table not in results.tables:
        return {}
    found = {name: _value(fid) for name, fid in _by_routing(results, table, column).items() if name in _ROUTINGS}
    return {name: float(fid) for name, fid in found.items() if isinstance(fid, int | float)}


def alignment(results: Results) -> str:
    """What the run says of whether the experts that are selected are the fitting ones, in a sentence."""
    table = results.tables.get("expert-deviation-references")
    target = next(table.select(reference="target"), None) if table is not None else None
    gain = target.get("reduction") if target is not None else None
    if target is None or not isinstance(gain, Estimate):
        return "Alignment of selected experts with the data was not measured in this run."
    selected, others = (shown_value(_value(target.get(key))) for key in ("selected", "non_selected"))
    said = f"on held-out states the selected experts' error is {selected} and the others' {others}"
    open_ended = "no better, as far as this can tell,"
    better = "better" if gain.low > 0 else "worse" if gain.high < 0 else open_ended
    return f"Selected experts fit the data {better} than the others: {said} (difference {shown_value(gain)})."


def _value(value: Value) -> Value:
    """The number without its interval."""
    return value.value if isinstance(value, Estimate) else value


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None
