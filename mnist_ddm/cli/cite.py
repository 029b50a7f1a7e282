"""The `cite` command."""

import click


@click.command("cite")
def cite() -> None:
    """Print BibTeX entries of this package, of the paper whose claims it tests, and of what it builds on."""
    from importlib.metadata import version
    from importlib.resources import files

    text = files("mnist_ddm").joinpath("citation.bib").read_text(encoding="utf-8")
    click.echo(text.replace("VERSION", version("mnist-ddm")).rstrip())
