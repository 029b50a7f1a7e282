"""The commands that read finished runs: `report`, `compare`, `verify`."""

from collections.abc import Sequence
from pathlib import Path

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.screen import Screen

_MOST_NAMES = 8
"""On a terminal, of the tables that are not shown."""
_MOST_LINES = 60
"""On a terminal, of what differs between two runs."""

_folder = click.argument("run", type=click.Path(path_type=Path))


@click.command("report")
@_folder
@click.option(
    "--readme", type=click.Path(path_type=Path), default=None, help="Put the verdicts into this Markdown file."
)
@options.beside
def report(run: Path, readme: Path | None, beside: Path | None) -> None:
    """Write RUN/report.html and the verdicts again, from the results alone.

    With --readme, the verdict table also replaces what stands between the marks `<!-- verdicts -->` and
    `<!-- /verdicts -->` of a Markdown file.
    """
    from mnist_ddm.claims.judge import judge_run
    from mnist_ddm.pages.readme import put_verdicts
    from mnist_ddm.pages.report import write_report
    from mnist_ddm.study.shipped import run_named

    judgements = judge_run(run, None if beside is None else run_named(beside))
    page = write_report(run, judgements)
    click.echo(f"{page}: {page.stat().st_size / 1e6:.2f} MB")
    if readme is not None:
        put_verdicts(readme, run, judgements)
        click.echo(f"{readme}: the verdicts of {run}")


@click.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--table", "tables", multiple=True, help="Only this table; may be repeated.  [default: the first of each]"
)
@click.option("--routings", nargs=2, default=None, help="Rows of one routing in A against those of another in B.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Also write an HTML page.")
@options.as_json
def compare(
    a: Path, b: Path, tables: tuple[str, ...], routings: tuple[str, str] | None, out: Path | None, json: bool
) -> None:
    """Put the runs A and B side by side: two systems, two routings, or two versions of the code.

    Shown is what differs: how they were made, cells whose intervals are apart, verdicts. --table shows a table whole.
    Claims about two systems get their verdict here, from a run of each. `trainings` is the run that ships: five
    trainings of the digit experts.
    """
    from rich.cells import cell_len

    from mnist_ddm.errors import unknown
    from mnist_ddm.pages.compare import (
        apart,
        differing_facts,
        differing_verdicts,
        incomparable,
        notes_of,
        side_by_side,
        verdicts_side_by_side,
    )
    from mnist_ddm.pages.report import write_comparison
    from mnist_ddm.study.results import read_manifest, read_results
    from mnist_ddm.study.shipped import run_named
    from mnist_ddm.tables.files import to_json
    from mnist_ddm.tables.terminal import to_rich
    from mnist_ddm.terminal.streams import print_json
    from mnist_ddm.terminal.tables import height, sharing

    console = Screen(stderr=json)
    a, b = run_named(a), run_named(b)
    manifests = [read_manifest(folder) for folder in (a, b)]
    results = [read_results(folder) for folder in (a, b)]
    common = side_by_side(results[0], results[1], routings)
    names = [table.name for table in common]
    for name in tables:
        if name not in names:
            raise unknown("table of both runs", name, names)
    first = {entry.tables[0] for entry in manifests[0].analyses.values() if entry.tables}
    chosen = [t for t in common if (t.name in tables if tables else t.name in first or len(common) == 1)] or common
    facts, verdicts = differing_facts(*manifests), verdicts_side_by_side(*results)
    if out is not None:
        write_comparison(out, (a, b), results, facts, common, verdicts)
    if json:
        told = {"facts": facts, "verdicts": differing_verdicts(verdicts), "apart": apart(chosen)}
        runs = {name: {"folder": str(f), "system": r.system} for name, f, r in zip("ab", (a, b), results, strict=True)}
        print_json({**runs, **{name: to_json(t) for name, t in told.items()}, "tables": list(map(to_json, chosen))})
        return
    heads = []
    for name, folder, result in zip("AB", (a, b), results, strict=True):
        scale = f", scale {result.scale}" if result.scale else ""
        heads.append(f"{name}: {folder} ({result.system}{scale}, seed {result.seed})")
    tail = [notes_of(chosen), *([f"page: {out}"] if out is not None else [])]
    if tables:
        shown = [to_rich(table, console.width) for table in chosen]
    else:
        if none := incomparable(results[0], results[1], common):
            tail.insert(0, f"in both, but no row of both has a measured number: {_some(none)}")
        if left := [name for name in names if name not in {t.name for t in chosen}]:
            tail.insert(0, f"not looked at: {_some(left)}; --table NAME shows one whole, --out PAGE all")
        taken = sum(-(-cell_len(head) // console.width) for head in heads)  # the terminal wraps them
        taken += sum(height(console, text) for text in tail)
        differing = [] if routings else [differing_verdicts(verdicts)]
        shown = sharing(console, [facts, apart(chosen), *differing], _MOST_LINES - taken)
    for head in heads:
        console.print(head, soft_wrap=True)
    for part in (*shown, *tail):
        console.print(part)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join([*names[:_MOST_NAMES], *([f"and {rest} more"] if rest > 0 else [])])


@click.command("verify")
@_folder
@click.option("--all", "everything", is_flag=True, help="Recompute every table, not only those of one analysis.")
@click.option("--files", "only_files", is_flag=True, help="Only hash the files.")
@options.place_options
def verify(run: Path, everything: bool, only_files: bool, **places: Path | None) -> None:
    """Hash every file of RUN and its recordings again, and recompute tables from those recordings.

    The first analysis whose recordings are in the cache is recomputed; a table that differs is an error.
    """
    from mnist_ddm.errors import InputError
    from mnist_ddm.storage.cache import recording_store
    from mnist_ddm.study.again import load_again
    from mnist_ddm.study.results import read_manifest
    from mnist_ddm.study.trainings import TRAININGS
    from mnist_ddm.study.verify import check_recordings, check_run, recomputable, recompute, rejoin

    manifest = read_manifest(run)
    count, foreign = check_run(run)
    click.echo(f"{count} files have the hashes of the manifest")
    if foreign:
        click.echo(f"not part of the run, and not checked: {', '.join(foreign)}")
    if only_files:
        return
    if manifest.run.trainings:
        for line in rejoin(run, manifest):
            click.echo(line)
        click.echo(f"each training is a run of its own: `mnist-ddm verify {run / TRAININGS / '1'}`, ...")
        return
    store = recording_store()
    whole, gone = check_recordings(manifest, store)
    click.echo(f"{whole} recordings in {store.folder} have theirs" + (f"; {gone} are not there" if gone else ""))
    pool = load_again(manifest, places)
    done: list[str] = []
    for study, plan in recomputable(manifest, pool, store):
        click.echo(f"recomputed from {len(plan.wanted)} recordings: {', '.join(study.analyses)}")
        for line in recompute(run, study, plan):
            click.echo(f"  {line}")
        done += study.analyses
        if not everything:
            return
    if left := [name for name in manifest.analyses if name not in done]:
        raise InputError(
            f"the recordings of {', '.join(left)} are not in {store.folder}; `{manifest.command}` makes them again, "
            "and --files leaves them out"
        )
