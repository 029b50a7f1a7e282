"""The names of the analyses, by group, without importing any that ships: a count of them appears at once."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

ENTRY_POINT_GROUP = "mnist_ddm.analyses"

SHIPPED: Mapping[str, tuple[str, ...]] = {
    "alignment": (
        "cluster-distance",
        "expert-deviation",
        "disagreement",
        "averaging-variance",
        "router-calibration",
    ),
    "quality": ("quality",),
    "sensitivity": (
        "jacobian-decomposition",
        "sensitivity-profile",
        "router-consistency",
        "routing-comparison",
        "local-error",
        "failure-predictors",
        "failure-modes",
        "convergence",
    ),
    "interventions": ("rescue", "counterfactual", "generalization"),
    "regimes": ("cost-and-quality", "regime-map", "faults"),
}
"""Those that ship: their ids in each group, in their order."""


def foreign_analyses() -> list[EntryPoint]:
    """Those that installed packages add, in the order of their names."""
    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
