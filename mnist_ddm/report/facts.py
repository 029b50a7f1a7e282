"""What a manifest says of the system that was measured, and how to load it again."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_ddm.analyses.base import Settings
from mnist_ddm.core.errors import InputError
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.systems.registry import load_system

_STEPS = 50
"""Of the analyses that the claims ledger names by their number of steps, if nothing else is asked."""


def facts_of(
    pool: ExpertPool, settings: Settings, *, checkpoint: Path | None, data_dir: Path | None, device: str
) -> dict[str, Any]:
    """Hashes of what the system was read from, the options that load it again, and the names of the claims ledger."""
    return {
        "sources": dict(pool.sources),
        "experts": pool.n_experts,
        "device": device,
        "options": {"checkpoint": _text(checkpoint), "data_dir": _text(data_dir), "device": device},
        "names": ledger_names(pool, settings),
    }


def _text(path: Path | None) -> str | None:
    """A folder as it was given, without what is private to this machine above its name."""
    if path is None:
        return None
    return str(path) if not path.is_absolute() else path.name


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
        distances = pool.distances
        names["distance"] = distances[settings.distance or next(iter(distances))].name
    with contextlib.suppress(InputError):
        names["features"] = next(iter(pool.frechet_features.values())).name
    with contextlib.suppress(InputError):
        names["embedding"] = next(iter(pool.embeddings.values())).features.name
    with contextlib.suppress(InputError):
        if pool.reference is not None:
            names["reference"] = pool.reference.name
    names |= dict(zip(("shift", "other_shift"), pool.shifts, strict=False))
    return names


def load_again(manifest: Mapping[str, Any], checkpoint: Path | None = None, data_dir: Path | None = None) -> ExpertPool:
    """The system that a manifest is of.

    Args:
        manifest: of the run.
        checkpoint: where its checkpoint is now, if not where the manifest says.
        data_dir: where its data are now, likewise.

    Raises:
        InputError: if it cannot be loaded, or is another one now.
    """
    options = manifest.get("options", {})
    pool = load_system(
        manifest["run"]["system"],
        device=options.get("device") or "cpu",
        checkpoint=checkpoint or options.get("checkpoint"),
        data_dir=data_dir or options.get("data_dir"),
    )
    then, now = manifest["run"]["fingerprints"], dict(pool.fingerprints)
    if then != now:
        changed = ", ".join(part for part in then if then[part] != now.get(part))
        raise InputError(
            f"the system {pool.name!r} is not the one that was measured: other {changed or 'parts'}; "
            "give the --checkpoint and --data-dir of the run"
        )
    return pool
