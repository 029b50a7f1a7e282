"""The results in `docs/results`: makes them again, and keeps what the documents say of them equal to their files.

    python docs/record.py plan          what `make` will do and about how long it takes
    python docs/record.py make [NAME]   makes the folders again whose code has changed, from the checkpoints that ship
    python docs/record.py write         writes numbers, tables of results, codecheck.yml and model cards again
    python docs/record.py check         tells what does not hold; 1 if anything

`docs/results/results.toml` says which command makes which folder; `marks.py`, how a page quotes a number of one.
"""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from marks import quoted, typed
from PIL import Image

from mnist_ddm.analyses.registry import ANALYSES, chosen
from mnist_ddm.claims.judge import judge_run
from mnist_ddm.claims.ledger import claim_named, ledger
from mnist_ddm.claims.word import markdown
from mnist_ddm.cli import cli
from mnist_ddm.cli.analyze import chosen_routings
from mnist_ddm.cli.reproduce import analyses_of, trainings_of
from mnist_ddm.compute.cores import default_workers
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.models.model_card import MODEL_CARD, mnist_model_card
from mnist_ddm.pages.readme import verdict_block, with_verdicts
from mnist_ddm.storage.files import LEFT_BY_SYSTEMS, read_json, write_text
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.crate import CRATE, check_crate
from mnist_ddm.study.folder import MANIFEST, SCHEMA, _code
from mnist_ddm.study.plan import Plan
from mnist_ddm.study.results import read_manifest
from mnist_ddm.study.study import Study
from mnist_ddm.study.trainings import SPREAD
from mnist_ddm.study.verify import check_files
from mnist_ddm.systems.registry import load_system
from mnist_ddm.tables.table import Schema
from mnist_ddm.terminal.options import installed_options
from mnist_ddm.terminal.words import shown_duration
from paris_ddm.folder import SHIPPED
from paris_ddm.model_card import paris_model_card

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "coverage"))  # where what `coverage` and `judge` measure is put into tables
from judging import judge_table  # noqa: E402 (from the folder above)
from measure import table as coverage_table  # noqa: E402 (as that)

RESULTS = ROOT / "docs" / "results"
BUILD = ROOT / "build" / "results"
TABLE = RESULTS / "results.toml"
CODECHECK = ROOT / "codecheck.yml"
PICTURES = ROOT / "docs" / "pictures" / "pictures.toml"
_OF_CODE = frozenset(ROOT / "docs" / name for name in ("commands.md", "routings.md"))
"""Pages that `reference.py` makes of the code, which no result is in."""
_MANIFEST = ("# manifest", "# end of manifest")
_VERDICTS = {"verdicts.md": "reproduce-mnist", "verdicts-gaussian.md": "reproduce-gaussian"}
"""Pages, and the runs whose verdicts they show."""


@dataclass(frozen=True)
class Entry:
    """A folder of results and what makes it.

    Attributes:
        name: of the folder.
        command: that makes it.
        paper: what of the paper it is about.
        note: how it was recorded, where the command alone does not tell.
        before: commands whose results that one reads.
        stale: whether it was recorded by older code and is to be made again.
    """

    name: str
    command: str
    paper: str
    note: str = ""
    before: tuple[str, ...] = ()
    stale: bool = False

    @property
    def folder(self) -> Path:
        """Where it is."""
        return RESULTS / self.name

    @property
    def is_run(self) -> bool:
        """Whether a command of the package writes it, with a manifest."""
        return self.command.startswith("mnist-ddm ")

    @property
    def schema(self) -> int | None:
        """That of its manifest."""
        return read_json(self.folder / MANIFEST).get("schema") if (self.folder / MANIFEST).exists() else None


def entries() -> list[Entry]:
    """All folders, in the order in which they are made."""
    told = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [Entry(name, **{**what, "before": tuple(what.get("before", ()))}) for name, what in told.items()]


