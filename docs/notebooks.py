"""Writes each notebook of `notebooks/*.py` as an `.ipynb` without outputs beside it, for programs that open only those.

python docs/notebooks.py
"""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "notebooks"
_CELL = re.compile(r"^# %%(.*)\n", re.M)


def notebook(source: Path) -> str:
    """The text of the `.ipynb` (nbformat 4.5) of a source whose cells begin with `# %%`."""
    _, *parts = _CELL.split(source.read_text(encoding="utf-8"))
    kinds, bodies = parts[::2], parts[1::2]
    cells = [_cell(f"{source.stem}-{i}", kind, body) for i, (kind, body) in enumerate(zip(kinds, bodies, strict=True))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _cell(name: str, kind: str, body: str) -> dict[str, Any]:
    text = body.strip("\n")
    if "[markdown]" in kind:
        lines = re.sub(r"^# ?", "", text, flags=re.M).splitlines(keepends=True)
        return {"cell_type": "markdown", "id": name, "metadata": {}, "source": lines}
    lines = text.splitlines(keepends=True)
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "id": name, "metadata": {}, "outputs": []}
    return {**code, "source": lines}


def main() -> None:
    """Write all of them."""
    for source in sorted(FOLDER.glob("*.py")):
        source.with_suffix(".ipynb").write_text(notebook(source), encoding="utf-8")
        print(source.with_suffix(".ipynb").relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
