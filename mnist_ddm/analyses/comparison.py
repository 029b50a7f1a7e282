"""Does stability predict quality? Table 3, Figure 3 and footnote 1 of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import (
    FID,
    REFINEMENT,
    ROUTING,
    N,
    is_field,
    mean_and_sd,
    norm_cells,
    of_norm,
    p_value,
    paper_cells,
    paper_columns,
    refinement_cells,
    refinement_note,
    with_sd,
)
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.quality import LONG, frechet_note, quality_choices, stored_floor, stored_frechet_distances
from mnist_ddm.analyses.settings import JoinedSettings
from mnist_ddm.analyses.stability import (
    STRATEGIES,
    TERM_NORMS,
    both_resolutions,
    effort_note,
    fixed_times,
    lipschitz,
    step_refinement,
    term_norms,
    visible_error,
)
from mnist_ddm.analyses.systems import distance_named, features_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Array, mean_estimate, spearman_estimate
from mnist_ddm.stats.shares import discordant_share, in_percent, smaller_share
from mnist_ddm.stats.tails import (
    heavy_mean_estimate,
    heavy_ratio_estimate,
    median_ratio_estimate,
    norm_mean_estimate,
    norm_ratio_estimate,
)
from mnist_ddm.stats.tests import rounded, spearman_p
from mnist_ddm.tables.table import CORRELATION, P_VALUE, PERCENT, RATIO, Column, Row, Schema, Table, Value

_EVERY_STEP = "expert-term"
_FEW = 20
"""Samples whose maximum over all steps is measured, since that costs a Jacobian norm at every step."""
_FOOTNOTE_ROUTING, _FOOTNOTE_N = "top2", 50
"""The routing and the number of samples of the paper's footnote 1."""
_AVERAGED = (("full", "top1"), ("full", "top2"), ("top2", "top1"))
"""Pairs of routings: the first averages over more experts than the second, which it is compared with."""
_TERMS = ("expert", "whole", "denoiser")
_DECIMALS = 3
"""Of the logarithm of a ratio of norms, which are measured to a relative error of about 0.0004. What is beyond is
noise, and most samples' norms hardly change."""

_PAPER = {
    "fid": "FID",
    "l_eff": "L_eff",
    "l_eff_sd": "L_eff sd",
    "delta_refine": "Delta_refine",
    "delta_refine_sd": "Delta_refine sd",
    "spearman": "Spearman",
}
_L_EFF_EXPERT, _L_EFF_WHOLE = Column("l_eff_expert", "L_eff expert term"), Column("l_eff_whole", "L_eff whole")
_COMPARISON = Schema(
    "routing-comparison",
    (
        ROUTING,
        FID,
        *of_norm(_L_EFF_EXPERT),
        *of_norm(_L_EFF_WHOLE),
        Column("max_t_expert", "max t * expert term", minor=True),
        Column("max_denoiser", "max denoiser", minor=True),
        *REFINEMENT,
        Column("spearman_expert", "Spearman(L_eff expert, Delta)", kind=CORRELATION),
        Column("spearman_whole", "Spearman(L_eff whole, Delta)", kind=CORRELATION),
        *paper_columns(_PAPER),
    ),
)

_MAX_EVERY_STEP = Column("max_every_step", "maximum over every step")
_STEPS = Schema(
    "routing-comparison-every-step",
    (
        ROUTING,
        N,
        *with_sd(_MAX_EVERY_STEP),
        Column("median_t", "median t of the maximum"),
        Column("last_inverse_t", "1/t at the last step", "note"),
        Column("max_tenths", "maximum over t = 0.9, ..., 0.1"),
    ),
)

