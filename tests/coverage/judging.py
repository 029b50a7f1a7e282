"""How often the judge is wrong: the ledger over many seeds of the exact system, held against all seeds together.

What is true of a cell is its mean over the seeds, with Student's interval of as many independent runs; the verdict of
those tables is the truth, where it is one. A verdict of one seed is false if it says the contrary of it.
"""

import functools
import json
import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnist_ddm import Study, load_system
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.contrasts import Agreement
from mnist_ddm.claims.judge import LEVEL, ReadingVerdict, Verdict, judge_all
from mnist_ddm.claims.ledger import ledger
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.stats.levels import over_values
from mnist_ddm.storage.files import write_json, write_text
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.results import Results, results_of
from mnist_ddm.tables.files import read_table, to_json
from mnist_ddm.tables.table import Table, Value

N, STEPS = 20, 4
_LEFT_OUT = ("regime-map", "cost-and-quality", "convergence")
"""They take half of the time for two claims."""
_SAID = {Verdict.REPRODUCED: "as said", Verdict.DIRECTION: "as said", Verdict.NOT: "other way"}
_SAID |= {Verdict.EQUIVALENT: "no difference"}
Tables = Mapping[str, Table]


@functools.cache
def _system() -> ExpertPool:
    """One for all seeds, so that what only measures is made once."""
    return load_system("gaussian")


def run_seed(seed: int, folder: Path) -> None:
    """The tables of one seed, into a file; nothing if it is there."""
    place = folder / f"{seed}"
    if (place / "done").exists():
        return
    pool = _system()
    names = [name for name in ANALYSES if name not in _LEFT_OUT]
    with tempfile.TemporaryDirectory() as store:
        study = Study(pool, names, scale="medium", store=RecordingStore(Path(store)), n=N, steps=STEPS, seed=seed)
        found = results_of(study, study.run(), LEVEL)
    for name, table in found.tables.items():
        write_json(place / f"{name}.json", to_json(table))
    write_json(place / "samples.json", dict(found.samples))
    write_text(place / "done", "")


def read_seed(place: Path) -> Results:
    """What `run_seed` wrote."""
    samples = json.loads((place / "samples.json").read_text())
    tables = {f.stem: read_table(f) for f in sorted(place.glob("*.json")) if f.name != "samples.json"}
    return Results("gaussian", tables, samples=samples, seed=int(place.name))


def pooled(every: Sequence[Results]) -> Results:
    """All seeds together: means over seeds, with intervals from the spread between them."""
    shared = set.intersection(*(set(results.tables) for results in every))
    tables = {name: _pooled_table([results.tables[name] for results in every]) for name in sorted(shared)}
    return replace(every[0], tables=tables)


def _pooled_table(tables: Sequence[Table]) -> Table:
    keys = [column.key for column in tables[0].schema.keys]
    named = [{tuple(row.get(key) for key in keys): row for row in table.rows} for table in tables]
    rows = []
    for name, row in named[0].items():
        of_each = [table[name] for table in named if name in table]
        rows.append({c.key: _cell(c.role, [r.get(c.key) for r in of_each], row.get(c.key)) for c in tables[0].columns})
    return replace(tables[0], rows=tuple(rows))


def _cell(role: str, values: Sequence[Value], first: Value) -> Value:
    numbers = [v.value if isinstance(v, Estimate) else v for v in values if isinstance(v, int | float | Estimate)]
    finite = [float(v) for v in numbers if not math.isnan(v)]
    if role == "measure":
        return over_values(finite).estimate if len(finite) > len(values) / 2 else None
    return sum(finite) / len(finite) if role == "note" and isinstance(first, float) and finite else first


