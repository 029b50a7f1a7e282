"""What the documents say of the results: numbers, tables of runs and verdicts, codecheck.yml, model cards."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import folders
from folders import Entry, entries, listed
from marks import quoted

from mnist_ddm.claims.judge import judge_run
from mnist_ddm.claims.word import markdown
from mnist_ddm.models.model_card import MODEL_CARD, mnist_model_card
from mnist_ddm.pages.readme import verdict_block, with_verdicts
from mnist_ddm.storage.files import read_json, write_text
from mnist_ddm.study.folder import MANIFEST
from mnist_ddm.study.results import read_manifest
from paris_ddm.folder import SHIPPED
from paris_ddm.model_card import paris_model_card

sys.path.append(str(folders.ROOT / "tests" / "coverage"))  # where what `coverage` and `judge` measure becomes tables
from judging import judge_table
from measure import table as coverage_table

_MANIFEST = ("# manifest", "# end of manifest")
_VERDICTS = {"verdicts.md": "reproduce-mnist", "verdicts-gaussian.md": "reproduce-gaussian"}
"""Pages, and the runs whose verdicts they show."""


def documents() -> list[Path]:
    """Those that may hold numbers."""
    return [
        folders.ROOT / "README.md",
        folders.ROOT / "teacher" / "README.md",
        *sorted((folders.ROOT / "docs").rglob("*.md")),
    ]


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
        told = f"{listed(e.before)}, then `{e.command}`" if e.before else f"`{e.command}`"
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
            lines += [f"  - file: {file.relative_to(folders.ROOT)}", f"    comment: {comment}"]
    return "\n".join(lines)


def made() -> Iterator[tuple[Path, str]]:
    """Every document and what it should be."""
    for path in documents():
        yield path, _with_tables(path, quoted(path.read_text(encoding="utf-8"), folders.ROOT))
    for folder in sorted(f.parent for f in (folders.ROOT / "checkpoints").glob("*/card.json")):
        card = paris_model_card(folder) if folder.name == SHIPPED else mnist_model_card(folder)
        yield folder / MODEL_CARD, card.text()
    yield folders.CODECHECK, _between(folders.CODECHECK.read_text(encoding="utf-8"), _MANIFEST, codecheck_manifest())


def _with_tables(path: Path, text: str) -> str:
    """A page with every block of results as it should be."""
    for name in re.findall(r"^<!-- (\w+) -->$", text, re.M):
        match name:
            case "runs":
                new = runs_table()
            case "coverage":
                new = coverage_table(read_json(folders.RESULTS / "coverage" / "coverage.json")["rows"])
            case "judge":
                new = judge_table(read_json(folders.RESULTS / "judge" / "judge.json"))
            case "two":
                new = verdicts_of_two()
            case "verdicts":
                run = (folders.RESULTS / _VERDICTS.get(path.name, "reproduce-mnist")).relative_to(folders.ROOT)
                with contextlib.chdir(folders.ROOT):  # the page says where the run is in the checkout
                    text = with_verdicts(text, path.name, verdict_block(run, judge_run(run)))
                continue
            case _:
                continue
        text = _between(text, (f"<!-- {name} -->", f"<!-- end of {name} -->"), f"\n{new.strip()}\n")
    return text


def verdicts_of_two() -> str:
    """The table of the claims about two systems: a run of the small Paris beside that of the digits."""
    run, beside = folders.RESULTS / "reproduce-paris-two", folders.RESULTS / "reproduce-mnist"
    return markdown(judge_run(run, beside), f"[{run.name}]({run.name}): `{read_manifest(run).command}`.")


def _between(text: str, marks: tuple[str, str], new: str) -> str:
    before, rest = text.split(marks[0] + "\n")
    return f"{before}{marks[0]}\n{new}\n{marks[1]}{rest.split(marks[1])[1]}"


def write() -> None:
    """Write what the documents say of the results again."""
    for path, text in list(made()):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            print(path.relative_to(folders.ROOT))
