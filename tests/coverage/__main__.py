"""`python tests/coverage` measures the coverage of every kind of interval and writes what the documentation shows.

`python tests/coverage judge FOLDER FIRST LAST` judges the ledger at these seeds, and then `python tests/coverage judged
FOLDER` writes how often it was wrong.
"""

import sys
from pathlib import Path

from judging import judge_table, judged, run_seed
from measure import measure_all, table

from mnist_ddm.storage.files import write_json, write_text

DOCS = Path(__file__).parents[2] / "docs"
TRIES = 2000
BEGIN, JUDGE = "<!-- coverage -->\n", "<!-- judge -->\n"


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:2] == ["judge"]:
        for seed in range(int(sys.argv[3]), int(sys.argv[4])):
            run_seed(seed, Path(sys.argv[2]))
    elif sys.argv[1:2] == ["judged"]:
        found = judged(Path(sys.argv[2]))
        write_json(DOCS / "results" / "judge" / "judge.json", found)
        _put(judge_table(found), JUDGE, "judge")
        print(judge_table(found))
    else:
        _coverage()


def _put(text: str, begin: str, name: str) -> None:
    page = DOCS / "statistics.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    end = f"<!-- end of {name} -->"
    write_text(page, before + begin + "\n" + text + "\n" + end + rest.partition(end)[2])


def _coverage() -> None:
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else TRIES
    rows = measure_all(tries)
    write_json(DOCS / "results" / "coverage" / "coverage.json", {"tries": tries, "rows": rows})
    _put(table(rows), BEGIN, "coverage")
    print(table(rows))


if __name__ == "__main__":
    main()
