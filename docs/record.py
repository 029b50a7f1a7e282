"""The results in `docs/results`: makes them again, and keeps what the documents say of them equal to their files.

    python docs/record.py plan          what `make` will do and about how long it takes
    python docs/record.py make [NAME]   makes the folders again whose code has changed, from the checkpoints that ship
    python docs/record.py write         writes numbers, tables of results, codecheck.yml and model cards again
    python docs/record.py check         tells what does not hold; 1 if anything

`docs/results/results.toml` says which command makes which folder; `marks.py`, how a page quotes a number of one.
"""

import sys

from check_results import faults
from folders import entries
from make_results import make, tell_plan, to_make
from say_results import write

from mnist_ddm.errors import InputError


def check() -> None:
    """Tell what does not hold."""
    found = list(faults())
    print(*found, sep="\n") if found else print(f"{len(entries())} folders of results are what the documents say")
    sys.exit(1 if found else 0)


def main() -> None:
    """Do what the command line says; bad input is one line and exit code 2."""
    try:
        _main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _main() -> None:
    match sys.argv[1:]:
        case ["plan", *names]:
            tell_plan(to_make(names))
        case ["make", *names]:
            make(names)
            write()
        case ["write"]:
            write()
        case ["check"]:
            check()
        case _:
            print(__doc__, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
