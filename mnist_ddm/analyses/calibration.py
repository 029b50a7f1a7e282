"""Is the router calibrated? What theory needs for the full ensemble to be good (McAllister et al. 2025)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import final

import numpy as np
from scipy.special import log_softmax

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import TIME
from mnist_ddm.analyses.settings import NoisingSettings
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Noising, Visits
from mnist_ddm.figures.plot import Plot, Series, banded
from mnist_ddm.metrics.calibration import BINS, calibration_estimate, reliability
from mnist_ddm.stats.intervals import Array, bounded_mean_estimate, mean_estimate, share_estimate
from mnist_ddm.tables.table import FRACTION, Column, Row, Schema, Table

SHOWN_TIMES = (0.3, 0.5, 0.7, 0.9)
_ROUTING = "top1"
"""The logits are the same under every routing; Top-1 costs the fewest expert evaluations."""
NEAR_NOISE = (1.0, 0.99, 0.95)
"""Times at which the state says next to nothing of its cluster, so that a router should say the prior."""
_COLUMNS = (
    TIME,
    Column("accuracy", "accuracy", kind=FRACTION),
    Column("confidence", "mean confidence", kind=FRACTION),
    Column("ece", "ECE (debiased)"),
    Column("log_loss", "log loss", unit="nats"),
    Column("prior_log_loss", "log loss of the prior", "note", "nats"),
    Column("gain_on_prior", "less log loss than the prior", unit="nats"),
    Column("reference_accuracy", "reference accuracy", optional=True, kind=FRACTION),
    Column("reference_ece", "reference ECE (debiased)", optional=True),
    Column("tv_to_reference", "TV to reference", optional=True, kind=FRACTION),
    Column("chance_accuracy", "accuracy by chance", "note", kind=FRACTION),
)
_TABLE = Schema("router-calibration", _COLUMNS)
_NEAR = Schema("router-calibration-near-noise", _COLUMNS)


@final
class RouterCalibration(Analysis[NoisingSettings]):
    """Accuracy, calibration error and log loss of the router on noised held-out states, by time.

    The full ensemble under the exact posterior is the marginal velocity, so with good experts this decides whether
    averaging can be good. The posterior in closed form stands beside it, where the system has one.
    """

    id = "router-calibration"
    group = "alignment"
    question = "Is the router calibrated, as the full ensemble needs it? (beyond the paper)"
    tables = (_TABLE, _NEAR)
    fixed = "it measures the router itself, whatever routing follows it"
    sizes = Sizes(
        small=NoisingSettings(n=64),
        medium=NoisingSettings(n=1000),
        full=NoisingSettings(n=10_000),
    )

    def needs(self, pool: ExpertPool, settings: NoisingSettings) -> tuple[Need, ...]:
        posterior = ("reference-posterior",) if pool.measures.reference is not None else ()
        return tuple(Need(noising, ("logits", *posterior)) for noising in _noisings(pool, settings))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: NoisingSettings) -> Answer:
        usual, near = (recordings[noising] for noising in _noisings(pool, settings))
        n, reference = usual.visits.n, pool.measures.reference
        notes = [
            f"ECE: root of the squared calibration error in {BINS} bins of equally many states by confidence, without "
            "the part that a finite sample adds even for a perfect router (Kumar et al. 2019).",
            "Log loss of the prior: of a router that only knows how large the clusters are.",
            "Accuracy by chance: that of always the largest cluster, or of guesses as often made, if that is more.",
            "Intervals are over held-out states.",
        ]
        if reference is not None:
            kind = "the truth" if reference.exact else "a reference that memorises as t goes to 0, not the truth"
            notes.append(f"reference: the posterior of the {reference.name}, {kind}; TV is the total variation to it.")
        table = Table(_TABLE, f"The router on {n} noised held-out states by time", _rows(pool, usual), tuple(notes))
        title = f"The router on {n} held-out states that are nearly noise"
        beside = Table(_NEAR, title, _rows(pool, near), ("At t = 1 the state is noise alone.",))
        diagonal = Series("calibrated", [0.0, 1.0], [0.0, 1.0])
        curves = (*_curves(usual), diagonal)
        return Answer((table, beside), (_profile(table, usual.times.tolist()), _reliability_plot(curves)))


def _noisings(pool: ExpertPool, settings: NoisingSettings) -> tuple[Noising, Noising]:
    """At the usual times and near t = 1, of as many held-out states as there are at the most."""
    n = min(settings.n, len(pool.measures.real_states(settings.n)[0]))
    usual = replace(settings, n=n).noising(_ROUTING)
    return usual, replace(usual, moments=NEAR_NOISE)


def _rows(pool: ExpertPool, recording: Recording) -> tuple[Row, ...]:
    truth, prior = recording.cluster.numpy(), pool.prior.cpu().double().numpy()
    log_router = _log_router(recording)
    exact = recording.observed.get("reference-posterior")
    rows: list[Row] = []
    for i, t in enumerate(recording.times.tolist()):
        router = np.exp(log_router[:, i])
        confidence, right = _best_guess(router, truth)
        loss, of_prior = -log_router[np.arange(len(truth)), i, truth], -np.log(prior[truth])
        beside: Row = {} if exact is None else _beside(exact[:, i].double().numpy(), router, truth)
        rows.append(
            {
                "t": t,
                "accuracy": share_estimate(right > 0),
                "confidence": bounded_mean_estimate(confidence, 0.0, 1.0),
                "ece": calibration_estimate(confidence, right),
                "log_loss": mean_estimate(loss),
                "prior_log_loss": mean_estimate(of_prior),
                "gain_on_prior": mean_estimate(of_prior - loss),
                **beside,
                "chance_accuracy": max(float(prior.max()), _agreement(router.argmax(axis=1), truth, len(prior))),
            }
        )
    return tuple(rows)


def _curves(recording: Recording) -> list[Series]:
    truth, log_router = recording.cluster.numpy(), _log_router(recording)
    curves: list[Series] = []
    for i, t in enumerate(recording.times.tolist()):
        if min(abs(t - shown) for shown in SHOWN_TIMES) < 1e-9:
            curve = reliability(*_best_guess(np.exp(log_router[:, i]), truth))
            curves.append(Series(f"t = {t:g}", curve.confidence.tolist(), curve.accuracy.tolist()))
    return curves


def _log_router(recording: Recording) -> Array:
    logits = recording.observed["logits"].double().numpy()
    return np.asarray(log_softmax(logits, axis=2), dtype=np.float64)


def _agreement(guessed: Array, truth: Array, n_clusters: int) -> float:
    """How often guesses are right that know nothing but how often each is made (Cohen 1960).

    Held-out states need not have the shares of the training's: those of random parts are of the nearest centroid, which
    is very uneven, and who always names one cluster must not seem to know something.
    """
    made, there = (np.bincount(of, minlength=n_clusters) / len(of) for of in (guessed, truth))
    return float(made @ there)


def _best_guess(probabilities: Array, truth: Array) -> tuple[Array, Array]:
    """The largest probability of each state, and 1 where it is that of the true cluster, else 0; shape ``(n,)``."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(float)


def _beside(exact: Array, router: Array, truth: Array) -> Row:
    confidence, right = _best_guess(exact, truth)
    return {
        "reference_accuracy": share_estimate(right > 0),
        "reference_ece": calibration_estimate(confidence, right),
        "tv_to_reference": bounded_mean_estimate(np.abs(router - exact).sum(axis=1) / 2, 0.0, 1.0),
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
