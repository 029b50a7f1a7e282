"""`python tests/coverage` measures the coverage of every kind of interval, below `docs/results`.

`python tests/coverage judge FOLDER FIRST LAST` judges the ledger at these seeds, and then `python tests/coverage judged
FOLDER` writes how often it was wrong. `python docs/record.py write` puts the tables of both into the documentation.
"""

import sys
from pathlib import Path

from judging import judge_table, judged, run_seed
from measure import measure_all, table

from mnist_ddm.storage.files import write_json

RESULTS = Path(__file__).parents[2] / "docs" / "results"
TRIES = 2000


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:2] == ["judge"]:
        for seed in range(int(sys.argv[3]), int(sys.argv[4])):
            run_seed(seed, Path(sys.argv[2]))
    elif sys.argv[1:2] == ["judged"]:
        found = judged(Path(sys.argv[2]))
        write_json(RESULTS / "judge" / "judge.json", found)
        print(judge_table(found))
    else:
        _coverage()


def _coverage() -> None:
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else TRIES
    rows = measure_all(tries)
    write_json(RESULTS / "coverage" / "coverage.json", {"tries": tries, "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