def asked_by(command: str) -> tuple[str, dict[str, Any]]:
    """The name of a command of the package and what its words ask for.

    Raises:
        click.UsageError: if it takes no such words.
    """
    name, *words = shlex.split(command)[1:]
    top = click.Context(cli, info_name="mnist-ddm", **cli.context_settings)  # whose settings commands remember
    return name, cli.get_command(top, name).make_context(name, words, parent=top).params


def studies_of(entry: Entry, empty: RecordingStore) -> list[Study]:
    """What the command of a run asks, of each of its trainings.

    Args:
        entry: of the run.
        empty: where nothing is recorded: of a model that is not there yet, whose place the one that ships takes.

    Raises:
        InputError: if a system cannot be loaded.
    """
    name, asked = asked_by(entry.command)
    of_system = {key: asked[key] for key in ("device", *(option.name for option in installed_options()))}
    trainings = trainings_of(asked["system"], of_system) if name == "reproduce" else [of_system]
    studies = []
    for number, options in enumerate(trainings):
        there = {key: value for key, value in options.items() if not _is_to_be_made(value)}
        pool, store = load_system(asked["system"], **there), empty if len(there) < len(options) else None
        if name == "reproduce":
            claims = tuple(map(claim_named, asked["only"])) or tuple(ledger().claims.values())
            more = {"scale": asked["scale"], "seed": asked["seed"] + number}
            studies.append(Study(pool, analyses_of(claims), store=store, **more))
        else:
            choices = {key: asked[key] for key in ("n", "steps", "seed", "solver", "distance", "features")}
            names = chosen(asked["analyses"], asked["groups"], asked["without"])
            studies.append(Study(pool, names, store=store, **choices, routings=chosen_routings(asked["routings"])))
    return studies


def _is_to_be_made(value: object) -> bool:
    """Whether an option names what a command before makes, and has not yet."""
    place = ROOT / str(value)
    return isinstance(value, str | Path) and (ROOT / "build") in place.parents and not place.exists()


def trained_seconds(command: str) -> float | None:
    """About how long a training takes on one core, by the cards of what ships; ``None`` if they do not tell."""
    digits, paris = (ROOT / "checkpoints" / name for name in ("mnist-classroom", SHIPPED))
    match shlex.split(command)[1:]:
        case ["train", *rest] if "--preset" not in rest:
            cards = [read_json(f) for f in digits.glob("*.json")]
        case ["train-experts", *rest] if "--preset" not in rest:
            cards = [read_json(f) for f in digits.glob("expert-*.json")]
        case ["paris", "train-mini", *rest] if "--share" in rest:
            told = read_json(paris / "card.json")["trained"]
            return sum(part["seconds"] for name, part in told.items() if name.startswith(("expert-", "router", "mono")))
        case _:
            return None
    return sum(card["figures"]["seconds"] for card in cards if "seconds" in card.get("figures", {}))


@dataclass
class Cost:
    """About how many seconds a folder takes.

    Attributes:
        recording: with all workers.
        tables: after it.
        training: before it, on one core.
        unknown: what is not in these numbers, and why.
    """

    recording: float = 0.0
    tables: float = 0.0
    training: float = 0.0
    unknown: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = {"training on one core": self.training, "recording": self.recording, "tables": self.tables}
        known = [f"{shown_duration(seconds)} of {what}" for what, seconds in told.items() if seconds]
        left_out = [f"not counted: {', '.join(self.unknown)}"] if self.unknown else []
        return ", ".join([*(known or ["nothing to wait for"]), *left_out])


def expected(wanted: list[Entry], workers: int) -> Iterator[tuple[Entry, Cost]]:
    """About how long each folder takes; what two need is counted once."""
    counted: dict[str, dict[Any, set[str]]] = {}
    trained: set[str] = set()
    with tempfile.TemporaryDirectory() as place:
        for entry in wanted:
            cost = Cost()
            for command in entry.before:
                seconds = trained_seconds(command)
                if seconds is None:
                    cost.unknown.append(f"`{command}`")
                elif command not in trained:
                    cost.training += seconds
                trained.add(command)
            if entry.is_run:
                _count(entry, cost, counted, RecordingStore(Path(place)), workers)
            else:
                cost.unknown.append(f"`{entry.command}`")
            yield entry, cost


