"""`python tests/coverage` measures the coverage of every kind of interval and writes what the documentation shows."""

import sys
from pathlib import Path

from measure import measure_all, table

from mnist_ddm.storage.files import write_json, write_text

DOCS = Path(__file__).parents[2] / "docs"
TRIES = 2000
BEGIN, END = "<!-- coverage -->\n", "<!-- end of coverage -->"


def main() -> None:
    """Take the number of tries from the command line."""
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else TRIES
    rows = measure_all(tries)
    folder, page = DOCS / "results" / "coverage", DOCS / "statistics.md"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "coverage.json", {"tries": tries, "rows": rows})
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    write_text(page, before + BEGIN + "\n" + table(rows) + "\n" + END + rest.partition(END)[2])
    print(table(rows))


if __name__ == "__main__":
    main()
