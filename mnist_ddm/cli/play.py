"""The `play` command."""

from pathlib import Path

import click

from mnist_ddm.terminal.screen import Screen


@click.command("play")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("play.html"), show_default=True, help="The page to write."
)
def play(out: Path) -> None:
    """Write one HTML page with a decentralized diffusion model to touch; it needs no server or network.

    Drag clusters, change widths, shares, router and experts, and see where each routing ends from the same noise.
    """
    from mnist_ddm.errors import InputError
    from mnist_ddm.pages.play import play_page
    from mnist_ddm.storage.files import check_writable, write_text

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out must be a .html file, not {out}")
    check_writable(out)
    write_text(out, play_page())
    Screen().print(f"{out}: {out.stat().st_size / 1e3:.0f} kB, opens in any browser")