def _count(
    entry: Entry, cost: Cost, counted: dict[str, dict[Any, set[str]]], empty: RecordingStore, workers: int
) -> None:
    """Add what recordings and tables of a run take."""
    try:
        studies = studies_of(entry, empty)
    except InputError as error:
        cost.unknown.append(str(error))
        return
    for study in studies:
        model = entry.command if study.store is empty else json.dumps(dict(study.pool.fingerprints))
        cost.recording += not_counted(study.plan(), counted.setdefault(model, {})).seconds(workers)
        if study.table_seconds is None:
            cost.unknown.append("tables that nobody timed")
        cost.tables += study.table_seconds or 0


def not_counted(plan: Plan, seen: dict[Any, set[str]]) -> Plan:
    """What of a plan is missing and was not seen in one before; it is now."""
    rest = {v: names for v, names in plan.missing.items() if v not in seen or not set(names) <= seen[v]}
    for visits, names in rest.items():
        seen.setdefault(visits, set()).update(names)
    return Plan(plan.pool, rest, plan.store)


def tell_plan(wanted: list[Entry]) -> None:
    """Say what is made and how long it takes."""
    total, workers = Cost(), default_workers()
    for entry, cost in expected(wanted, workers):
        print(f"{entry.name}: {cost}{f'; after {_listed(entry.before)}' if entry.before else ''}", flush=True)
        total.recording += cost.recording
        total.tables += cost.tables
        total.training += cost.training
        total.unknown += [entry.name] if cost.unknown else []
    print(
        f"{len(wanted)} folders with {workers} workers: {total}\n"
        "Recordings by the pace of this machine at this moment, which other work slows; tables as they took before; "
        "trainings by the cards of what ships."
    )


def _listed(commands: tuple[str, ...]) -> str:
    return ", ".join(f"`{command}`" for command in commands)


def is_made(entry: Entry) -> bool:
    """Whether a folder is whole and was made by this code."""
    file = entry.folder / MANIFEST
    stated = read_json(file) if file.exists() else {}
    return (stated.get("schema"), stated.get("state"), stated.get("code")) == (SCHEMA, "finished", _code())


def to_make(names: list[str]) -> list[Entry]:
    """The folders that are asked for, or all runs, without those that this code made.

    Raises:
        InputError: if there is no such folder.
    """
    known = [e.name for e in entries()]
    for name in names:
        if name not in known:
            raise unknown("folder of results", name, known, f"{TABLE.relative_to(ROOT)} has all")
    return [e for e in entries() if (e.name in names if names else e.is_run) and not is_made(e)]


def make(names: list[str]) -> None:
    """Make folders again; what was stopped goes on where it was."""
    wanted = to_make(names)
    tell_plan(wanted)
    for entry in wanted:
        print(f"== {entry.name}", flush=True)
        for command in (*entry.before, entry.command):
            _run(entry, command)
        if entry.is_run:
            old = (BUILD / entry.name).with_name(f".{entry.folder.name}-before")
            shutil.rmtree(old, ignore_errors=True)
            if entry.folder.exists():
                entry.folder.rename(old)
            entry.folder.parent.mkdir(exist_ok=True)
            (BUILD / entry.name).rename(entry.folder)
            shutil.rmtree(old, ignore_errors=True)
    write()


def _run(entry: Entry, command: str) -> None:
    """Run a command of the package or a script by this Python.

    Raises:
        InputError: if it fails; it said why.
    """
    program, *words = shlex.split(command)
    if program == "mnist-ddm":
        out = ["--out", str((BUILD / entry.name).relative_to(ROOT))] if command == entry.command else []
        words = ["-m", "mnist_ddm", *words, *out]
    if code := subprocess.run([sys.executable, *words], cwd=ROOT).returncode:
        raise InputError(f"{entry.name}: what it says above ended this with exit code {code}: `{command}`")


