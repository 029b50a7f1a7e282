"""The third stage: the experts, each on its own cluster alone, the router, and the monolith."""

from functools import partial

from mnist_ddm.compute.parallel import OnProgress
from paris_ddm.dit import ExpertDiT, RouterDiT
from paris_ddm.folder import (
    EXPERT_WEIGHTS,
    MONOLITH,
    ROUTER,
    ROUTER_WEIGHTS,
)
from paris_ddm.mini import parts
from paris_ddm.mini.clustering import latents
from paris_ddm.mini.objectives import (
    CaptionedVelocityObjective,
    ClusterObjective,
)
from paris_ddm.mini.plan import MiniPlan, fit_part, forget_state


def train_expert(plan: MiniPlan, k: int, report: OnProgress) -> None:
    """Train one expert on the images of its own cluster alone."""
    make, data = partial(parts.expert, plan.preset), latents(plan, k)
    fitted = fit_part(plan, f"expert-{k}", "expert", k, make, CaptionedVelocityObjective(), data, report)
    assert isinstance(fitted.model, ExpertDiT)
    parts.write_expert(plan.folder.expert(k), EXPERT_WEIGHTS, fitted.model, k)
    forget_state(plan, f"expert-{k}")


def train_monolith(plan: MiniPlan, report: OnProgress) -> None:
    """Train one model of an expert's architecture on all images, with all experts' budget together."""
    make, data = partial(parts.expert, plan.preset), latents(plan, None)
    fitted = fit_part(plan, MONOLITH, "monolith", 0, make, CaptionedVelocityObjective(), data, report)
    assert isinstance(fitted.model, ExpertDiT)
    parts.write_expert(plan.out / MONOLITH, EXPERT_WEIGHTS, fitted.model, None)
    forget_state(plan, MONOLITH)


def train_router(plan: MiniPlan, report: OnProgress) -> None:
    """Train the router."""
    make, data = partial(parts.router, plan.preset, plan.experts), latents(plan, None)
    fitted = fit_part(plan, ROUTER, "router", 0, make, ClusterObjective(), data, report)
    assert isinstance(fitted.model, RouterDiT)
    parts.write_router(plan.out / ROUTER, ROUTER_WEIGHTS, fitted.model)
    forget_state(plan, ROUTER)
