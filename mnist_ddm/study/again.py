"""The system and the study of a run again, from its manifest."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.study.manifest import Manifest
from mnist_ddm.study.scales import scale_named
from mnist_ddm.study.study import Study
from mnist_ddm.systems.registry import load_system


def load_again(manifest: Manifest, options: Mapping[str, Any] | None = None) -> ExpertPool:
    """The system that a manifest is of.

    Args:
        manifest: of the run.
        options: of `load_system` that go before those of the manifest: where folders are now.

    Raises:
        InputError: if it cannot be loaded, or is another one now.
    """
    options_then = {k: tuple(v) if isinstance(v, list) else v for k, v in manifest.options.items()}
    options_now = {k: v for k, v in (options or {}).items() if v not in (None, ())}
    pool = _load(manifest.run.system, {**options_then, **options_now})
    measured, now = manifest.run.fingerprints, dict(pool.fingerprints)
    if measured != now:
        changed = ", ".join(part for part in measured if measured[part] != now.get(part))
        raise InputError(
            f"the system {pool.name!r} is not the one that was measured: other {changed or 'parts'}; "
            "give the folders of the run (--checkpoint, --data-dir, --paris-dir)"
        )
    return pool


def study_again(manifest: Manifest, pool: ExpertPool, store: RecordingStore) -> dict[str, Study]:
    """For each analysis of a run a study that asks it alone, with the settings that it had."""
    studies = {}
    for name, settings in manifest.run.settings.items():
        default = analysis_named(name).sizes.at(scale_named(manifest.run.scale).name)
        stated = {**json.loads(json.dumps(dataclasses.asdict(default))), **settings}
        what = "settings of that analysis; restore it or run its command again"
        own = as_kind(stated, type(default), f"{name} in the manifest", what)
        given = {field.name: getattr(own, field.name) for field in dataclasses.fields(own)}
        studies[name] = Study(pool, [name], scale=manifest.run.scale, store=store, **given)
    return studies


def _load(system: str, options: Mapping[str, Any]) -> ExpertPool:
    try:
        return load_system(system, **options)
    except (TypeError, AttributeError) as error:  # a value of another kind than the system takes
        told = f"({type(error).__name__}: {str(error)[:80]})"
        raise InputError(f"the options in the manifest do not load the system {system!r} {told}; restore it") from error
