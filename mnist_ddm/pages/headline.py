"""The picture of the paper's thesis: stability against quality by routing, here and as the paper states it."""

import math
from collections.abc import Mapping, Sequence

from mnist_ddm.analyses.columns import FID
from mnist_ddm.analyses.paper import PARIS, stated_value
from mnist_ddm.analyses.quality import FID_INFINITE
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
_ALL, _WITHIN = ("quality", FID.key), (WITHIN.name, FID_BALANCED.key)
_X, _Y = "mean Delta_refine (stability; lower is steadier)", "FID (quality; lower is better)"


def points(results: Results, table: str = "quality", column: str = "fid") -> dict[str, tuple[Estimate, float]]:
    """For each routing its refinement error and its Frechet distance, where both were measured and are numbers.

    Args:
        results: of a run.
        table: that has the distance.
        column: of the distance, a number or an estimate.
    """
    if not {"routing-comparison", table} <= results.tables.keys():
        return {}
    stable = _by_routing(results, "routing-comparison", "delta_refine")
    good = _numbers(results, table, column)
    return {
        name: (error, good[name])
        for name, error in stable.items()
        if isinstance(error, Estimate) and math.isfinite(error.value) and name in good
    }


def _numbers(results: Results, table: str, column: str) -> dict[str, float]:
    """What a column has for each routing, without intervals; what is not finite was not measured."""
    found = {name: _value(value) for name, value in _by_routing(results, table, column).items()}
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float) and math.isfinite(v)}


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


def quality_alone(results: Results) -> tuple[Plot, ...]:
    """The Frechet distances of a run that lacks the other side, all and within classes, those with intervals first."""
    if points(results):
        return ()
    of_all = (_ALL, ("quality", FID_INFINITE.key))
    told = next((place for place in of_all if _bars(results, *place, known=True)), of_all[0])
    title = FID_INFINITE.title if told == of_all[1] else "Frechet distance (FID)"
    within = f"The same with the classes' shares put right, {results.system}"
    found = (
        _fids("fids", f"{title} by routing, {results.system}", _bars(results, *told)),
        _fids("fids-within", within, _bars(results, *_WITHIN)),
    )
    return tuple(plot for plot in found if plot is not None)


def _bars(results: Results, table: str, column: str, known: bool = False) -> list[tuple[str, Estimate]]:
    """The distances by routing, without ends where there is no interval; nothing if those of all must be known."""
    if table not in results.tables:
        return []
    of_all = _by_routing(results, table, column)
    measured = _numbers(results, table, column)
    numbers = {name: v for name, v in of_all.items() if name in measured and isinstance(v, int | float | Estimate)}
    found = [(n, v if isinstance(v, Estimate) else Estimate(v, math.nan, math.nan)) for n, v in numbers.items()]
    return [] if known and any(math.isnan(value.low) for _, value in found) else found


def _fids(name: str, title: str, found: Sequence[tuple[str, Estimate]]) -> Plot | None:
    if len(found) < 2:
        return None
    low, high = ([getattr(value, end) for _, value in found] for end in ("low", "high"))
    ends = None if any(map(math.isnan, low)) else (low, high)
    series = Series("", [routing for routing, _ in found], [v.value for _, v in found], *(ends or (None, None)))
    return Plot(name, "bars", title, "routing", "FID (quality; lower is better)", (series,))


def in_the_paper(results: Results) -> Plot | None:
    """The same of the paper's Table 3, whose FIDs are of other models than its sensitivities.

    ``None`` beside data that are not in the paper.
    """
    if not results.in_paper:
        return None
    series = []
    for name in _ROUTINGS:
        error, fid = _stated(name, "Delta_refine"), _stated(name, "FID")
        if error is not None and fid is not None:
            series.append(Series(name, [error], [fid]))
    title = "Stability and quality by routing, the paper's Table 3 (FIDs of other models)"
    return Plot("dissociation-paper", "points", title, _X, _Y, tuple(series))


