"""The report of a run and the page of two: one self-contained HTML file each, made from the results alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_ddm.analyses.registry import known_analyses
from mnist_ddm.claims.judge import MEANINGS, Judgement, Verdict
from mnist_ddm.claims.ledger import ledger
from mnist_ddm.claims.select import proper_name
from mnist_ddm.claims.word import by_measure, counts, full_table, holm_note, needed_text, stated_text
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.figures.draw import plot_legend, plot_svg
from mnist_ddm.figures.palette import routing_style
from mnist_ddm.figures.plot import Plot, read_plot
from mnist_ddm.pages.cells import badge, cell, is_number, told_columns
from mnist_ddm.pages.headline import (
    alignment,
    here,
    in_the_paper,
    order,
    quality_alone,
    shares,
    stability,
    within_classes,
)
from mnist_ddm.pages.page import data_uri, render_page
from mnist_ddm.pages.terms import glossary, with_terms
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.door import read_bytes
from mnist_ddm.storage.files import read_json, sha256, write_json, write_text
from mnist_ddm.storage.names import inside
from mnist_ddm.study.crate import write_crate
from mnist_ddm.study.folder import MANIFEST, PLOTS, SAMPLES
from mnist_ddm.study.manifest import AnalysisEntry, Manifest
from mnist_ddm.study.results import Results, read_manifest, read_results
from mnist_ddm.study.samples import SHOWN_ROUTINGS, sample_grids
from mnist_ddm.study.trainings import training_folders
from mnist_ddm.tables.files import to_csv, to_json
from mnist_ddm.tables.table import Table
from mnist_ddm.tables.terminal import shown_value

REPORT, VERDICTS = "report.html", "verdicts"
_FIRST_SAMPLES = (MONOLITH, "top1", "top2", "full", "once")
"""Routings whose samples stand on the first screen, with those that a user chose beside the shown ones."""
_GROUPS: Mapping[str, str] = {
    "alignment": "Expert-data alignment",
    "quality": "Quality of the samples",
    "sensitivity": "Sensitivity, stability, convergence",
    "interventions": "Interventions and generalization",
    "regimes": "When averaging fails, and what quality costs",
}
_HELPERS: Mapping[str, Any] = {
    "cell": cell,
    "by_measure": by_measure,
    "plain_value": lambda value: shown_value(value.value if isinstance(value, Estimate) else value),
    "is_number": is_number,
    "told_columns": told_columns,
    "badge": badge,
    "svg": plot_svg,
    "legend": plot_legend,
    "proper_name": proper_name,
    "terms": with_terms,
    "glossary_of": glossary,
    "words_of": lambda judgement: _words_of_claim(judgement),
    "stated_text": stated_text,
    "needed_text": needed_text,
}


def write_report(folder: Path, judgements: Sequence[Judgement]) -> Path:
    """Write the report of a finished run, and its verdicts as CSV and JSON; returns the page.

    Args:
        folder: of the run.
        judgements: of the claims that the run was asked for.

    Raises:
        InputError: if a result is missing or spoiled; the message names the file.
    """
    manifest, results = read_manifest(folder), read_results(folder)
    page, table = folder / REPORT, full_table(judgements)
    write_text(page, _report(folder, manifest, results, judgements))
    write_text(folder / f"{VERDICTS}.csv", to_csv(table))
    write_json(folder / f"{VERDICTS}.json", to_json(table))
    made = (page, folder / f"{VERDICTS}.csv", folder / f"{VERDICTS}.json")
    stored = read_json(folder / MANIFEST)
    write_json(folder / MANIFEST, {**stored, "derived": {file.name: sha256(file) for file in made}})
    write_crate(folder, MANIFEST, read_manifest(folder))
    return page


def write_comparison(
    out: Path,
    folders: tuple[Path, Path],
    results: Sequence[Results],
    facts: Table,
    tables: Sequence[Table],
    verdicts: Table,
) -> None:
    """Write two runs side by side as a page."""
    names = [
        f"{folder.name}: {r.system}{', scale ' + r.scale if r.scale else ''}"
        for folder, r in zip(folders, results, strict=True)
    ]
    values = {
        "title": f"{names[0]} and {names[1]}",
        "names": names,
        "facts": facts,
        "tables": tables,
        "verdicts": verdicts,
    }
    write_text(out, render_page("compare.html", {**_HELPERS, **values}, styles=("report.css",)))


def _report(folder: Path, manifest: Manifest, results: Results, judgements: Sequence[Judgement]) -> str:
    by_claim = {j.claim.id: j for j in judgements}
    sections = [_section(folder, name, entry, results, by_claim) for name, entry in manifest.analyses.items()]
    groups = {title: [s for s in sections if s["group"] == group] for group, title in _GROUPS.items()}
    groups["Other"] = [s for s in sections if s["group"] not in _GROUPS]
    values = {
        **_HELPERS,
        "title": f"The paper on {results.system}",
        "description": f"Verdicts on the claims of arXiv 2602.02685, measured on the system {results.system}.",
        "results": results,
        "manifest": manifest,
        "answers": [alignment(results), stability(results)],
        "asides": [text for say in (order, shares) if (text := say(results))],
        "plots": [*quality_alone(results), *(p for p in _points(results) if p is not None)],
        "judgements": judgements,
        "counts": counts(judgements),
        "meanings": {v: text for v, text in MEANINGS.items() if any(j.verdict is v for j in judgements)},
        "verdicts": Verdict,
        "holm": holm_note(judgements),
        "warnings": ledger().warnings,
        "groups": {title: members for title, members in groups.items() if members},
        "samples": _samples(folder, len(manifest.run.trainings)),
        "style": routing_style,
        "facts": _facts(folder, manifest),
    }
    return render_page("report.html", values, styles=("report.css",), scripts=("report.js",))


def _points(results: Results) -> list[Plot | None]:
    """Stability and quality in one picture each."""
    return [here(results), within_classes(results), in_the_paper(results)]


def _section(
    folder: Path, name: str, entry: AnalysisEntry, results: Results, by_claim: Mapping[str, Judgement]
) -> dict[str, Any]:
    analysis = known_analyses().get(name)
    question = analysis.question if analysis else name
    tables = [results.tables[t] for t in entry.tables]
    plots = [read_plot(inside(folder, f"{PLOTS}/{p}.json")) for p in entry.plots]
    concerned: list[Judgement] = [j for j in by_claim.values() if j.claim.analyses[0] == name]
    return {
        "id": name,
        "group": analysis.group if analysis else "",
        "question": question,
        "judgements": concerned,
        "tables": tables,
        "plots": [plot for plot in plots if plot.shows_something],
        "glossary": glossary(_words(question, tables, plots)),
    }


def _words_of_claim(judgement: Judgement) -> list[str]:
    """The texts of a claim's card in which symbols may occur."""
    texts = [judgement.claim.statement, judgement.reason, judgement.claim.note]
    for r in judgement.readings:
        texts += [r.reading.name, stated_text(r), r.reason, *(measure for measure, _ in by_measure(r.cells))]
        texts += [c.of for c in r.cells]
    return [text for text in texts if text]