def documents() -> list[Path]:
    """Those that may hold numbers."""
    return [ROOT / "README.md", ROOT / "teacher" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def runs_table() -> str:
    """Every folder with its command and the code that made it, as a table."""
    every = (read_json(e.folder / MANIFEST) for e in entries() if (e.folder / MANIFEST).exists())
    stated = [one for one in every if "code" in one]
    changed = sum(bool((one.get("git") or {}).get("dirty")) for one in stated)
    lines = [
        f"{len(stated)} runs were made by {len({one['code'] for one in stated})} states of the code, {changed} of them "
        "with changes that no commit has (+); later code may give other numbers where it changed what they measure.",
        "",
        "| folder | command | paper | code |",
        "|---|---|---|---|",
    ]
    for e in entries():
        told = f"{_listed(e.before)}, then `{e.command}`" if e.before else f"`{e.command}`"
        more = "; ".join(filter(None, (e.note, "recorded by older code" if e.stale else "")))
        lines.append(f"| [{e.name}]({e.name}) | {told}{f' ({more})' if more else ''} | {e.paper} | {code_of(e)} |")
    return "\n".join(lines)


def code_of(entry: Entry) -> str:
    """The code that made a run: its commit, with a plus if there were changes; empty for what is no run."""
    file = entry.folder / MANIFEST
    told = (read_json(file).get("git") or {}) if file.exists() else {}
    return f"`{told['commit'][:8]}{'+' if told['dirty'] else ''}`" if told else ""


def codecheck_manifest() -> str:
    """The outputs for codecheck.yml: every table of the paper's numbers, and what makes it."""
    lines = ["manifest:"]
    for e in entries():
        kinds = ("results/*.csv", "verdicts.csv") if e.is_run else ("*.json",)
        for file in sorted(f for kind in kinds for f in e.folder.glob(kind)):
            comment = json.dumps(", after ".join(filter(None, (e.command, ", ".join(e.before)))))
            lines += [f"  - file: {file.relative_to(ROOT)}", f"    comment: {comment}"]
    return "\n".join(lines)


def made() -> Iterator[tuple[Path, str]]:
    """Every document and what it should be."""
    for path in documents():
        yield path, _with_tables(path, quoted(path.read_text(encoding="utf-8"), ROOT))
    for folder in sorted(f.parent for f in (ROOT / "checkpoints").glob("*/card.json")):
        card = paris_model_card(folder) if folder.name == SHIPPED else mnist_model_card(folder)
        yield folder / MODEL_CARD, card.text()
    yield CODECHECK, _between(CODECHECK.read_text(encoding="utf-8"), _MANIFEST, codecheck_manifest())


def _with_tables(path: Path, text: str) -> str:
    """A page with every block of results as it should be."""
    for name in re.findall(r"^<!-- (\w+) -->$", text, re.M):
        match name:
            case "runs":
                new = runs_table()
            case "coverage":
                new = coverage_table(read_json(RESULTS / "coverage" / "coverage.json")["rows"])
            case "judge":
                new = judge_table(read_json(RESULTS / "judge" / "judge.json"))
            case "two":
                new = verdicts_of_two()
            case "verdicts":
                run = (RESULTS / _VERDICTS.get(path.name, "reproduce-mnist")).relative_to(ROOT)
                with contextlib.chdir(ROOT):  # the page says where the run is in the checkout
                    text = with_verdicts(text, path.name, verdict_block(run, judge_run(run)))
                continue
            case _:
                continue
        text = _between(text, (f"<!-- {name} -->", f"<!-- end of {name} -->"), f"\n{new.strip()}\n")
    return text


def verdicts_of_two() -> str:
    """The table of the claims about two systems: a run of the small Paris beside that of the digits."""
    run, beside = RESULTS / "reproduce-paris-two", RESULTS / "reproduce-mnist"
    return markdown(judge_run(run, beside), f"[{run.name}]({run.name}): `{read_manifest(run).command}`.")


def _between(text: str, marks: tuple[str, str], new: str) -> str:
    before, rest = text.split(marks[0] + "\n")
    return f"{before}{marks[0]}\n{new}\n{marks[1]}{rest.split(marks[1])[1]}"


def write() -> None:
    """Write what the documents say of the results again."""
    for path, text in list(made()):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            print(path.relative_to(ROOT))


def folders() -> Iterator[str]:
    """The names of all folders of results: a run, wherever it lies, or what no run made."""
    for top in (f for f in RESULTS.iterdir() if f.is_dir()):
        runs = [m.parent for m in top.rglob(MANIFEST) if not any((up / MANIFEST).exists() for up in m.parent.parents)]
        yield from (str(f.relative_to(RESULTS)) for f in runs or [top])


def faults() -> Iterator[str]:
    """What does not hold of the results, one line each."""
    known = entries()
    there = set(folders())
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
    told = {*documents()} - _OF_CODE
    for path, text in made():
        if re.search(r"^ *<!--[=:] ", text, re.M):
            yield f"{path.relative_to(ROOT)}: a line begins with a mark, which ends the paragraph there"
        if path in told and (found := typed(text)):
            yield f"{path.relative_to(ROOT)}: typed by hand: {', '.join(found)}"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(ROOT)}: does not say what the files say; `python docs/record.py write`"