def judged(folder: Path) -> dict[str, Any]:
    """For each claim the truth, how often each verdict came out, and how often a false one."""
    every = [
        read_seed(place) for place in sorted(folder.iterdir(), key=lambda p: int(p.name)) if (place / "done").exists()
    ]
    claims = list(ledger().claims.values())
    truth = {j.claim.id: {r.reading.name: r for r in j.readings} for j in judge_all(claims, pooled(every))}
    rows = {
        c.id: {"truths": Counter[str](), "verdicts": Counter[str](), "judged": 0, "false": 0, "false_after_holm": 0}
        for c in claims
    }
    wrong_runs = 0
    for results in every:
        wrong_here = False
        for j in judge_all(claims, results):
            row = rows[j.claim.id]
            row["verdicts"][j.verdict.value] += 1
            true = truth[j.claim.id].get(j.readings[0].reading.name) if j.readings else None
            if true is None:
                continue
            row["truths"][_truth(true)] += 1
            said = _is_false(j.verdict, true)
            row["judged"] += said is not None
            row["false"] += said is True
            row["false_after_holm"] += said is True and bool(j.survives)
            wrong_here |= said is True and bool(j.survives)
        wrong_runs += wrong_here
    tested = [row for row in rows.values() if row["judged"]]
    return {
        "seeds": len(every),
        "n": N,
        "steps": STEPS,
        "claims": {
            name: {k: dict(v) if isinstance(v, Counter) else v for k, v in row.items()} for name, row in rows.items()
        },
        "claims_with_a_truth": len(tested),
        "verdicts_that_decide": sum(row["judged"] for row in tested),
        "false": sum(row["false"] for row in tested),
        "runs_with_a_false_verdict_after_holm": wrong_runs,
    }


def _truth(true: ReadingVerdict) -> str:
    if any(c.exact for c in true.reading.comparisons):  # a p-value has no mean
        return ""
    if true.verdict is Verdict.DIRECTION and any(c.small for c in true.contrasts):
        return "as said, too small to matter"
    return _SAID.get(true.verdict, "")


def _is_false(verdict: Verdict, true: ReadingVerdict) -> bool | None:
    """Whether a verdict is false of what is true of its reading; ``None`` if it decides nothing or nobody knows."""
    exact = any(c.exact for c in true.reading.comparisons)
    if verdict not in _SAID or not true.contrasts or exact:
        return None
    known = all(c.agreement is not Agreement.OPEN for c in true.contrasts)
    if verdict is Verdict.NOT:
        refuted = any(c.agreement is Agreement.AGAINST or (c.oriented and c.oriented.high < 0) for c in true.contrasts)
        right = refuted or any(c.agreement is Agreement.ALIKE or c.small for c in true.contrasts)
    elif verdict is Verdict.EQUIVALENT:
        right = any(c.agreement is Agreement.ALIKE or c.small for c in true.contrasts)
    else:
        right = all(c.agreement is Agreement.FOR for c in true.contrasts)
        known = known or any(c.agreement is Agreement.AGAINST for c in true.contrasts)
    return False if right else True if known else None


def judge_table(found: Mapping[str, Any]) -> str:
    """For people: claims whose truth is known, and how often the judge said what."""
    worst = max(row["false"] for row in found["claims"].values()) / found["seeds"]
    lines = [
        f"Of {found['verdicts_that_decide']:,} verdicts that decide something, of "
        f"{found['claims_with_a_truth']} claims whose truth is known, at {found['seeds']} seeds (n = {found['n']}, "
        f"{found['steps']} steps), {found['false']} are false; for no claim at more than {100 * worst:.1f}% of the "
        "seeds. The truth is that of the reading that decides: another one where means have no interval. After "
        f"Holm's correction {found['runs_with_a_false_verdict_after_holm']} of the {found['seeds']} runs "
        "holds a false one.",
        "",
        "| claim | truth | as said | the other way | no difference | open | false | of those that decide |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["claims"].items():
        if not row["judged"]:
            continue
        said = Counter[str]()
        for verdict, count in row["verdicts"].items():
            said[_SAID.get(Verdict(verdict), "open")] += count
        total = sum(said.values())
        shares = [f"{100 * said[key] / total:.0f}%" for key in ("as said", "other way", "no difference", "open")]
        truths = ", else ".join(dict.fromkeys(sorted(filter(None, row["truths"]), key=row["truths"].get, reverse=True)))
        wrong = [f"{100 * row['false'] / total:.1f}%", f"{row['false']} of {row['judged']}"]
        lines.append("| " + " | ".join([f"`{name}`", truths, *shares, *wrong]) + " |")
    return "\n".join(lines) + "\n"
