"""Run folders as RO-Crates: what the specification and the profile Process Run Crate demand and advise."""

import json
from datetime import datetime
from urllib.parse import unquote

import pytest

from mnist_ddm import Study
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import sha256
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.crate import CRATE, check_crate, crate_of
from mnist_ddm.study.folder import MANIFEST, Provenance
from mnist_ddm.study.results import read_manifest
from mnist_ddm.systems.gaussian import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("crate")
    study = Study(load(), ["averaging-variance"], n=4, steps=3, store=RecordingStore(place / "cache"))
    study.write(study.open(place / "run", Provenance("mnist-ddm analyze --system gaussian")))
    return place / "run"


@pytest.fixture
def entities(folder):
    return {entity["@id"]: entity for entity in json.loads((folder / CRATE).read_text())["@graph"]}


def kinds(entity):
    return [entity["@type"]] if isinstance(entity["@type"], str) else entity["@type"]


def referenced(value):
    """The identifiers that a value of an entity refers to."""
    if isinstance(value, dict):
        return [value["@id"]]
    return [name for one in value for name in referenced(one)] if isinstance(value, list) else []


def test_the_descriptor_and_the_root_are_those_of_the_specification(folder, entities):
    stated = json.loads((folder / CRATE).read_text())
    assert stated["@context"] == "https://w3id.org/ro/crate/1.3/context"
    assert len(stated["@graph"]) == len(entities), "an identifier is used twice"
    descriptor, root = entities[CRATE], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.3"}
    assert root["@type"] == "Dataset"
    assert root["name"]
    assert root["description"]
    assert datetime.fromisoformat(root["datePublished"]).tzinfo is not None
    licence = entities[root["license"]["@id"]]
    assert licence["name"]
    assert licence["description"]
    profile = entities[root["conformsTo"]["@id"]]
    assert profile["@id"] == "https://w3id.org/ro/wfrun/process/0.6"
    assert {"CreativeWork", "Profile"} <= set(kinds(profile))


def test_one_action_tells_who_made_what_of_what_with_what_and_when(folder, entities):
    manifest = read_manifest(folder)
    (action,) = (e for e in entities.values() if "CreateAction" in kinds(e))
    assert entities["./"]["mentions"] == {"@id": action["@id"]}
    assert action["description"] == manifest.command == "mnist-ddm analyze --system gaussian"
    assert action["name"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert datetime.fromisoformat(action["startTime"]) <= datetime.fromisoformat(action["endTime"])
    assert (action["startTime"], action["endTime"]) == (manifest.started, manifest.ended)
    assert "Person" in kinds(entities[action["agent"]["@id"]])
    program = entities[action["instrument"]["@id"]]
    assert "SoftwareApplication" in kinds(program)
    assert program["name"]
    assert program["url"]
    assert program["version"] == manifest.versions["mnist-ddm"]
    assert manifest.code in program["description"]
    inputs = [entities[name]["identifier"] for name in referenced(action["object"])]
    assert set(inputs) == {
        *manifest.run.fingerprints.values(), *manifest.sources.values(), *manifest.recordings
    }  # fmt: skip
    software = {
        entities[name]["name"]: entities[name]["version"] for name in referenced(program["softwareRequirements"])
    }
    assert software == {name: version for name, version in manifest.versions.items() if name != "mnist-ddm"}


def test_every_file_is_listed_with_size_and_hash(folder, entities):
    there = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file() and f.name != CRATE}
    files = {unquote(e["@id"]): e for e in entities.values() if "File" in kinds(e)}
    assert files.keys() == there.keys()
    for name, entity in files.items():
        assert entity["contentSize"] == str(there[name].stat().st_size)
        assert entity["sha256"] == sha256(there[name])
        assert entity["encodingFormat"]
        assert entity["description"]
    listed = [e["@id"] for e in entities.values() if "File" in kinds(e)]
    (action,) = (e for e in entities.values() if "CreateAction" in kinds(e))
    assert referenced(action["result"]) == referenced(entities["./"]["hasPart"]) == listed


def test_whatever_is_referred_to_is_described(entities):
    outside = {"https://w3id.org/ro/crate/1.3"}
    names = {name for e in entities.values() for key, value in e.items() if key != "@id" for name in referenced(value)}
    assert names - outside <= entities.keys()


def test_a_crate_follows_from_its_folder_and_one_that_does_not_is_an_error(folder):
    manifest, path = read_manifest(folder), folder / CRATE
    text = path.read_text()
    assert crate_of(folder, MANIFEST, manifest) == json.loads(text)
    check_crate(folder, MANIFEST, manifest)
    path.write_text(text.replace('"contentSize": "', '"contentSize": "1', 1))
    with pytest.raises(InputError, match=r"does not say what manifest\.json says"):
        check_crate(folder, MANIFEST, manifest)
    path.write_text(text)


def test_names_that_are_no_addresses_are_written_as_such(folder, tmp_path):
    (folder / "samples" / "a name #1.png").write_bytes(b"x")
    stated = read_manifest(folder)
    named = {**stated.results, "samples/a name #1.png": "0" * 64}
    changed = type(stated)(**{**{f: getattr(stated, f) for f in stated.__struct_fields__}, "results": named})
    crate = crate_of(folder, MANIFEST, changed)
    (folder / "samples" / "a name #1.png").unlink()
    assert "samples/a%20name%20%231.png" in [entity["@id"] for entity in crate["@graph"]]