_CHAIN = Schema(
    "averaging-chain",
    (
        Column("more", "averages more", "key", accepts=is_field),
        Column("fewer", "against", "key", accepts=is_field),
        *(Column(f"l_eff_{term}_ratio", f"L_eff {term}, ratio", kind=RATIO) for term in _TERMS),
        *(
            Column(
                f"l_eff_{term}_ratio_median", f"L_eff {term}, median of the samples' ratios", kind=RATIO, optional=True
            )
            for term in _TERMS
        ),
        Column("delta_refine_ratio", "Delta_refine, ratio", kind=RATIO),
        Column(
            "fails_less", "only the other has a visible Delta_refine, of those in which one has", unit="%", kind=PERCENT
        ),
        Column("smaller", "smaller Delta_refine", unit="%", kind=PERCENT),
        Column("spearman_change", "Spearman(change of L_eff whole, change of Delta)", kind=CORRELATION),
    ),
)

_PAPER_FOOTNOTE = {"spearman": "Spearman", "p": "p"}
_FOOTNOTE = Schema(
    "router-term-correlation",
    (
        ROUTING,
        Column("samples", "samples", "key", values={"all": "all", "as_paper": "as many as the paper's"}),
        N,
        Column("spearman", "Spearman(router term, Delta)", kind=CORRELATION),
        Column("p", "p", "note", kind=P_VALUE),
        *paper_columns(_PAPER_FOOTNOTE),
    ),
)


@final
class RoutingComparison(Analysis[JoinedSettings]):
    r"""The sensitivity :math:`L_{eff}`, the refinement error :math:`\Delta_{refine}` and the FID of each routing.

    :math:`L_{eff}` is the maximum of a Jacobian's spectral norm over t = 0.9, ..., 0.1, the same times for every
    routing and number of steps: a pixel that never varies has a velocity of slope 1 / t, so a maximum over all steps
    measures the step size. The paper's own maximum is given beside it.
    """

    id = "routing-comparison"
    group = "sensitivity"
    question = "Does stability predict quality? (Table 3, Figure 3)"
    tables = (_COMPARISON, _STEPS, _CHAIN, _FOOTNOTE)
    compares = True
    sizes = Sizes(
        small=JoinedSettings(n=4, steps=4, quality_n=16, quality_steps=10),
        medium=JoinedSettings(n=50, quality_n=200),
        full=JoinedSettings(n=1000),
    )

    def needs(self, pool: ExpertPool, settings: JoinedSettings) -> tuple[Need, ...]:
        distance_named(pool, settings.distance)
        features_named(pool, settings.features)
        names = settings.compared(pool, STRATEGIES)
        norms = [need for r in names for need in both_resolutions(settings.sampling(r), TERM_NORMS)]
        few = [Need(_few(settings, r), (_EVERY_STEP,)) for r in names]
        choices = quality_choices(pool, settings, names).values()
        return (*norms, *few, *(Need(sampling, optional=True) for several in choices for sampling in several))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: JoinedSettings) -> Answer:
        names, paper = settings.compared(pool, STRATEGIES), paper_values(self.id, pool.in_paper)
        recorded = {r: recordings[settings.sampling(r)] for r in names}
        norms = {r: term_norms(recording) for r, recording in recorded.items()}
        times = fixed_times(recorded[names[0]])
        distance = distance_named(pool, settings.distance)
        error = {r: step_refinement(pool, recordings, settings.sampling(r), distance) for r in names}
        event = visible_error(pool, recorded[names[0]], distance)
        choices = quality_choices(pool, settings, names)
        quality, quality_n = stored_frechet_distances(pool, recordings, choices, settings.features)
        least = min(settings.quality_n or LONG, settings.n)
        notes = (
            "L_eff: maximum over t = 0.9, ..., 0.1 of the expert term (the only reading that fits the paper's Table 3) "
            "and of the whole Jacobian (the paper's definition). A pixel that never varies alone makes it 1/t: "
            f"{1 / times.min():.3g} at the last of these times.",
            f"Delta_refine: {distance.name} distance of the images after {settings.steps} and {2 * settings.steps} "
            "steps from the same noise.",
            refinement_note(event),
            frechet_note(quality_n, settings.quality_steps, least, stored_floor(pool, settings.features, quality_n)),
            *_orders({r: float(values.mean()) for r, values in error.items()}, quality),
            effort_note(list(recorded.values())),
        )
        title = f"Sensitivity and quality by routing, n = {settings.n}; paper: {paper['place']}"
        rows = tuple(_row(r, norms[r], error[r], event, quality, times, paper.get(r, {})) for r in names)
        every = tuple(_every_step(r, recordings[_few(settings, r)], norms[r]) for r in names)
        tables = [Table(_COMPARISON, title, rows, notes), _every_step_table(every)]
        if pairs := [pair for pair in _AVERAGED if set(pair) <= set(names)]:
            tables.append(_chain(pairs, norms, error, event))
        if _FOOTNOTE_ROUTING in names:
            tables.append(
                _footnote(norms[_FOOTNOTE_ROUTING]["router"], error[_FOOTNOTE_ROUTING], paper.get("footnote", {}))
            )
        return Answer(tuple(tables), _plots(norms, error, event, quality))