def _words(question: str, tables: Sequence[Table], plots: Sequence[Plot]) -> list[str]:
    """The texts of a section in which symbols may occur."""
    texts = [question]
    for table in tables:
        cells = (value for row in table.rows for value in row.values() if isinstance(value, str))
        texts += [table.title, *(c.heading for c in table.columns), *table.notes, *cells]
    for plot in plots:
        names = (str(place) for series in plot.series for place in series.x if isinstance(place, str))
        texts += [plot.title, plot.x_label, plot.y_label, *(series.label for series in plot.series), *names]
    return texts


def _samples(folder: Path, trainings: int) -> list[dict[str, Any]]:
    """The grids of a run; of one of several trainings those of the first."""
    first = training_folders(folder, trainings)[0] if trainings else folder
    grids = sample_grids(first / SAMPLES)
    early = [routing for routing in grids if routing in _FIRST_SAMPLES or routing not in SHOWN_ROUTINGS] or [*grids]
    return [
        {"routing": routing, "uri": data_uri(read_bytes(file)), "first": routing in early}
        for routing, file in grids.items()
    ]


def _facts(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    """Provenance, as names and texts."""
    git = manifest.git
    facts = {
        "command": manifest.command,
        "started": f"{manifest.started or '-'}, {manifest.seconds} s in all",
        "software": ", ".join(f"{k} {v}" for k, v in manifest.versions.items()),
        "code": f"{manifest.code[:16] or '-'}"
        + (f", git {git.commit[:12]}{' with changes' if git.dirty else ''}" if git else ""),
        "hardware": ", ".join(f"{k} {v}" for k, v in manifest.hardware.items() if v),
        **{f"models: {k}": v for k, v in manifest.run.fingerprints.items()},
        **{f"source: {k}": v for k, v in manifest.sources.items()},
        "recordings": _recorded(folder, manifest),
        "files": f"{len(manifest.results)} results with their SHA-256 in {MANIFEST}",
    }
    return list(facts.items())


def _recorded(folder: Path, manifest: Manifest) -> str:
    """How much was recorded; of a run of trainings, which records nothing itself, by all of them."""
    of_each = [f for f in training_folders(folder, len(manifest.run.trainings)) if (f / MANIFEST).exists()]
    manifests = [manifest, *map(read_manifest, of_each)]
    count = sum(len(m.recordings) for m in manifests)
    evaluations = sum(r.evaluations for m in manifests for r in m.recordings.values())
    where = f" of {len(of_each)} trainings" if of_each else ""
    return f"{count}{where}, {evaluations:,} expert evaluations"
