"""The picture of the paper's thesis: stability against quality by strategy, here and as the paper states it."""

from mnist_ddm.analyses.paper import PARIS, stated_value
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Value

_ROUTINGS = ("top1", "top2", "top4", "full")
"""The routings that the sentence of `answer` is about: ways to join experts, of which the monolith has none."""
_X, _Y = "mean Delta_refine (stability; lower is steadier)", "FID (quality; lower is better)"


def points(results: Results) -> dict[str, tuple[Estimate, float]]:
    """For each routing its refinement error and its Frechet distance, where both were measured."""
    if not {"routing-comparison", "quality"} <= results.tables.keys():
        return {}
    stable = _by_routing(results, "routing-comparison", "delta_refine")
    good = _by_routing(results, "quality", "fid")
    return {
        name: (error, float(fid))
        for name, error in stable.items()
        if isinstance(error, Estimate) and isinstance(fid := good.get(name), int | float)
    }


def _by_routing(results: Results, table: str, column: str) -> dict[str, Value]:
    return {str(row["routing"]): row.get(column) for row in results.tables[table].rows}


def here(results: Results) -> Plot | None:
    """The plot of a run; ``None`` if it did not measure both."""
    both = points(results)
    if len(both) < 2:
        return None
    series = tuple(Series(name, [error.value], [fid], [error.low], [error.high]) for name, (error, fid) in both.items())
    positive = all(error.value > 0 and fid > 0 for error, fid in both.values())
    title = f"Stability and quality by routing, {results.system}"
    return Plot("dissociation", "points", title, _X, _Y, series, logarithmic=positive)


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


def answer(results: Results) -> str:
    """What the run says of the thesis that the most stable routing is the worst, in a few sentences."""
    thesis = "The paper says that the full ensemble is the most stable routing and has the worst FID."
    measured = {name: both for name, both in points(results).items() if name in _ROUTINGS}
    if len(measured) < 2:
        return f"{thesis} This run did not measure both stability and quality."
    steady = min(measured, key=lambda name: measured[name][0].value)
    by_quality = sorted(measured, key=lambda name: measured[name][1])
    order = ", ".join(by_quality)
    if by_quality[0] == steady:
        said = f"Here the most stable routing, {steady}, also has the best FID"
    elif by_quality[-1] == steady:
        said = f"Here too the most stable routing, {steady}, has the worst FID"
    else:
        said = f"Here the most stable routing, {steady}, has neither the best nor the worst FID"
    doubt = "" if results.makes_claims else " With so few samples this is an illustration and no finding."
    return f"{thesis} {said} (best first: {order}; point values, the verdicts say what the intervals carry).{doubt}"


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None
