"""The `check-system` command."""

from typing import Any

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.screen import Screen

EXIT_BREACH = 1


@click.command("check-system")
@click.argument("system")
@options.own_options
@options.device
@options.as_json
def check_system(system: str, json: bool, **of_system: Any) -> int:
    """Try out what SYSTEM promises, and say in words what it does not keep; exit code 1 if there is anything."""
    from mnist_ddm.systems import contract
    from mnist_ddm.systems.registry import load_system
    from mnist_ddm.terminal.streams import print_json

    promises = contract.check_system(load_system(system, **of_system))
    breaches = [promise for promise in promises if promise.breach]
    if json:
        told = [{"promise": p.what, "kept": not p.breach, "breach": p.breach, "note": p.note} for p in promises]
        print_json(told)
        return EXIT_BREACH if breaches else 0
    console = Screen()
    for promise in promises:
        console.print(f"{'no' if promise.breach else 'ok'}  {promise.what}")
        if promise.breach or promise.note:
            console.print(f"      {promise.breach or promise.note}")
    console.print(f"{len(promises) - len(breaches)} of {len(promises)} promises are kept")
    return EXIT_BREACH if breaches else 0
