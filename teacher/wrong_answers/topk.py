"""Typical wrong answers, each with words that its message must have."""

import torch


def _mask(logits, k):
    mask = torch.zeros_like(logits)
    return mask.scatter(1, torch.topk(logits, k, dim=1).indices, 1.0)


def no_renormalisation(logits, k):
    """The rest of the probability is lost."""
    return logits.softmax(dim=1) * _mask(logits, k)


def smallest(logits, k):
    """Argsort is ascending."""
    chosen = logits.argsort(dim=1)[:, :k]
    kept = torch.full_like(logits, -torch.inf).scatter(1, chosen, logits.gather(1, chosen))
    return kept.softmax(dim=1)


def equal_weights(logits, k):
    """All the chosen alike."""
    return _mask(logits, k) / k


def zero_as_mask(logits, k):
    """Exp(0) is 1."""
    return (logits * _mask(logits, k)).softmax(dim=1)


def softmax_twice(logits, k):
    """Probabilities as logits."""
    p = logits.softmax(dim=1)
    return p.masked_fill(_mask(p, k) == 0, -torch.inf).softmax(dim=1)


def over_the_states(logits, k):
    """The wrong axis."""
    p = logits.softmax(dim=0)
    p = p * _mask(p, k)
    return p / p.sum(dim=1, keepdim=True)


def unit_length(logits, k):
    """Divided by the root of the sum of squares."""
    p = logits.softmax(dim=1) * _mask(logits, k)
    return p / p.norm(dim=1, keepdim=True)


def overflow(logits, k):
    """Exp of 1000."""
    p = torch.exp(logits)
    p = p * _mask(p, k)
    return p / p.sum(dim=1, keepdim=True)


def one_sum(logits, k):
    """Of the whole batch."""
    p = logits.softmax(dim=1) * _mask(logits, k)
    return p / p.sum()


def probabilities_only(logits, k):
    """Neither renormalised nor in their places."""
    return torch.topk(logits.softmax(dim=1), k, dim=1).values


def values_only(logits, k):
    """The experts have lost their numbers."""
    return torch.topk(logits, k, dim=1).values.softmax(dim=1)


WRONG_ANSWERS = (
    (no_renormalisation, "renormalise over the chosen experts"),
    (smallest, "smallest logits"),
    (equal_weights, "equal weights"),
    (zero_as_mask, "with -inf, not with 0"),
    (softmax_twice, "probabilities instead of logits"),
    (over_the_states, "over the experts, dim=1"),
    (unit_length, "root of the sum of squares"),
    (overflow, "exp overflowed"),
    (one_sum, "one sum was used"),
    (probabilities_only, "put each back"),
    (values_only, "put each back"),
)
