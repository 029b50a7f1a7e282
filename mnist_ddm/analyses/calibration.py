"""Is the router calibrated? What theory needs for the full ensemble to be good (McAllister et al. 2025)."""

from collections.abc import Mapping
from typing import final

import numpy as np
from scipy.special import log_softmax

from mnist_ddm.analyses.analysis import Analysis, Answer, Need
from mnist_ddm.analyses.columns import TIME
from mnist_ddm.analyses.settings import NoisingSettings
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.figures.plot import Plot, Series, banded
from mnist_ddm.metrics.calibration import BINS, calibration_estimate, reliability
from mnist_ddm.stats.intervals import Array, mean_estimate
from mnist_ddm.tables.table import Column, Row, Schema, Table

SHOWN_TIMES = (0.3, 0.5, 0.7, 0.9)
_ROUTING = "top1"
"""The logits are the same under every routing; Top-1 costs the fewest expert evaluations."""
_TABLE = Schema(
    "router-calibration",
    (
        TIME,
        Column("accuracy", "accuracy"),
        Column("confidence", "mean confidence"),
        Column("ece", "ECE"),
        Column("log_loss", "log loss", unit="nats"),
        Column("reference_accuracy", "reference accuracy", optional=True),
        Column("reference_ece", "reference ECE", optional=True),
        Column("tv_to_reference", "TV to reference", optional=True),
        Column("chance_accuracy", "accuracy of always the largest cluster", "note"),
    ),
)


@final
class RouterCalibration(Analysis[NoisingSettings]):
    """Accuracy and expected calibration error of the router on noised held-out states, by time.

    The full ensemble under the exact posterior is the marginal velocity, so with good experts this decides whether
    averaging can be good. The posterior in closed form stands beside it, where the system has one.
    """

    id = "router-calibration"
    group = "alignment"
    question = "Is the router calibrated, as the full ensemble needs it? (beyond the paper)"
    tables = (_TABLE,)
    sizes = {
        "small": NoisingSettings(n=64),
        "medium": NoisingSettings(n=1000),
        "full": NoisingSettings(n=1000),
    }

    def needs(self, pool: ExpertPool, settings: NoisingSettings) -> tuple[Need, ...]:
        pool.measures.real_states(1)
        posterior = ("reference-posterior",) if pool.measures.reference is not None else ()
        return (Need(settings.noising(_ROUTING), ("logits", *posterior)),)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: NoisingSettings) -> Answer:
        recording = recordings[settings.noising(_ROUTING)]
        truth, chance = recording.cluster.numpy(), float(pool.prior.max())
        log_router = log_softmax(recording.observed["logits"].double().numpy(), axis=2)
        reference = pool.measures.reference
        exact = None if reference is None else recording.observed["reference-posterior"].double().numpy()
        rows: list[Row] = []
        curves: list[Series] = []
        for i, t in enumerate(recording.times.tolist()):
            router = np.exp(log_router[:, i])
            confidence, right = _best_guess(router, truth)
            measured = {
                "accuracy": mean_estimate(right),
                "confidence": mean_estimate(confidence),
                "ece": calibration_estimate(confidence, right),
                "log_loss": mean_estimate(-log_router[np.arange(len(truth)), i, truth]),
            }
            beside: Row = {} if exact is None else _beside(exact[:, i], router, truth)
            rows.append({"t": t, **measured, **beside, "chance_accuracy": chance})
            if min(abs(t - shown) for shown in SHOWN_TIMES) < 1e-9:
                curve = reliability(confidence, right)
                curves.append(Series(f"t = {t:g}", curve.confidence.tolist(), curve.accuracy.tolist()))
        notes = [
            f"ECE: expected calibration error in {BINS} equal bins of the confidence; a finite sample makes it "
            "positive even for a perfect router.",
            "Intervals resample held-out states.",
        ]
        if reference is not None:
            kind = "the truth" if reference.exact else "a reference that memorises as t goes to 0, not the truth"
            notes.append(f"reference: the posterior of the {reference.name}, {kind}; TV is the total variation to it.")
        table = Table(_TABLE, f"The router on {settings.n} noised held-out states by time", tuple(rows), tuple(notes))
        diagonal = Series("calibrated", [0.0, 1.0], [0.0, 1.0])
        return Answer((table,), (_profile(table, recording.times.tolist()), _reliability_plot((*curves, diagonal))))


def _best_guess(probabilities: Array, truth: Array) -> tuple[Array, Array]:
    """The largest probability of each state, and 1 where it is that of the true cluster, else 0; shape ``(n,)``."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(float)


def _beside(exact: Array, router: Array, truth: Array) -> Row:
    confidence, right = _best_guess(exact, truth)
    return {
        "reference_accuracy": mean_estimate(right),
        "reference_ece": calibration_estimate(confidence, right),
        "tv_to_reference": mean_estimate(np.abs(router - exact).sum(axis=1) / 2),
    }


def _profile(table: Table, times: list[float]) -> Plot:
    shown = ("accuracy", "ece", "reference_accuracy", "tv_to_reference")
    return Plot(
        "router-calibration",
        "lines",
        "The router on noised held-out states (95% intervals)",
        "t (1 = noise, 0 = data)",
        "share, or ECE",
        tuple(banded(c.title, times, table.column(c.key)) for c in table.columns if c.key in shown),
        falling_x=True,
    )


def _reliability_plot(curves: tuple[Series, ...]) -> Plot:
    return Plot(
        "router-reliability",
        "lines",
        "Reliability of the router's most probable expert",
        "confidence",
        "accuracy",
        curves,
    )