def stability(results: Results) -> str:
    """What the run says of the thesis that the most stable routing is the worst, in a sentence.

    Where classes are known, the same sentence says where that routing stands with every class at its share of the data:
    a distance alone mixes the two.
    """
    measured = points(results)
    routed = {name: both for name, both in measured.items() if name in _ROUTINGS}
    if len(routed) < 2:
        return "Stability against quality was not measured: " + (
            "the run has no step-refinement errors." if _distances(results, *_ALL) else "the run has no FIDs."
        )
    steady = min(routed, key=lambda name: routed[name][0].value)
    place = _place(steady, {name: fid for name, (_, fid) in routed.items()})
    apart = {name: fid for name, fid in _distances(results, *_WITHIN).items() if name in routed}
    within = (
        f", and with every class at its share of the data {_place(steady, apart)}"
        if steady in apart and len(apart) > 1
        else ""
    )
    whole = measured.get(MONOLITH)
    steadier = whole is not None and whole[0].value < routed[steady][0].value
    beside = " (the monolith, which routes nothing, is steadier still)" if steadier else ""
    return (
        "The paper's steadiest routing, Full, has its worst FID; here the steadiest routing is "
        f"{routing_label(steady)}{beside}, and it has {place} FID{within}."
    )


def _place(name: str, distances: Mapping[str, float]) -> str:
    """Where one of several stands, in words."""
    order = _best_first(distances)
    return {order[0]: "the best", order[-1]: "the worst"}.get(name, "neither the best nor the worst")


def order(results: Results) -> str:
    """The routings by quality, here and in the paper, in a sentence; empty where distances were not measured."""
    found = _distances(results, *_ALL)
    if len(found) < 2:
        return ""
    here = _best_first(found)
    told = f"By FID, best first, the order here is {_in_words(here, found)}"
    stated = {name: fid for name in here if (fid := _stated(name, "FID")) is not None} if results.in_paper else {}
    if len(stated) < 2:
        return f"{told}."
    theirs = _best_first(stated)
    common = [name for name in here if name in stated]
    if common == theirs:
        return f"{told}; the paper's (Table 3) is the same: {_in_words(theirs, stated)}."
    turned = f": its worst, {routing_label(theirs[-1])}, is the best of these here" if common[0] == theirs[-1] else ""
    return f"{told}; the paper's (Table 3) is {_in_words(theirs, stated)}{turned}."


def shares(results: Results) -> str:
    """What of the order by quality is left within classes, in a sentence; empty where classes are not known."""
    apart, whole = _distances(results, *_WITHIN), _distances(results, *_ALL)
    common = whole.keys() & apart.keys()
    if len(common) < 2:
        return ""
    before, after = ([name for name in _best_first(found) if name in common] for found in (whole, apart))
    told = f"the order is {_in_words(after, apart)}"
    compared = "the same" if before == after else f"instead of {_in_words(before, whole)}"
    undefined = [name for name in _best_first(whole) if name in _by_routing(results, *_WITHIN) and name not in common]
    lacking = f"; not defined for {', '.join(map(routing_label, undefined))}, whose samples lack a class"
    return (
        "A FID is also large where good samples come in the wrong numbers: with every class at its share of the data "
        f"{told}, {compared}{lacking if undefined else ''}."
    )


def _best_first(distances: Mapping[str, float]) -> list[str]:
    return sorted(distances, key=lambda name: distances[name])


def _in_words(order: Sequence[str], distances: Mapping[str, float]) -> str:
    """Routings with their distances."""
    return ", ".join(f"{routing_label(name)} {distances[name]:.3g}" for name in order)


def _distances(results: Results, table: str, column: str) -> dict[str, float]:
    """The Frechet distance of each of `_ROUTINGS` that was measured."""
    if table not in results.tables:
        return {}
    return {name: fid for name, fid in _numbers(results, table, column).items() if name in _ROUTINGS}


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


def _stated(routing: str, measure: str) -> float | None:
    """What the paper's Table 3 has."""
    value = stated_value("routing-comparison", PARIS, f"{routing}:{measure}")[0]
    return float(value) if isinstance(value, int | float) else None
