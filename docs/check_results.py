"""Tells what does not hold of the results: folders, files, pictures, and what the documents say of them."""

import re
import shlex
import tomllib
from collections.abc import Iterator

import folders
from folders import Entry, entries
from marks import typed
from PIL import Image
from say_results import documents, made

from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import LEFT_BY_SYSTEMS, read_json
from mnist_ddm.study.crate import CRATE, check_crate
from mnist_ddm.study.folder import MANIFEST, SCHEMA
from mnist_ddm.study.results import read_manifest
from mnist_ddm.study.trainings import SPREAD
from mnist_ddm.study.verify import check_files
from mnist_ddm.tables.table import Schema

_OF_CODE = ("commands.md", "routings.md")
"""Pages that `reference.py` makes of the code, which no result is in."""


def faults() -> Iterator[str]:
    """What does not hold of the results, one line each."""
    known = entries()
    there = set(folders_there())
    for name in sorted(there ^ {e.name for e in known}):
        yield f"{name}: {'no command in results.toml makes it' if name in there else 'not there'}"
    for e in (e for e in known if e.is_run and e.name in there):
        if (e.schema != SCHEMA) != e.stale:
            yield f"{e.name}: its manifest has schema {e.schema} of {SCHEMA}, and results.toml says stale = {e.stale}"
        elif not e.stale:
            yield from _old_tables(e)
    yield from _changed_and_unknown(known)
    yield from _pictures()
    if not there.issuperset(e.name for e in known):
        return  # documents quote what is not there
    told = {*documents()} - {folders.ROOT / "docs" / name for name in _OF_CODE}
    for path, text in made():
        if re.search(r"^ *<!--[=:] ", text, re.M):
            yield f"{path.relative_to(folders.ROOT)}: a line begins with a mark, which ends the paragraph there"
        if path in told and (found := typed(text)):
            yield f"{path.relative_to(folders.ROOT)}: typed by hand: {', '.join(found)}"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(folders.ROOT)}: does not say what the files say; `python docs/record.py write`"


def folders_there() -> Iterator[str]:
    """The names of all folders of results: a run, wherever it lies, or what no run made."""
    for top in (f for f in folders.RESULTS.iterdir() if f.is_dir()):
        runs = [m.parent for m in top.rglob(MANIFEST) if not any((up / MANIFEST).exists() for up in m.parent.parents)]
        yield from (str(f.relative_to(folders.RESULTS)) for f in runs or [top])


def _changed_and_unknown(known: list[Entry]) -> Iterator[str]:
    """Files that are not those of which their run's manifest has the hash, and files that nothing made."""
    rest = {file for file in folders.RESULTS.rglob("*") if file.is_file() and file.name not in LEFT_BY_SYSTEMS}
    rest -= {folders.TABLE, *folders.RESULTS.glob("*.md")}
    rest -= {folders.ROOT / word for e in known for word in shlex.split(e.command)}  # what a command reads
    for e in known:
        rest -= set(e.folder.glob("*.json")) if e.stale or not e.is_run else set()
    for manifest in sorted(folders.RESULTS.rglob(MANIFEST)):
        stated, folder = read_json(manifest), manifest.parent
        named = {**stated["results"], **stated.get("derived", {})}
        rest -= {manifest, *(folder / name for name in named)}
        try:
            check_files(folder, named, stated["command"])
            if stated["schema"] == SCHEMA:
                rest -= {folder / CRATE}
                if not (folder / CRATE).exists():
                    yield f"{(folder / CRATE).relative_to(folders.ROOT)}: not there; `mnist-ddm report` writes it"
                check_crate(folder, MANIFEST, read_manifest(folder))
        except InputError as error:
            yield str(error).replace(f"{folders.ROOT}/", "")
    yield from (
        f"{file.relative_to(folders.ROOT)}: no run and no command of results.toml made it" for file in sorted(rest)
    )


def _pictures() -> Iterator[str]:
    """Pictures beside the pages that no command made, or another one, and those that are not there."""
    made_by, place = tomllib.loads(folders.PICTURES.read_text(encoding="utf-8")), folders.PICTURES.parent
    there = {f.name for f in place.iterdir() if f.name not in {folders.PICTURES.name, *LEFT_BY_SYSTEMS}}
    for name in sorted(there ^ made_by.keys()):
        why = f"no command in {folders.PICTURES.name} makes it" if name in there else "not there"
        yield f"{(place / name).relative_to(folders.ROOT)}: {why}"
    for name in sorted(there & made_by.keys()):
        with Image.open(place / name) as picture:
            said = picture.info.get("Command", made_by[name])  # the package writes it into what it draws
        if said != made_by[name]:
            where = (place / name).relative_to(folders.ROOT)
            yield f"{where}: made by `{said}`, and {folders.PICTURES.name} says otherwise"


def _old_tables(entry: Entry) -> Iterator[str]:
    """Tables of a folder whose columns are not those that the code declares now."""
    for name, told in read_json(entry.folder / MANIFEST)["analyses"].items():
        schemas = (*ANALYSES[name].tables, *ANALYSES[name].own_tables, Schema(f"{name}-trainings", SPREAD))
        declared = {schema.name: {c.key: c.optional for c in schema.columns} for schema in schemas}
        for table in told["tables"]:
            stored = [c["key"] for c in read_json(entry.folder / "results" / f"{table}.json")["columns"]]
            columns = declared.get(table, {})
            needed = {key for key, free in columns.items() if not free}
            if not needed <= set(stored) <= columns.keys():
                yield f"{entry.name}: the columns of {table} are not those of the code"
