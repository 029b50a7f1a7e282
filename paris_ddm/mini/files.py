"""The coloured digits as files: pictures, a table of what each shows, and a description that other programs read.

`croissant.json` is Croissant 1.0 metadata (https://docs.mlcommons.org/croissant/docs/croissant-spec.html): the files
with their hashes, and the records that they hold.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mnist_ddm.data import MNIST_DIGEST, Images
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import check_writable, is_empty, sha256, write_json, write_text
from mnist_ddm.versions import versions
from paris_ddm.mini.data import DIGITS, SIDE, ColouredDigits, held_out_set, training_set
from paris_ddm.mini.parts import whole_folder

CROISSANT = "croissant.json"
_PUBLISHED = "2026-11-25"
"""When these colours came into the package; they are the same for a seed since."""
_COLOURS = ({"@type": "sc:Organization", "name": "The mnist-ddm authors"},)
_MNIST = tuple(
    {"@type": "sc:Person", "name": name} for name in ("Yann LeCun", "Corinna Cortes", "Christopher J. C. Burges")
)
_COLUMNS: Mapping[str, tuple[str, str]] = {
    "image": ("sc:Text", "name of the picture"),
    "caption": ("sc:Text", "what it shows, in one of three phrasings"),
    "digit": ("sc:Integer", "the digit, 0 to 9"),
    "ink": ("sc:Text", "colour of the digit"),
    "ground": ("sc:Text", "colour behind it"),
}
_BATCH = 500


def write_digits(
    images: Images, seed: int, out: Path, most: int | None = None, report: Callable[[float], None] = lambda done: None
) -> Path:
    """Write both splits of the coloured digits into an empty folder.

    A split is a folder of PNG pictures and a table of the same name with a row for each; the description comes last.

    Args:
        images: MNIST, or a set like it with digits as labels.
        seed: of the colours; the models that ship have 0.
        out: the folder.
        most: pictures of each split at the most; ``None`` for all.
        report: called with the share that is done.

    Returns:
        The description.

    Raises:
        InputError: if the folder is not empty or cannot be written, or ``most`` is below 1.
    """
    if most is not None and most < 1:
        raise InputError(f"the number of pictures must be at least 1, not {most}")
    if images.classes > len(DIGITS):
        raise InputError(f"{images.name} has {images.classes} classes, and captions know {len(DIGITS)} digits")
    if out.exists() and (not out.is_dir() or not is_empty(out)):
        raise InputError(f"{out} is not an empty folder; choose another --out")
    check_writable(out.parent / CROISSANT)
    splits = {data.split: data for data in (training_set(images, seed), held_out_set(images, seed))}
    sizes = {name: len(data) if most is None else min(most, len(data)) for name, data in splits.items()}
    done = 0
    with whole_folder(out) as folder:
        for name, data in splits.items():
            (folder / name).mkdir()
            lines = [",".join(_COLUMNS)]
            for rows in torch.arange(sizes[name]).split(_BATCH):
                lines += _write_pictures(data, rows, folder)
                done += len(rows)
                report(done / sum(sizes.values()))
            write_text(folder / f"{name}.csv", "\n".join(lines) + "\n")
        write_json(folder / CROISSANT, croissant(folder, sizes, images.digest, seed))
    return out / CROISSANT


def _write_pictures(data: ColouredDigits, rows: torch.Tensor, out: Path) -> Iterator[str]:
    pictures = (data.images(rows) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    captions, told = data.captions(rows), data.attributes[rows].tolist()
    for i, row in enumerate(rows.tolist()):
        name = f"{data.split}/{row:05d}.png"
        Image.fromarray(np.ascontiguousarray(pictures[i])).save(out / name, "PNG")
        digit, ink, ground = told[i]
        yield f"{name},{captions[i]},{digit},{data.colour(ink)},{data.colour(ground)}"


def croissant(folder: Path, sizes: Mapping[str, int], source: str, seed: int) -> dict[str, Any]:
    """The description of the files in a folder; it follows from them alone.

    Args:
        folder: of the tables.
        sizes: rows of each split.
        source: digest of the digits that were coloured.
        seed: of the colours.
    """
    of = "MNIST" if source == MNIST_DIGEST else f"the digits of digest {source}"
    files = [_table(folder, name) for name in sizes]
    files += [_pictures(name) for name in sizes]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "coloured-digits",
        "description": f"{of} in one of eight inks on one of eight grounds, {SIDE} x {SIDE} RGB, with captions. The "
        f"digit of row i is that of row i of {of}; colours are drawn by seed {seed}. About one in eleven combinations "
        "is in no split.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": "https://creativecommons.org/licenses/by-sa/3.0/",
        "url": "https://huggingface.co/datasets/ylecun/mnist",  # of what was coloured; the colours have no page
        "creator": [*(_MNIST if source == MNIST_DIGEST else ()), *_COLOURS],
        "datePublished": _PUBLISHED,
        "version": versions()["mnist-ddm"],
        "citeAs": "mnist-ddm: a teaching and testbed package for decentralized diffusion models",
        "distribution": files,
        "recordSet": [_records(name) for name in sizes],
    }


def _table(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.csv"
    return {
        "@type": "cr:FileObject",
        "@id": f"{name}-table",
        "name": f"{name}.csv",
        "contentUrl": f"{name}.csv",
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": "text/csv",
        "sha256": sha256(file),
    }


def _pictures(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{name}-pictures",
        "name": f"pictures of {name}",
        "encodingFormat": "image/png",
        "includes": f"{name}/*.png",
    }


def _records(name: str) -> dict[str, Any]:
    """Rows of the table, each with the picture whose name it has."""

    def entry(key: str, told: str, kind: str, source: Mapping[str, Any]) -> dict[str, Any]:
        named = {"@type": "cr:Field", "@id": f"{name}/{key}", "name": f"{name}/{key}"}
        return {**named, "description": told, "dataType": kind, "source": source}

    def of_file(wanted: str) -> dict[str, Any]:
        return {"fileSet": {"@id": f"{name}-pictures"}, "extract": {"fileProperty": wanted}}

    columns = {
        key: entry(key, told, kind, {"fileObject": {"@id": f"{name}-table"}, "extract": {"column": key}})
        for key, (kind, told) in _COLUMNS.items()
    }
    columns["image"]["source"]["transform"] = {
        "regex": f"^(?:{name}/)?(.+)$"
    }  # the name of the file without its folder
    columns["image"]["references"] = of_file("filename")
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"a row for each picture of the split {name}",
        "key": {"@id": f"{name}/image"},
        "field": [*columns.values(), entry("picture", "the picture itself", "sc:ImageObject", of_file("content"))],
    }


_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification asks for (its appendix 1)."""
