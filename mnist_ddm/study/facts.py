"""What a manifest says of the system that was measured, and how to load it again."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_ddm.analyses.analysis import Settings
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.systems.registry import load_system

_STEPS = 50
"""Of the analyses that the claims ledger names by their number of steps, if nothing else is asked."""


def facts_of(pool: ExpertPool, settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """Hashes of what the system was read from, the options that load it again, and the names of the claims ledger.

    Args:
        pool: the system.
        settings: of the analyses.
        options: that `load_system` was called with.
    """
    return {
        "sources": dict(pool.sources),
        "experts": pool.n_experts,
        "device": options.get("device", "cpu"),
        "options": {name: _plain(value) for name, value in options.items() if value not in (None, ())},
        "names": ledger_names(pool, settings),
    }


def _plain(value: object) -> object:
    """An option as JSON has it; of a folder nothing that is private to this machine above its name."""
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)
    return list(value) if isinstance(value, tuple) else value


def ledger_names(pool: ExpertPool, settings: Settings) -> dict[str, str]:
    """What the open names of the claims ledger are on a system; what a system has not is left out."""
    k, steps = pool.n_experts, settings.steps or _STEPS
    names = {
        "chance_rank": str((k + 1) / 2),
        "chance_match": str(200 / k),
        "chance_accuracy": str(float(pool.prior.max())),
        "steps": str(steps),
        "steps2": str(2 * steps),
        "steps4": str(4 * steps),
    }
    with contextlib.suppress(InputError):
        distances = pool.measures.distances
        names["distance"] = distances[settings.distance or next(iter(distances))].name
    with contextlib.suppress(InputError):
        if features := list(pool.measures.frechet_features.values()):
            names["features"] = features[0].name
    with contextlib.suppress(InputError):
        if embeddings := list(pool.measures.embeddings):  # names alone: centroids may take a while
            names["embedding"] = embeddings[0]
    with contextlib.suppress(InputError):
        if pool.measures.reference is not None:
            names["reference"] = pool.measures.reference.name
    names |= dict(zip(("shift", "other_shift"), pool.shifts, strict=False))
    return names


def load_again(manifest: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> ExpertPool:
    """The system that a manifest is of.

    Args:
        manifest: of the run.
        options: of `load_system` that go before those of the manifest: where folders are now.

    Raises:
        InputError: if it cannot be loaded, or is another one now.
    """
    then = {k: tuple(v) if isinstance(v, list) else v for k, v in manifest.get("options", {}).items()}
    now = {k: v for k, v in (options or {}).items() if v not in (None, ())}
    pool = load_system(manifest["run"]["system"], **{**then, **now})
    measured, found = manifest["run"]["fingerprints"], dict(pool.fingerprints)
    if measured != found:
        changed = ", ".join(part for part in measured if measured[part] != found.get(part))
        raise InputError(
            f"the system {pool.name!r} is not the one that was measured: other {changed or 'parts'}; "
            "give the folders of the run (--checkpoint, --data-dir, --paris-dir)"
        )
    return pool
