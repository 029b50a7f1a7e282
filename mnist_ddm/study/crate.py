"""A run told as an RO-Crate: `ro-crate-metadata.json`, which other programs read.

The format is RO-Crate 1.3 with the profile Process Run Crate 0.6: one action, by one program, from data and weights to
files. Everything in it follows from the manifest and the sizes of the files, so it can be written again at any time.

Sources: https://w3id.org/ro/crate/1.3, https://w3id.org/ro/wfrun/process/0.6.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import digest, read_json, sha256, write_json
from mnist_ddm.storage.names import inside
from mnist_ddm.study.manifest import Manifest

CRATE = "ro-crate-metadata.json"
CONTEXT = "https://w3id.org/ro/crate/1.3/context"
_SPECIFICATION = "https://w3id.org/ro/crate/1.3"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.6"
_MEDIA = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".png": "image/png",
    ".safetensors": "application/octet-stream",
    ".svg": "image/svg+xml",
}
_ROOT, _PROGRAM, _PERSON, _LICENCE = "./", "#mnist-ddm", "#person", "#licence"
Entity = Mapping[str, Any]


def write_crate(folder: Path, manifest: str, stated: Manifest) -> None:
    """Write the crate of a finished run.

    Args:
        folder: of the run.
        manifest: the name of its manifest.
        stated: what that says.
    """
    write_json(folder / CRATE, crate_of(folder, manifest, stated))


def check_crate(folder: Path, manifest: str, stated: Manifest) -> None:
    """Make sure that the crate of a run, if it has one, says what the manifest says.

    Raises:
        InputError: if it does not.
    """
    if (folder / CRATE).exists() and read_json(folder / CRATE) != crate_of(folder, manifest, stated):
        raise InputError(f"{folder / CRATE} does not say what {manifest} says; `mnist-ddm report` writes it again")


def crate_of(folder: Path, manifest: str, stated: Manifest) -> dict[str, Any]:
    """The crate of a finished run; a pure function of its manifest and of the sizes of its files."""
    hashes = {manifest: sha256(folder / manifest), **stated.results, **stated.derived}
    told = {manifest: "how the run was made", **_told(stated)}
    files = [_file(folder, name, value, told.get(name, "a result of the run")) for name, value in hashes.items()]
    inputs, software = list(_inputs(stated)), list(_software(stated))
    system = stated.title or stated.run.system
    questions = ", ".join(stated.analyses) or "nothing"
    action = f"#run-{digest([stated.command, stated.started, stated.code])[:16]}"
    graph: list[Entity] = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": _SPECIFICATION},
            "about": {"@id": _ROOT},
        },
        {
            "@id": _ROOT,
            "@type": "Dataset",
            "name": f"{system}: {questions}"[:200],
            "description": f"Tables, plots and samples of the system {system}, written by `{stated.command}`.",
            "datePublished": stated.ended or stated.started,
            "license": {"@id": _LICENCE},
            "conformsTo": {"@id": _PROFILE},
            "hasPart": _references(files),
            "mentions": {"@id": action},
        },
        {"@id": _PROFILE, "@type": ["CreativeWork", "Profile"], "name": "Process Run Crate", "version": "0.6"},
        {
            "@id": _LICENCE,
            "@type": "CreativeWork",
            "name": "not stated",
            "description": "The program claims no rights in what it writes; who publishes it says under which licence.",
        },
        {
            "@id": action,
            "@type": "CreateAction",
            "name": f"measuring of {system}",
            "description": stated.command,
            **{key: time for key, time in (("startTime", stated.started), ("endTime", stated.ended)) if time},
            "actionStatus": "http://schema.org/CompletedActionStatus",
            "instrument": {"@id": _PROGRAM},
            "agent": {"@id": _PERSON},
            "object": _references(inputs),
            "result": _references(files),
        },
        {
            "@id": _PERSON,
            "@type": "Person",
            "name": "not recorded",
            "description": "Whoever gave the command; the program does not ask for names.",
        },
    ]
    return {"@context": CONTEXT, "@graph": [*graph, *software, *inputs, *files]}


def _references(entities: list[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]


def _told(stated: Manifest) -> Mapping[str, str]:
    """What files are, of those that the manifest tells more of than their names."""
    of_analyses = {name: f"of the analysis {id}" for id, entry in stated.analyses.items() for name in entry.files}
    return {**of_analyses, **dict.fromkeys(stated.derived, "made from the results of the run")}


def _file(folder: Path, name: str, value: str, told: str) -> Entity:
    path = inside(folder, name)
    media = _MEDIA.get(path.suffix)
    return {
        "@id": quote(name),
        "@type": "File",
        "name": path.name,
        "description": told,
        "contentSize": str(path.stat().st_size),
        "sha256": value,
        **({"encodingFormat": media} if media else {}),
    }


def _inputs(stated: Manifest) -> Iterator[Entity]:
    """Data and weights by their hashes, and the recordings that were made of them or found in the cache."""
    for group, hashes in (("source", stated.sources), ("fingerprint", stated.run.fingerprints)):
        for name, value in hashes.items():
            yield {
                "@id": f"#{group}-{quote(name)}",
                "@type": "CreativeWork",
                "name": f"{name} ({group})",
                "identifier": value,
            }
    for key, recording in stated.recordings.items():
        told = ", ".join(f"{name} {value}" for name, value in recording.visits.items() if value not in ("", None))
        yield {
            "@id": f"#recording-{quote(key)}",
            "@type": "CreativeWork",
            "name": f"recording {key[:12]}",
            "description": f"{told}; kept: {', '.join(recording.observables) or 'final states'}",
            "identifier": key,
        }


def _software(stated: Manifest) -> Iterator[Entity]:
    """The program, and what it was made with."""
    others = {name: version for name, version in stated.versions.items() if name != "mnist-ddm"}
    commit = f", commit {stated.git.commit}{' with changes' if stated.git.dirty else ''}" if stated.git else ""
    own = stated.versions.get("mnist-ddm", "unknown")
    yield {
        "@id": _PROGRAM,
        "@type": "SoftwareApplication",
        "name": "mnist-ddm",
        "description": f"code {stated.code}{commit}",
        "version": own,
        "url": f"pkg:generic/mnist-ddm@{own}",  # it has no page; this names the package
        "softwareRequirements": [{"@id": f"#{name}"} for name in others],
    }
    for name, version in others.items():
        yield {
            "@id": f"#{name}",
            "@type": "SoftwareApplication",
            "name": name,
            "version": version,
            "url": "https://www.python.org/" if name == "python" else f"https://pypi.org/project/{name}/",
        }
