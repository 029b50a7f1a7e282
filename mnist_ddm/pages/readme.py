"""The verdict table of a shipped run in a Markdown file, between two marks."""

import re
from collections.abc import Sequence
from pathlib import Path

from mnist_ddm.claims.judge import Judgement
from mnist_ddm.claims.word import markdown
from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import read_text
from mnist_ddm.storage.files import write_text
from mnist_ddm.study.results import read_manifest

BEGIN, END = "<!-- verdicts -->", "<!-- /verdicts -->"


def verdict_block(run: Path, judgements: Sequence[Judgement]) -> str:
    """What stands between the marks: the command, the counts, the table, and the note on many claims."""
    manifest = read_manifest(run)
    what = (
        f"`{manifest.command}` ({manifest.seconds:.0f} s beside the recordings that were there before, torch "
        f"{manifest.versions.get('torch', '-')}); every file of the run is in `{run}`."
    )
    return f"{BEGIN}\n\n{markdown(judgements, what)}\n\n{END}"


def put_verdicts(file: Path, run: Path, judgements: Sequence[Judgement]) -> None:
    """Replace what stands between the marks of a Markdown file.

    Raises:
        InputError: if the file cannot be read or does not hold each mark once, in order.
    """
    write_text(file, with_verdicts(read_text(file), str(file), verdict_block(run, judgements)))


def with_verdicts(text: str, name: str, block: str) -> str:
    """A Markdown file with another `verdict_block` between its marks.

    Args:
        text: of the file.
        name: of the file, for the message.
        block: the new one, with its marks.

    Raises:
        InputError: if the text does not hold each mark once, in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"{name} must hold {BEGIN} and, below it, {END}, once each")
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: block, text, flags=re.S)