def _few(settings: JoinedSettings, routing: str) -> Sampling:
    return replace(settings.sampling(routing), n=min(_FEW, settings.n))


def _row(
    routing: str,
    norms: Mapping[str, Array],
    error: Array,
    event: float,
    quality: Mapping[str, float],
    times: Array,
    paper: Mapping[str, Value],
) -> Row:
    expert, whole = lipschitz(norms["expert"]), lipschitz(norms["whole"])
    return {
        "routing": routing,
        "fid": quality.get(routing),
        **norm_cells(_L_EFF_EXPERT, expert),
        **norm_cells(_L_EFF_WHOLE, whole),
        "max_t_expert": norm_mean_estimate(lipschitz(times * norms["expert"])),
        "max_denoiser": norm_mean_estimate(lipschitz(norms["denoiser"])),
        **refinement_cells(error, event),
        "spearman_expert": spearman_estimate(expert, error),
        "spearman_whole": spearman_estimate(whole, error),
        **paper_cells(paper, _PAPER),
    }


def _every_step(routing: str, recording: Recording, norms: Mapping[str, Array]) -> Row:
    values = recording.observed[_EVERY_STEP][..., 0].double().numpy()
    n = len(values)
    return {
        "routing": routing,
        "n": n,
        **mean_and_sd(_MAX_EVERY_STEP, lipschitz(values)),
        "median_t": float(np.median(recording.times.numpy()[values.argmax(axis=1)])),
        "last_inverse_t": float(1 / recording.times[-1]),
        "max_tenths": mean_estimate(lipschitz(norms["expert"][:n])),
    }


def _every_step_table(rows: tuple[Row, ...]) -> Table:
    notes = (
        "Where a pixel never varies an exact field has a norm of at least 1/t, so the maximum measures the number of "
        "steps; a trained field can stay below that.",
    )
    return Table(_STEPS, "The maximum over every step of the expert term: the paper's wording", rows, notes)


def _orders(error: Mapping[str, float], quality: Mapping[str, float]) -> list[str]:
    """The question of the table in two lists, if both are known."""
    known = [r for r in error if r in quality]
    if len(known) < 2:
        return []
    steady, good = (", ".join(sorted(known, key=lambda r: by[r])) for by in (error, quality))
    return [f"Smallest mean Delta_refine first: {steady}. Smallest FID first: {good}."]


