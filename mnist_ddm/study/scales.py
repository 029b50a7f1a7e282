"""Scales: how large a study is. Read from `scales.toml`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from mnist_ddm.analyses.analysis import Analysis, Settings
from mnist_ddm.analyses.cost import CostAndQuality
from mnist_ddm.analyses.quality import Quality
from mnist_ddm.analyses.regime_map import RegimeMap
from mnist_ddm.errors import unknown

_OWN_STEPS = (Quality, CostAndQuality, RegimeMap)
"""Their runs are shared by others, so `quality_steps` and not `steps` limits them."""


@dataclass(frozen=True)
class Scale:
    """The size of a study.

    Attributes:
        name: on the command line.
        purpose: in a phrase.
        makes_claims: whether there are enough samples to say anything about the paper.
        n: most samples of an analysis; ``None`` for the paper's number.
        steps: most solver steps; ``None`` for the paper's.
        quality_n: samples of every Frechet distance; ``None`` for the usual numbers.
        quality_steps: solver steps of their runs; ``None`` for the usual 25.
        n_of: samples of single analyses.
        routings: those of cost-and-quality; none for all that it knows.
    """

    name: str
    purpose: str
    makes_claims: bool
    n: int | None = None
    steps: int | None = None
    quality_n: int | None = None
    quality_steps: int | None = None
    n_of: Mapping[str, int] = field(default_factory=dict)
    routings: tuple[str, ...] = ()

    @property
    def study(self) -> dict[str, Any]:
        """What it decides, for manifests; `scale_of` reads it again."""
        own = {key: value for key, value in asdict(self).items() if key not in ("name", "routings")}
        return {"scale": self.name, **own, "routings": list(self.routings)}

    def analyses(self, chosen: Sequence[Analysis], seed: int) -> dict[Analysis, Settings]:
        """The analyses with their settings at this scale."""
        found = {}
        for analysis in map(self.fitted, chosen):
            own = analysis.settings(Settings(seed=seed))
            n = self.n_of.get(analysis.id) or _least(self.n, own.n)
            if isinstance(analysis, Quality):
                n = self.quality_n
            steps = _least(self.quality_steps if isinstance(analysis, _OWN_STEPS) else self.steps, own.steps)
            joined = replace(own, quality_n=self.quality_n, quality_steps=self.quality_steps)
            found[analysis] = replace(joined, n=n, steps=steps)
        return found

    def fitted(self, analysis: Analysis) -> Analysis:
        """The analysis as this scale runs it."""
        return CostAndQuality(self.routings) if isinstance(analysis, CostAndQuality) and self.routings else analysis


def _least(limit: int | None, own: int | None) -> int | None:
    known = [n for n in (limit, own) if n is not None]
    return min(known) if known else None


@cache
def scales() -> Mapping[str, Scale]:
    """The scales by name, the smallest first."""
    found = tomllib.loads(files("mnist_ddm.study").joinpath("scales.toml").read_text(encoding="utf-8"))
    return {name: scale_of({"scale": name, **entry}) for name, entry in found.items()}


def scale_of(study: Mapping[str, Any]) -> Scale:
    """The scale that a manifest's study says."""
    given = {key: value for key, value in study.items() if key not in ("scale", "routings")}
    return Scale(**given, name=study["scale"], routings=tuple(study.get("routings", ())))


def scale_named(name: str) -> Scale:
    """The scale of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in scales():
        raise unknown("scale", name, list(scales()))
    return scales()[name]
