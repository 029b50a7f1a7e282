"""Is the router calibrated? What theory needs for the full ensemble to be good (McAllister et al. 2025)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import final

import numpy as np
from scipy.special import log_softmax

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Plot, Series, Settings, Table, Value
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Noising, Visits
from mnist_ddm.metrics.calibration import BINS, calibration_estimate, reliability
from mnist_ddm.stats.intervals import Array, mean_estimate

SHOWN_TIMES = (0.3, 0.5, 0.7, 0.9)


@final
class RouterCalibration(Analysis):
    """Accuracy and expected calibration error of the router on noised held-out states, by time.

    The full ensemble under the exact posterior is the marginal velocity, so with good experts this decides whether
    averaging can be good. The posterior in closed form stands beside it, where the system has one.
    """

    @property
    def id(self) -> str:
        return "router-calibration"

    @property
    def group(self) -> str:
        return "alignment"

    @property
    def question(self) -> str:
        return "Is the router calibrated, as the full ensemble needs it? (beyond the paper)"

    def settings(self, chosen: Settings) -> Settings:
        return replace(chosen, n=1000 if chosen.n is None else chosen.n)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        pool.measures.real_states(1)
        posterior = ("reference-posterior",) if pool.measures.reference is not None else ()
        return (Need(_run(settings), ("logits", *posterior)),)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        recording = recordings[_run(settings)]
        truth = recording.cluster.numpy()
        log_router = log_softmax(recording.observed["logits"].double().numpy(), axis=2)
        reference = pool.measures.reference
        exact = None if reference is None else recording.observed["reference-posterior"].double().numpy()
        rows, curves = [], []
        for i, t in enumerate(recording.times.tolist()):
            router = np.exp(log_router[:, i])
            confidence, right = router.max(axis=1), (router.argmax(axis=1) == truth).astype(float)
            row: dict[str, Value] = {
                "t": t,
                "accuracy": mean_estimate(right),
                "mean confidence": mean_estimate(confidence),
                "ECE": calibration_estimate(confidence, right),
                "log loss (nats)": mean_estimate(-log_router[np.arange(len(truth)), i, truth]),
            }
            if exact is not None:
                row |= _beside(exact[:, i], router, truth)
            rows.append(row)
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
        title = f"The router on {settings.n} noised held-out states by time"
        table = Table("router-calibration", title, tuple(rows[0]), tuple(rows), tuple(notes))
        diagonal = Series("calibrated", [0.0, 1.0], [0.0, 1.0])
        return Answer((table,), (_profile(table), _reliability_plot([*curves, diagonal])))


def _run(settings: Settings) -> Noising:
    assert settings.n is not None
    # The logits are the same under every routing; Top-1 costs the fewest expert evaluations.
    return Noising("top1", settings.n, settings.seed)


def _beside(exact: Array, router: Array, truth: Array) -> dict[str, Value]:
    confidence, right = exact.max(axis=1), (exact.argmax(axis=1) == truth).astype(float)
    return {
        "reference accuracy": mean_estimate(right),
        "reference ECE": calibration_estimate(confidence, right),
        "TV to reference": mean_estimate(np.abs(router - exact).sum(axis=1) / 2),
    }


def _profile(table: Table) -> Plot:
    series = []
    names = [name for name in ("accuracy", "ECE", "reference accuracy", "TV to reference") if name in table.columns]
    for name in names:
        estimates = [e for row in table.rows if not isinstance(e := row[name], str | int | float | None)]
        times = [float(row["t"]) for row in table.rows if isinstance(row["t"], float)]
        ends = zip(*((e.value, e.low, e.high) for e in estimates), strict=True)
        series.append(Series(name, times, *ends))
    return Plot(
        "router-calibration",
        "lines",
        "The router on noised held-out states (95% intervals)",
        "t (1 = noise, 0 = data)",
        "share, or ECE",
        tuple(series),
        falling_x=True,
    )


def _reliability_plot(curves: list[Series]) -> Plot:
    return Plot(
        "router-reliability",
        "lines",
        "Reliability of the router's most probable expert",
        "confidence",
        "accuracy",
        tuple(curves),
    )
