"""The full ensemble is the marginal velocity."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.flow import expand_time
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import INK, experts_of, nobody, normal, triangle
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.systems.gaussian import GaussianPool, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class FullEnsembleVelocity(ClosedExercise):
    """Gaussian systems, whose marginal velocity has a closed form."""

    name = "ensemble"

    def cases(self) -> Iterable[Case]:
        yield _case("the marginal velocity of three Gaussians in the plane", triangle(), 6)
        yield _case("the marginal velocity of the gaussian system: eight experts, 8 x 8 images", load(), 5)

    mistakes = (
        Mistake(
            "every expert got the same weight: use the softmax of router(x, t)",
            lambda experts, router, x, t: torch.stack([e(x, t) for e in experts]).mean(dim=0),
        ),
        Mistake(
            "the logits are no weights yet: take their softmax over the experts",
            lambda experts, router, x, t: _sum(experts, router(x, t), x, t),
        ),
        Mistake(
            "the weights are missing: that is the sum of all velocities",
            lambda experts, router, x, t: torch.stack([e(x, t) for e in experts]).sum(dim=0),
        ),
        Mistake(
            "the softmax runs over the states; each row needs weights of its own, dim=1",
            lambda experts, router, x, t: _sum(experts, router(x, t).softmax(dim=0), x, t),
        ),
        Mistake(
            "only the most probable expert was asked: that is Top-1",
            lambda experts, router, x, t: _sum(
                experts, torch.nn.functional.one_hot(router(x, t).argmax(dim=1), len(experts)).to(x), x, t
            ),
        ),
        Mistake(
            "the weighted sum was divided by the number of experts: the weights already sum to 1",
            lambda experts, router, x, t: _sum(experts, router(x, t).softmax(dim=1), x, t) / len(experts),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        pool, axes = triangle(), figure.add_subplot()
        experts = experts_of(pool)
        grid = torch.linspace(-2.6, 2.6, 19, dtype=torch.float64)
        x = torch.cartesian_prod(grid, grid)[:, None, None]
        v = function(experts, pool.router_logits, x, torch.full((len(x),), 0.35, dtype=torch.float64)).flatten(1)
        along = "-v at t = 0.35, the way sampling goes"
        axes.quiver(*x.flatten(1).T, *(-v.T), color="#bbbbbb", width=0.003, label=along)
        state = normal(11, 40, 1, 1, 2)
        path = [state]
        for i in range(40):
            t = torch.full((len(state),), 1 - i / 40, dtype=torch.float64)
            state = state - function(experts, pool.router_logits, state, t) / 40
            path.append(state)
        for i, trajectory in enumerate(torch.stack(path, dim=1).flatten(2)):
            label = "trajectories from noise" if i == 0 else None
            axes.plot(*trajectory.T, color=COLOURS[0], linewidth=0.7, alpha=0.7, label=label)
        axes.plot(*state.flatten(1).T, "o", color=COLOURS[1], markersize=3.5, label="samples, t = 0")
        axes.plot(*pool.means.flatten(1).T, "x", color=INK, label="means of the clusters")
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
        axes.set_aspect("equal")
        axes.set_axis_off()


def _case(asked: str, pool: GaussianPool, n: int) -> Case:
    x, t = normal(12, n, *pool.state_shape), torch.linspace(0.15, 0.9, n, dtype=torch.float64)
    exact = pool.monolith_velocity(x, t, nobody(n))

    def ask(function: StudentFunction) -> object:
        return call(function, experts_of(pool), pool.router_logits, x.clone(), t.clone())

    return Case(asked, ask, exact, ("the velocity",), tolerance=1e-9, look="sum over k of p(k | x_t) v_k(x_t, t)")


def _sum(experts: list[StudentFunction], weights: Tensor, x: Tensor, t: Tensor) -> Tensor:
    parts = [expand_time(weights[:, k], x) * expert(x, t) for k, expert in enumerate(experts)]
    return torch.stack(parts).sum(dim=0)
