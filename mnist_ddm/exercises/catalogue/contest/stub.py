"""Open exercise: design a routing that beats Top-2 at no more than its cost.

`mnist-ddm exercises check contest` scores it and writes leaderboard.csv, `mnist-ddm exercises hint contest` helps.
"""

from torch import Tensor

from mnist_ddm.exercises.catalogue.contest import Moment


def contest(logits: Tensor, moment: Moment) -> Tensor:
    """The weights of the experts for each state.

    Args:
        logits: of the router, shape (B, 8). It is too flat by a factor of 4.
        moment: what else may be used:
            moment.x: the states x_t, shape (B, 1, 4, 4);
            moment.t: their time, shape (B,); 1 is noise;
            moment.uniform: a random number in [0, 1) for each row, shape (B,); both stages of a Heun step get the same;
            moment.memory: a dict, empty at t = 1; tensors put there are found again at the next call for these rows.

    Returns:
        Weights that are not negative and sum to 1 in each row, shape (B, 8). An expert with weight 0 is not evaluated;
        on average over all calls at most 2 experts of a row may have weight.
    """
    raise NotImplementedError
