"""Columns that many tables share."""

from collections.abc import Mapping, Sequence

from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.routing import parse_routing
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, mean_estimate, share_estimate
from mnist_ddm.stats.shares import in_percent, share_change
from mnist_ddm.stats.summaries import sd
from mnist_ddm.stats.tails import (
    MIN_EVENTS,
    heavy_mean_estimate,
    median_estimate,
    median_ratio_estimate,
    norm_mean_estimate,
    norm_ratio_estimate,
)
from mnist_ddm.tables.table import PERCENT, RATIO, Column, Value


def is_field(name: str) -> bool:
    """Whether a name spells a routing or the monolith."""
    try:
        return name == MONOLITH or bool(parse_routing(name))
    except InputError:
        return False


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


ROUTING = Column("routing", "routing", "key", accepts=is_field)
TIME = Column("t", "t", "key", accepts=is_number)
N = Column("n", "n", "note")
FID = Column("fid", "FID")


def with_sd(column: Column) -> tuple[Column, Column]:
    """A measure, and beside it its standard deviation over samples."""
    return column, Column(f"{column.key}_sd", f"{column.title} sd", "note", column.unit)


def of_paper(key: str, title: str, unit: str = "") -> Column:
    """What the paper states for a measure."""
    return Column(f"paper_{key}", f"paper {title}", "paper", unit, optional=True)


def p_value(p: float) -> str | float:
    """A p-value for a table: one that is too small for a float is not 0."""
    return p if p != 0 else "< 1e-300"


YES_NO = {"yes": "yes", "no": "no"}
"""The values of a key that says whether something is so."""

L_EFF = Column("l_eff", "L_eff")
DELTA_REFINE = Column("delta_refine", "Delta_refine")
REFINEMENT = (
    DELTA_REFINE,
    Column("delta_refine_sd", "Delta_refine sd", "note"),
    Column("delta_refine_median", "median Delta_refine"),
    Column("delta_refine_visible", "visible Delta_refine", unit="%", kind=PERCENT),
)
"""The refinement error, which is nearly nothing for most samples and much for a few: its mean, whose interval is given
only where enough events carry it, its median, and the share of samples in which it can be seen."""


L_EFF_RATIO = Column("l_eff_ratio", "L_eff, ratio to Full", kind=RATIO)
L_EFF_RATIO_MEDIAN = Column(
    "l_eff_ratio_median", "L_eff, median of the samples' ratios to Full", kind=RATIO, optional=True
)
VISIBLE_CHANGE = Column("visible_change", "visible Delta_refine, minus Full's", unit="points")
"""Against the full ensemble, paired by noise: what the two columns of cells that they are of differ by says less."""


def against_full(l_eff: Array, full_l_eff: Array, error: Array, full_error: Array, event: float) -> dict[str, Value]:
    """The cells of `L_EFF_RATIO`, its median and `VISIBLE_CHANGE`, from one number for each sample."""
    return {
        L_EFF_RATIO.key: norm_ratio_estimate(l_eff, full_l_eff),
        L_EFF_RATIO_MEDIAN.key: median_ratio_estimate(l_eff, full_l_eff),
        VISIBLE_CHANGE.key: in_percent(share_change(error > event, full_error > event)),
    }


def number_key(key: str, title: str, among: Sequence[float] = ()) -> Column:
    """A key whose values are numbers, those of ``among`` alone if there are any."""
    return Column(key, title, "key", accepts=lambda text: is_number(text) and (not among or float(text) in among))


def mean_and_sd(column: Column, values: Array) -> dict[str, Value]:
    """The cells of the two columns of `with_sd`, from one number for each sample."""
    return {column.key: mean_estimate(values), f"{column.key}_sd": sd(values)}


def of_norm(column: Column) -> tuple[Column, ...]:
    """A norm, whose mean has an interval only where enough large ones carry it; its standard deviation and median."""
    return *with_sd(column), Column(f"{column.key}_median", f"median {column.title}", optional=True)


def norm_cells(column: Column, values: Array) -> dict[str, Value]:
    """The cells of the columns of `of_norm`, from one number for each sample."""
    mean, median = norm_mean_estimate(values), median_estimate(values)
    return {column.key: mean, f"{column.key}_sd": sd(values), f"{column.key}_median": median}


def refinement_cells(error: Array, event: float) -> dict[str, Value]:
    """The cells of `REFINEMENT`, from one error for each sample and the size from which it counts as an event."""
    return {
        "delta_refine": heavy_mean_estimate(error, event),
        "delta_refine_sd": sd(error),
        "delta_refine_median": median_estimate(error),
        "delta_refine_visible": in_percent(share_estimate(error > event)),
    }


def refinement_note(event: float) -> str:
    """What the columns of `REFINEMENT` are."""
    return (
        f"visible: share of samples whose Delta_refine is above {event:.3g}, a twentieth of the median distance of two "
        f"different samples. The mean is that of few events, so it has an interval only where at least {MIN_EVENTS} "
        "are visible."
    )


def paper_columns(names: Mapping[str, str]) -> tuple[Column, ...]:
    """Columns of what the paper states: for each key the name that `paper.toml` and people have for it."""
    return tuple(of_paper(key, name) for key, name in names.items())


def paper_cells(stated: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    """The cells of `paper_columns` in one row; empty where the paper states nothing."""
    return {f"paper_{key}": stated.get(name) for key, name in names.items()}