def _chain(
    pairs: Sequence[tuple[str, str]],
    norms: Mapping[str, Mapping[str, Array]],
    error: Mapping[str, Array],
    event: float,
) -> Table:
    rows: list[Row] = []
    for more, fewer in pairs:
        largest = {(r, term): lipschitz(norms[r][term]) for r in (more, fewer) for term in _TERMS}
        ratios = {f"l_eff_{t}_ratio": norm_ratio_estimate(largest[more, t], largest[fewer, t]) for t in _TERMS}
        medians = {
            f"l_eff_{t}_ratio_median": median_ratio_estimate(largest[more, t], largest[fewer, t]) for t in _TERMS
        }
        change = np.log(largest[more, "whole"] / largest[fewer, "whole"]).round(_DECIMALS).astype(np.float64)
        rows.append(
            {
                "more": more,
                "fewer": fewer,
                **ratios,
                **medians,
                "delta_refine_ratio": heavy_ratio_estimate(error[more], error[fewer], event),
                "fails_less": in_percent(discordant_share(error[fewer] > event, error[more] > event)),
                "smaller": in_percent(smaller_share(error[more], error[fewer])),
                "spearman_change": spearman_estimate(change, _apart(error[more], error[fewer])),
            }
        )
    notes = (
        "Section 4.1: averaging lowers the variance of velocities (analysis averaging-variance), that lowers the "
        "Jacobian, that lowers Delta_refine. A ratio of means under 1 is what the second and the third link expect.",
        "Of means of few events a ratio has an interval only where both have enough of them (of norms: above twice the "
        "median); the median of the samples' ratios has one without. Of errors pairs from the same noise decide: in "
        "which only one has a visible error (McNemar's test), and which error is the smaller one (sign test). Above "
        "50% the first routing is steadier.",
        "The last column asks the third link of each sample: where averaging lowered the norm more, did it lower "
        "Delta_refine more? Expected: positive.",
    )
    title = "Section 4.1's chain of claims: averaging, the Jacobian and the refinement error"
    return Table(_CHAIN, title, tuple(rows), notes)


def _apart(more: Array, fewer: Array) -> Array:
    """The difference of two errors, 0 where only rounding tells them apart, as `smaller_share` has it."""
    return np.asarray(np.where(rounded(more) == rounded(fewer), 0.0, more - fewer), dtype=np.float64)


def _footnote(router: Array, error: Array, paper: Mapping[str, Value]) -> Table:
    largest = lipschitz(router)
    rows: tuple[Row, ...] = tuple(
        {
            "routing": _FOOTNOTE_ROUTING,
            "samples": samples,
            "n": n,
            "spearman": spearman_estimate(largest[:n], error[:n]),
            "p": p_value(spearman_p(largest[:n], error[:n])),
            **paper_cells(paper, _PAPER_FOOTNOTE),
        }
        for samples, n in (("all", len(error)), ("as_paper", min(_FOOTNOTE_N, len(error))))
    )
    beside = "; paper: footnote 1, on Paris" if paper else ""
    title = f"The router term's maximum against Delta_refine{beside}"
    return Table(_FOOTNOTE, title, rows)


def _plots(
    norms: Mapping[str, Mapping[str, Array]], error: Mapping[str, Array], event: float, quality: Mapping[str, float]
) -> tuple[Plot, ...]:
    names = list(norms)
    points = tuple(Series(r, lipschitz(norms[r]["expert"]).tolist(), error[r].tolist()) for r in names)
    means = [heavy_mean_estimate(error[r], event) for r in names]
    plots = [
        Plot(
            "sensitivity-and-refinement",
            "points",
            "Each sample: sensitivity and refinement error",
            "L_eff, expert term",
            "Delta_refine",
            points,
            logarithmic=True,
        ),
        Plot(
            "refinement-error",
            "bars",
            "Refinement error by routing (mean, 95% interval)",
            "routing",
            "Delta_refine",
            (Series("", names, [e.value for e in means], [e.low for e in means], [e.high for e in means]),),
        ),
    ]
    if quality:
        known = [r for r in names if r in quality]
        plots.append(
            Plot(
                "stability-and-quality",
                "points",
                "Stability and quality by routing (both: lower is better)",
                "mean Delta_refine",
                "FID",
                tuple(Series(r, [float(error[r].mean())], [quality[r]]) for r in known),
                logarithmic=True,
            )
        )
    return tuple(plots)
