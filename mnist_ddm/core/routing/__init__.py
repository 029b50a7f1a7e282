"""Routing strategies: from router logits to the weights of the experts.

A strategy is one small final class with a `weights` method, and a spelling in the one grammar that the command line,
files and plots share: a name, perhaps a number (`top2`), perhaps a value (`commit=0.9`), perhaps modifiers
(`full@T=4+clip`), perhaps another one from a time on (`each~0.8~top1`). Further strategies are found under the entry
point group `mnist_ddm.routings`: an entry point's name is the strategy's name, and its object a function from the
argument's text (`""` if there is none) to a `Routing`. A program registers its own with `register_routing`.

A strategy may carry state along a trajectory (`Samples.memory`) and ask the experts before it decides
(`RoutingContext.experts`). Any random number it draws is keyed by the sample's seed and the interval of the step grid.
Both stages of a Heun step, and a run on a grid twice as fine, so see the same field.
"""

from mnist_ddm.core.routing.base import AskedExperts, Routing, RoutingContext, Samples, negligible_weight, one_hot
from mnist_ddm.core.routing.blends import GeometricMean, Median
from mnist_ddm.core.routing.density import Density
from mnist_ddm.core.routing.draws import Gumbel, Switch
from mnist_ddm.core.routing.evidence import Clean, Implied, Likelihood
from mnist_ddm.core.routing.faults import FAULTS, Faulty
from mnist_ddm.core.routing.grammar import parse_routing, register_routing, routing_help
from mnist_ddm.core.routing.modifiers import Centroids, EqualWeights, Temperature, WeightClip
from mnist_ddm.core.routing.strategies import (
    Commit,
    FullEnsemble,
    Label,
    MinP,
    Misaligned,
    Posterior,
    SampleEach,
    SampleOnce,
    TopK,
    TopP,
    Uniform,
)
from mnist_ddm.core.spellings import ENTRY_POINT_GROUP, known_modifiers, known_routings

__all__ = [
    "ENTRY_POINT_GROUP",
    "FAULTS",
    "AskedExperts",
    "Centroids",
    "Clean",
    "Commit",
    "Density",
    "EqualWeights",
    "Faulty",
    "FullEnsemble",
    "GeometricMean",
    "Gumbel",
    "Implied",
    "Label",
    "Likelihood",
    "Median",
    "MinP",
    "Misaligned",
    "Posterior",
    "Routing",
    "RoutingContext",
    "SampleEach",
    "SampleOnce",
    "Samples",
    "Switch",
    "Temperature",
    "TopK",
    "TopP",
    "Uniform",
    "WeightClip",
    "known_modifiers",
    "known_routings",
    "negligible_weight",
    "one_hot",
    "parse_routing",
    "register_routing",
    "routing_help",
]
