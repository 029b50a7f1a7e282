"""The pages that are made from the code, commands and routings: `python docs/reference.py` writes them again."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from mnist_ddm.cli import cli
from mnist_ddm.core.routing import grammar
from mnist_ddm.core.routing.base import Routing
from mnist_ddm.core.spellings import MODIFIERS, STRATEGIES

HERE = Path(__file__).parent
WIDTH = 90
EXPERTS = 8
"""How many experts the costs are counted for."""

_COMMANDS = """# Commands

What `--help` says of each; `python docs/reference.py` makes this page. Exit codes: 0 it went well, 1 a defect, or an
exercise that is not right yet or a promise that `check-system` finds broken, 2 bad input (one line says what is wrong),
130 interrupted, 141 the reader left. `python -m mnist_ddm` is the same command. For completion in a shell, put a line
into its start-up file: `eval "$(_MNIST_DDM_COMPLETE=bash_source mnist-ddm)"` in bash, `zsh_source` in zsh,
`_MNIST_DDM_COMPLETE=fish_source mnist-ddm | source` in fish.
"""
_ROUTINGS = f"""# Routings

Every spelling; `python docs/reference.py` makes this page, and [](choosing-a-routing.md) says when to use which.
A cost is the most experts that a state can need, of {EXPERTS}, under the first spelling. Routings are spelled the same
way on the command line, in files and in Python: `top2`, `commit=0.9`, `full@T=0.5+clip`. `monolith` stands for the one
model trained on all data, where a system has one.
"""


def commands() -> str:
    """The page of all commands."""
    top = click.Context(cli, info_name="mnist-ddm", **{**cli.context_settings, "max_content_width": WIDTH})
    return "\n".join([_COMMANDS, *_of_group(top)])


def _of_group(context: click.Context) -> Iterator[str]:
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name, terminal_width=WIDTH)
        depth = "#" * len(inner.command_path.split())
        yield f"{depth} {inner.command_path}\n\n```text\n{command.get_help(inner)}\n```\n"
        if isinstance(command, click.Group):
            yield from _of_group(inner)


def routings() -> str:
    """The page of all strategies and modifiers."""
    made = [(spelling, grammar.parse_routing(spelling.split(",")[0])) for spelling in STRATEGIES.values()]
    changed = [(spelling, grammar.parse_routing("full" + spelling.split(",")[0])) for spelling in MODIFIERS.values()]
    table = ["| spelling | is | asks | router |", "|---|---|---|---|"]
    for spelling, routing in made:
        most, router = routing.most_experts(EXPERTS), "yes" if routing.needs_router else "no"
        table.append(f"| {_code(spelling)} | {_words(routing)[0]} | {most} | {router} |")
    parts = [_ROUTINGS, *table, "", "## Strategies", "", *map(_section, made)]
    parts += ["## Modifiers", "", "They follow a strategy, one after the other.", "", *map(_section, changed)]
    one_by_one = "each~0.8~top1"
    return "\n".join([*parts, "## Changes with time", "", _section((one_by_one, grammar.parse_routing(one_by_one)))])


def _section(found: tuple[str, Routing]) -> str:
    spelling, routing = found
    return f"### {_code(spelling)}\n\n" + "\n\n".join(_words(routing)) + "\n"


def _code(spelling: str) -> str:
    return ", ".join(f"`{part}`" if part != "..." else part for part in spelling.split(", "))


def _words(routing: Routing) -> list[str]:
    """The paragraphs of a strategy's docstring, in the site's spelling of mathematics and code."""
    text = (inspect.getdoc(type(routing)) or "").split("\nAttributes:")[0].strip()
    text = re.sub(r"^\.\. math:: (.*)$", r"$$\1$$", text, flags=re.M)
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text).replace("``", "`")
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]


PAGES = {"commands.md": commands, "routings.md": routings}


def main() -> None:
    """Write the pages."""
    for name, made in PAGES.items():
        (HERE / name).write_text(made().rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
