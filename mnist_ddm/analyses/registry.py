"""The analyses that exist: the command line, the report and the tests iterate over them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_ddm.analyses.analysis import Analysis
from mnist_ddm.analyses.averaging import AveragingVariance
from mnist_ddm.analyses.calibration import RouterCalibration
from mnist_ddm.analyses.cluster_distance import ClusterDistance
from mnist_ddm.analyses.comparison import RoutingComparison
from mnist_ddm.analyses.convergence import Convergence
from mnist_ddm.analyses.cost import CostAndQuality
from mnist_ddm.analyses.counterfactual import Counterfactual
from mnist_ddm.analyses.decomposition import JacobianDecomposition
from mnist_ddm.analyses.deviation import ExpertDeviation
from mnist_ddm.analyses.disagreement import Disagreement
from mnist_ddm.analyses.failure_modes import FailureModes
from mnist_ddm.analyses.generalization import Generalization
from mnist_ddm.analyses.local_error import LocalError
from mnist_ddm.analyses.predictors import FailurePredictors
from mnist_ddm.analyses.profile import SensitivityProfile
from mnist_ddm.analyses.quality import Quality
from mnist_ddm.analyses.regime_map import RegimeMap
from mnist_ddm.analyses.rescue import Rescue
from mnist_ddm.errors import InputError, unknown

ANALYSES: Mapping[str, Analysis[Any]] = {
    a.id: a
    for a in (
        ClusterDistance(),
        ExpertDeviation(),
        Disagreement(),
        AveragingVariance(),
        RouterCalibration(),
        Quality(),
        JacobianDecomposition(),
        SensitivityProfile(),
        RoutingComparison(),
        LocalError(),
        FailurePredictors(),
        FailureModes(),
        Convergence(),
        Rescue(),
        Counterfactual(),
        Generalization(),
        CostAndQuality(),
        RegimeMap(),
    )
}
"""By id."""

APPENDIX_B = ("expert-deviation", "disagreement")
"""The paper's two analyses of MNIST, which `mnist-ddm analyze` runs if nothing else is asked."""


def analysis_named(name: str) -> Analysis[Any]:
    """The analysis of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in ANALYSES:
        raise unknown("analysis", name, list(ANALYSES))
    return ANALYSES[name]


def groups() -> list[str]:
    """The groups of analyses that exist, and `all`."""
    return [*dict.fromkeys(a.group for a in ANALYSES.values()), "all"]


def analyses_in(group: str) -> list[Analysis[Any]]:
    """The analyses of a group.

    Raises:
        InputError: if there is no such group; the message lists those that exist.
    """
    if group not in groups():
        raise unknown("group", group, groups())
    return [a for a in ANALYSES.values() if group in ("all", a.group)]


def chosen(names: Sequence[str], group: str | None, without: Sequence[str]) -> list[str]:
    """The names of the analyses that a user asked for, each once.

    Args:
        names: of analyses.
        group: all of it as well; Appendix B's two if neither is given.
        without: analyses and groups to leave out.

    Raises:
        InputError: if an analysis or a group does not exist, or nothing is left.
    """
    asked = [
        *(a.id for a in (() if group is None else analyses_in(group))),
        *(analysis_named(name).id for name in names),
    ]
    left_out = {a.id for name in without for a in ([ANALYSES[name]] if name in ANALYSES else analyses_in(name))}
    kept = [name for name in dict.fromkeys(asked or APPENDIX_B) if name not in left_out]
    if not kept:
        raise InputError("nothing is left to run; --without leaves out everything that was asked for")
    return kept
