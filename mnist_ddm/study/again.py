"""The system and the study of a run again, from its manifest."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.systems.registry import load_system


def load_again(manifest: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> ExpertPool:
    """The system that a manifest is of.

    Args:
        manifest: of the run.
        options: of `load_system` that go before those of the manifest: where folders are now.

    Raises:
        InputError: if it cannot be loaded, or is another one now.
    """
    options_then = {k: tuple(v) if isinstance(v, list) else v for k, v in manifest.get("options", {}).items()}
    options_now = {k: v for k, v in (options or {}).items() if v not in (None, ())}
    pool = load_system(manifest["run"]["system"], **{**options_then, **options_now})
    measured, now = manifest["run"]["fingerprints"], dict(pool.fingerprints)
    if measured != now:
        changed = ", ".join(part for part in measured if measured[part] != now.get(part))
        raise InputError(
            f"the system {pool.name!r} is not the one that was measured: other {changed or 'parts'}; "
            "give the folders of the run (--checkpoint, --data-dir, --paris-dir)"
        )
    return pool


def study_again(manifest: Mapping[str, Any], pool: ExpertPool, store: RecordingStore) -> dict[str, Study]:
    """For each analysis of a run a study that asks it alone, with the settings that it had."""
    studies = {}
    for name, settings in manifest["run"]["settings"].items():
        own = {field.name for field in dataclasses.fields(analysis_named(name).sizes.at(manifest["run"]["scale"]))}
        given = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items() if key in own}
        studies[name] = Study(pool, [name], scale=manifest["run"]["scale"], store=store, **given)
    return studies
