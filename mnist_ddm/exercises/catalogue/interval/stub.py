"""An interval that covers: the exact one of a share.

`mnist-ddm exercises check interval` says how it went, `mnist-ddm exercises hint interval` helps.
"""


def interval(events: int, n: int) -> tuple[float, float]:
    """The exact 95% interval of a share, of which a sample of n has seen so many events (Clopper and Pearson 1934).

    Args:
        events: how many of the n samples have the event, 0 <= events <= n.
        n: samples, at least 1.

    Returns:
        Its two ends, between 0 and 1. Below the lower one so many events or more would have a probability of less
        than 2.5%; above the upper one so many or fewer.
    """
    raise NotImplementedError