def _changed_and_unknown(known: list[Entry]) -> Iterator[str]:
    """Files that are not those of which their run's manifest has the hash, and files that nothing made."""
    rest = {file for file in RESULTS.rglob("*") if file.is_file() and file.name not in LEFT_BY_SYSTEMS}
    rest -= {TABLE, *RESULTS.glob("*.md")}
    rest -= {ROOT / word for e in known for word in shlex.split(e.command)}  # what a command reads
    for e in known:
        rest -= set(e.folder.glob("*.json")) if e.stale or not e.is_run else set()
    for manifest in sorted(RESULTS.rglob(MANIFEST)):
        stated, folder = read_json(manifest), manifest.parent
        named = {**stated["results"], **stated.get("derived", {})}
        rest -= {manifest, *(folder / name for name in named)}
        try:
            check_files(folder, named, stated["command"])
            if stated["schema"] == SCHEMA:
                rest -= {folder / CRATE}
                if not (folder / CRATE).exists():
                    yield f"{(folder / CRATE).relative_to(ROOT)}: not there; `mnist-ddm report` writes it"
                check_crate(folder, MANIFEST, read_manifest(folder))
        except InputError as error:
            yield str(error).replace(f"{ROOT}/", "")
    yield from (f"{file.relative_to(ROOT)}: no run and no command of results.toml made it" for file in sorted(rest))


def _pictures() -> Iterator[str]:
    """Pictures beside the pages that no command made, or another one, and those that are not there."""
    made_by, place = tomllib.loads(PICTURES.read_text(encoding="utf-8")), PICTURES.parent
    there = {f.name for f in place.iterdir() if f.name not in {PICTURES.name, *LEFT_BY_SYSTEMS}}
    for name in sorted(there ^ made_by.keys()):
        why = f"no command in {PICTURES.name} makes it" if name in there else "not there"
        yield f"{(place / name).relative_to(ROOT)}: {why}"
    for name in sorted(there & made_by.keys()):
        with Image.open(place / name) as picture:
            said = picture.info.get("Command", made_by[name])  # the package writes it into what it draws
        if said != made_by[name]:
            yield f"{(place / name).relative_to(ROOT)}: made by `{said}`, and {PICTURES.name} says otherwise"


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


def check() -> None:
    """Tell what does not hold."""
    found = list(faults())
    print(*found, sep="\n") if found else print(f"{len(entries())} folders of results are what the documents say")
    sys.exit(1 if found else 0)


def main() -> None:
    """Do what the command line says; bad input is one line and exit code 2."""
    try:
        _main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _main() -> None:
    match sys.argv[1:]:
        case ["plan", *names]:
            tell_plan(to_make(names))
        case ["make", *names]:
            make(names)
        case ["write"]:
            write()
        case ["check"]:
            check()
        case _:
            print(__doc__, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
