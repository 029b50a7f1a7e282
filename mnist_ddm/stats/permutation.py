r"""Is a choice of experts tied to the state, or to nothing? Two nulls for a selection and a value for every expert.

For selections :math:`s_{ik}` (which experts sample i selects, as shares) and values :math:`r_{ik}` (such as the rank of
expert k's cluster for sample i) the statistic is :math:`\frac{1}{n} \sum_i \sum_k s_{ik} r_{ik}`.

- *Swapped*: every sample gets the selections of another one. That keeps how often each expert is selected and how its
  values are distributed, so a favourite expert that is good everywhere gains nothing.
- *Dealt*: the experts' values are dealt to the experts at random, the same deal for all samples. If nothing ties an
  expert to its values, all deals are equally likely, whatever router and states have in common; this is exact for the
  experts at hand, while samples, however many, all see the same few experts.

`ties_of` is the same for a statistic of any other form, such as one in which an expert's value depends on which others
are selected with it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.stats.intervals import LEVEL, Array, Estimate, mean_estimate
from mnist_ddm.stats.quantiles import normal_quantile

_DEALS = 5000
_DEALS_OF_ANY = 499
"""For a statistic of any form, each of whose values must be computed."""
_SHIFTS = 20
"""So many other samples' selections stand for those of all of them."""
_SEED = 20260203
_NORMAL = normal_quantile((1 + LEVEL) / 2)


@dataclass(frozen=True)
class Ties:
    """How a selection is tied to its values.

    Attributes:
        null: the statistic with swapped selections.
        beyond: the statistic minus that null, with an interval over samples.
        beyond_deals: the statistic minus its mean over all deals. Its interval holds 0 unless less than 5% of the deals
            are as far out, and its p-value is never below the share of those that are.
    """

    null: Estimate
    beyond: Estimate
    beyond_deals: Estimate


def ties(selection: Array, values: Array) -> Ties:
    """Hold a selection's values against both nulls.

    Args:
        selection: of each sample at each time, shape ``(n, T, K)``.
        values: of each expert there, same shape.
    """
    n, times, _ = selection.shape
    mean_selection, mean_values = selection.mean(axis=0), values.mean(axis=0)
    # Swapped over all pairs of different samples, the statistic minus its null is the sum of covariances.
    centred = ((selection - mean_selection) * (values - mean_values)).sum(axis=2).mean(axis=1)
    beyond = mean_estimate(centred * n / max(n - 1, 1))
    observed = float((selection * values).sum(axis=2).mean())
    pulls = (selection * mean_values + mean_selection * values).sum(axis=2).mean(axis=1)
    spread = mean_estimate(pulls)
    null = observed - beyond.value
    moved = Estimate(null, null + spread.low - spread.value, null + spread.high - spread.value)
    return Ties(moved, beyond, _dealt(np.einsum("itk,itl->kl", selection, values) / (n * times)))


def ties_of(measure: Callable[[Array], Array], selection: Array) -> Ties:
    """Hold a statistic of any form against both nulls.

    Args:
        measure: the value of every sample, shape ``(n,)``, if these were its selections, of the shape of ``selection``.
        selection: of each sample at each time, shape ``(n, T, K)``.
    """
    n, _, k = selection.shape
    own = measure(selection)
    shifts = range(1, min(_SHIFTS, n - 1) + 1)
    swapped = [measure(np.roll(selection, -shift, axis=0)) for shift in shifts]
    if not swapped:
        nothing = Estimate(float("nan"), float("nan"), float("nan"))
        return Ties(nothing, nothing, nothing)
    # A sample moves the null twice: by its state under others' selections, and by its selections at others' states.
    as_state = np.mean(swapped, axis=0)
    as_selection = np.mean([np.roll(values, shift) for shift, values in zip(shifts, swapped, strict=True)], axis=0)
    pulls = as_state + as_selection
    null, spread = float(as_state.mean()), mean_estimate(pulls)
    around = mean_estimate(own - pulls)
    beyond = float(own.mean()) - null
    rng = generator(_SEED, Purpose.RESAMPLE, k)
    deals = [np.arange(k), *(rng.permutation(k) for _ in range(_DEALS_OF_ANY))]
    dealt = np.array([measure(selection[:, :, deal]).mean() for deal in deals])
    return Ties(
        Estimate(null, null + spread.low - spread.value, null + spread.high - spread.value),
        Estimate(beyond, beyond + around.low - around.value, beyond + around.high - around.value),
        _among(dealt - dealt.mean()),
    )


def _dealt(products: Array) -> Estimate:
    """The trace of selections times values ``(K, K)`` beyond its mean over permutations of the columns."""
    k = len(products)
    mean = float(products.sum() / k)
    rng = generator(_SEED, Purpose.RESAMPLE, k)
    deals = np.argsort(rng.random((_DEALS, k)), axis=1)
    deals[0] = np.arange(k)  # the actual one counts among them, which makes the test exact
    return _among(products[np.arange(k), deals].sum(axis=1) - mean)


def _among(apart: Array) -> Estimate:
    """The first of all deals, around their mean, with an interval that holds 0 unless few of the others are as far.

    Its p-value, as `p_of_sign` has it, is never below the share of deals that are as far: with few deals it is not
    small, however far out the first is.
    """
    low, high = np.quantile(apart, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    value = float(apart[0])
    # Quantiles of a side alone would exclude 0 where the other side has the deals that are as far; if all are, there is
    # no such reach.
    share = min(float((np.abs(apart) >= abs(value)).mean()), 1 - 0.5 / len(apart))
    least = abs(value) * _NORMAL / -normal_quantile(share / 2)
    return Estimate(value, value - max(float(high), least), value + max(-float(low), least))
