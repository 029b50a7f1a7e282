"""The analyses that exist, those of other packages among them.

A package adds an analysis by an entry point in the group `mnist_ddm.analyses`: its name is the analysis' `id`, and its
object the class, or an analysis that was made of it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, final

from mnist_ddm.analyses.analysis import Analysis
from mnist_ddm.analyses.averaging import AveragingVariance
from mnist_ddm.analyses.calibration import RouterCalibration
from mnist_ddm.analyses.cluster_distance import ClusterDistance
from mnist_ddm.analyses.comparison import RoutingComparison
from mnist_ddm.analyses.consistency import RouterConsistency
from mnist_ddm.analyses.convergence import Convergence
from mnist_ddm.analyses.cost import CostAndQuality
from mnist_ddm.analyses.counterfactual import Counterfactual
from mnist_ddm.analyses.decomposition import JacobianDecomposition
from mnist_ddm.analyses.deviation import ExpertDeviation
from mnist_ddm.analyses.disagreement import Disagreement
from mnist_ddm.analyses.failure_modes import FailureModes
from mnist_ddm.analyses.faults import Faults
from mnist_ddm.analyses.generalization import Generalization
from mnist_ddm.analyses.local_error import LocalError
from mnist_ddm.analyses.names import foreign_analyses
from mnist_ddm.analyses.predictors import FailurePredictors
from mnist_ddm.analyses.profile import SensitivityProfile
from mnist_ddm.analyses.quality import Quality
from mnist_ddm.analyses.regime_map import RegimeMap
from mnist_ddm.analyses.rescue import Rescue
from mnist_ddm.errors import InputError, blamed, unknown

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
        RouterConsistency(),
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
        Faults(),
    )
}
"""Those that ship, by id."""

APPENDIX_B = ("expert-deviation", "disagreement")
"""The paper's two analyses of MNIST, which `mnist-ddm analyze` runs if nothing else is asked."""


@final
class InstalledAnalyses:
    """The analyses that installed packages add.

    Attributes:
        readable: those that can be used, by id.
        broken: of the others, by the name of the entry point, what is wrong.
    """

    def __init__(self) -> None:
        """Read what entry points say; whatever a package does wrong, other analyses must work."""
        self.readable: dict[str, Analysis[Any]] = {}
        self.broken: dict[str, InputError] = {}
        for entry in foreign_analyses():
            try:
                with blamed(f"the analysis {entry.name!r} of {entry.value}"):
                    self.readable[entry.name] = _made(entry.name, entry.load())
            except InputError as error:
                self.broken[entry.name] = error


def _made(name: str, loaded: object) -> Analysis[Any]:
    made = loaded() if isinstance(loaded, type) else loaded
    if not isinstance(made, Analysis):
        raise TypeError(f"it is {type(made).__name__}, not an Analysis")
    if made.id != name:
        raise ValueError(f"its id is {made.id!r}")
    if name in ANALYSES:
        raise ValueError("an analysis that ships has this name")
    taken = {schema.name for ours in ANALYSES.values() for schema in ours.tables}
    if twice := next((schema.name for schema in made.tables if schema.name in taken), None):
        raise ValueError(f"a table that ships has the name {twice!r}")
    return made


@cache
def installed_analyses() -> InstalledAnalyses:
    """The analyses that installed packages add, read once."""
    return InstalledAnalyses()


def known_analyses() -> dict[str, Analysis[Any]]:
    """All that can be asked: those that ship, then those of other packages."""
    return {**ANALYSES, **installed_analyses().readable}


def analysis_named(name: str) -> Analysis[Any]:
    """The analysis of that name.

    Raises:
        InputError: if there is none (the message lists those that exist), or its package is broken.
    """
    if name in ANALYSES:  # without a look at other packages
        return ANALYSES[name]
    if name in installed_analyses().broken:
        raise installed_analyses().broken[name]
    if name not in known_analyses():
        raise unknown("analysis", name, list(known_analyses()), "`mnist-ddm info analyses` has all")
    return known_analyses()[name]


def groups() -> list[str]:
    """The groups of analyses that exist, and `all`."""
    return [*dict.fromkeys(a.group for a in known_analyses().values()), "all"]


def analyses_in(group: str) -> list[Analysis[Any]]:
    """The analyses of a group.

    Raises:
        InputError: if there is no such group; the message lists those that exist.
    """
    if group not in groups():
        raise unknown("group", group, groups())
    return [a for a in known_analyses().values() if group in ("all", a.group)]


def chosen(names: Sequence[str], groups: Sequence[str], without: Sequence[str]) -> list[str]:
    """The names of the analyses that a user asked for, each once.

    Args:
        names: of analyses.
        groups: all of each as well; Appendix B's two if neither is given.
        without: analyses and groups to leave out.

    Raises:
        InputError: if an analysis or a group does not exist, or nothing is left.
    """
    asked = [
        *(a.id for group in groups for a in analyses_in(group)),
        *(analysis_named(name).id for name in names),
    ]
    known = known_analyses()
    left_out = {a.id for name in without for a in ([known[name]] if name in known else analyses_in(name))}
    kept = [name for name in dict.fromkeys(asked or APPENDIX_B) if name not in left_out]
    if not kept:
        raise InputError("nothing is left to run; --without leaves out everything that was asked for")
    return kept
