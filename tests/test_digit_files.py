"""The coloured digits as files, and their Croissant metadata: what the specification demands."""

import csv
import json
import re
from datetime import date

import numpy as np
import pytest
import torch

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import sha256
from mnist_ddm.storage.pictures import read_picture
from paris_ddm.mini.data import held_out_set, training_set
from paris_ddm.mini.files import CROISSANT, write_digits

N = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    place = tmp_path_factory.mktemp("digits") / "out"
    write_digits(images, 0, place, N)
    return place


def test_pictures_and_rows_are_those_of_the_training(folder, images):
    for data in (training_set(images, 0), held_out_set(images, 0)):
        rows = list(csv.DictReader((folder / f"{data.split}.csv").open()))
        assert len(rows) == N
        every = torch.arange(N)
        assert [row["caption"] for row in rows] == list(data.captions(every))
        assert [int(row["digit"]) for row in rows] == data.labels[:N].tolist()
        assert all(row["ink"] in row["caption"] and row["ground"] in row["caption"] for row in rows)
        for row, image in zip(rows, data.images(every), strict=True):
            pixels = np.asarray(read_picture(folder / row["image"])).transpose(2, 0, 1)
            assert np.abs(pixels / 255 - image.numpy()).max() <= 0.5 / 255 + 1e-6


def test_the_description_names_every_file_and_every_column(folder):
    told = json.loads((folder / CROISSANT).read_text())
    assert told["@type"] == "sc:Dataset"
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    required = ("name", "description", "license", "url", "creator", "datePublished")
    assert all(told[key] for key in (*required, "version", "citeAs"))
    assert date.fromisoformat(told["datePublished"])
    assert [one["name"] for one in told["creator"]][-1] == "The mnist-ddm authors"
    files = {one["@id"]: one for one in told["distribution"] if one["@type"] == "cr:FileObject"}
    sets = [one for one in told["distribution"] if one["@type"] == "cr:FileSet"]
    for one in files.values():
        path = folder / one["contentUrl"]
        assert one["sha256"] == sha256(path)
        assert one["contentSize"] == f"{path.stat().st_size} B"
        assert one["encodingFormat"] == "text/csv"
    assert sorted(len(list(folder.glob(one["includes"]))) for one in sets) == [N, N]
    for records in told["recordSet"]:
        *columns, picture = records["field"]
        source = {field["source"]["fileObject"]["@id"] for field in columns}
        (table,) = (files[name] for name in source)
        rows = list(csv.DictReader((folder / table["contentUrl"]).open()))
        assert [field["source"]["extract"]["column"] for field in columns] == list(rows[0])
        (own,) = (one for one in sets if one["@id"] == picture["source"]["fileSet"]["@id"])
        assert (picture["dataType"], picture["source"]["extract"]) == ("sc:ImageObject", {"fileProperty": "content"})
        # A row is joined with its picture by the name of the file, which is the end of the column.
        joined, pattern = columns[0]["references"], columns[0]["source"]["transform"]["regex"]
        assert joined == {"fileSet": {"@id": own["@id"]}, "extract": {"fileProperty": "filename"}}
        names = {re.match(pattern, row["image"])[1] for row in rows}
        assert names == {file.name for file in folder.glob(own["includes"])}
        assert records["key"]["@id"] in {field["@id"] for field in records["field"]}
    ids = [one["@id"] for part in ("distribution", "recordSet") for one in told[part]]
    assert len(ids) == len(set(ids))


def test_the_description_is_one_that_its_own_library_reads(folder):
    croissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    dataset = croissant.Dataset(jsonld=str(folder / CROISSANT))
    assert not dataset.metadata.ctx.issues.errors
    first = next(iter(dataset.records("training")))
    assert first["training/digit"] == 5
    assert first["training/picture"].size == (32, 32)


def test_nothing_is_written_over_and_bad_numbers_are_refused(folder, images, tmp_path):
    before = (folder / CROISSANT).read_bytes()
    with pytest.raises(InputError, match="not an empty folder"):
        write_digits(images, 0, folder, N)
    assert (folder / CROISSANT).read_bytes() == before
    with pytest.raises(InputError, match="at least 1"):
        write_digits(images, 0, tmp_path / "none", 0)
    assert not (tmp_path / "none").exists()
