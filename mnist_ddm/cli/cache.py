"""The `cache` commands."""

import click
from rich.table import Table

from mnist_ddm.terminal.screen import Screen


@click.group("cache")
def cache() -> None:
    """Look at the stored recordings, or delete them."""


@cache.command("ls")
def ls() -> None:
    """List the stored recordings."""
    from mnist_ddm.storage.cache import recording_store
    from mnist_ddm.tables.terminal import plain

    store, console = recording_store(), Screen()
    stored = store.list()
    table = Table(title=f"recordings in {store.folder}", title_justify="left")
    for heading in ("recording", "system", "what", "samples", "observables", "MB"):
        table.add_column(heading, justify="right" if heading in ("samples", "MB") else "left", overflow="fold")
    for recording in stored:
        described = dict(recording.described)
        system = str(described.pop("system", "?"))
        hidden = ("schema", "models")
        what = ", ".join(
            str(v) if k in ("kind", "routing") else f"{k} {v}" for k, v in described.items() if k not in hidden
        )
        size = f"{recording.size / 1e6:.1f}"
        samples, names = str(recording.samples), ", ".join(recording.names)
        table.add_row(*map(plain, (recording.place.name[:8], system, what, samples, names, size)))
    console.print(table)
    console.print(f"{len(stored)} recordings, {sum(r.size for r in stored) / 1e6:.1f} MB")


@cache.command("clear")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(yes: bool) -> None:
    """Delete all stored recordings; what needs them computes them again."""
    from mnist_ddm.errors import InputError
    from mnist_ddm.storage.cache import recording_store
    from mnist_ddm.storage.files import folder_size

    store = recording_store()
    size = folder_size(store.folder) / 1e6
    if not yes:
        try:
            sure = click.confirm(f"Delete all recordings in {store.folder} ({size:.1f} MB)?")
        except click.Abort:
            raise InputError("nothing was deleted, as nobody said yes; --yes deletes without asking") from None
        if not sure:
            click.echo("nothing was deleted")
            return
    click.echo(f"freed {store.clear() / 1e6:.1f} MB")
