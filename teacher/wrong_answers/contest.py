"""Routings that do not beat Top-2, or break the rules, each with words that its message must have."""

import torch


def full(logits, moment):
    """All experts: dear, and not good here."""
    return logits.softmax(dim=1)


def top2(logits, moment):
    """The rival itself."""
    values, chosen = logits.topk(2, dim=1)
    return torch.zeros_like(logits).scatter(1, chosen, values.softmax(dim=1))


def random_expert(logits, moment):
    """Cheap."""
    chosen = (moment.uniform * logits.shape[1]).long().clamp(max=logits.shape[1] - 1)
    return torch.nn.functional.one_hot(chosen, logits.shape[1]).to(logits)


def drawn_without_the_router(logits, moment):
    """Kept for the whole trajectory, all experts alike."""
    if "expert" not in moment.memory:
        moment.memory["expert"] = (moment.uniform * logits.shape[1]).long().clamp(max=logits.shape[1] - 1)
    return torch.nn.functional.one_hot(moment.memory["expert"], logits.shape[1]).to(logits)


def negative(logits, moment):
    """Sums to 1, and has a sign."""
    return logits.softmax(dim=1) * 2 - 1 / logits.shape[1]


def not_renormalised(logits, moment):
    """The sum is not 1."""
    p = (4 * logits).softmax(dim=1)
    return p * (p >= p.topk(2, dim=1).values[:, 1:])


def one_vector(logits, moment):
    """The axis of the states is gone."""
    return logits.softmax(dim=1).mean(dim=0)


WRONG_ANSWERS = (
    (full, "too many experts"),
    (top2, "that is Top-2 itself"),
    (random_expert, "does not beat Top-2 yet"),
    (drawn_without_the_router, "does not beat Top-2 yet"),
    (negative, "must not be negative"),
    (not_renormalised, "must sum to 1"),
    (one_vector, "the shape of the logits"),
)
