"""The script that trains and measures the paper's sizes on a GPU, by a dry run of the smallest ones."""

import json
import shlex
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "device" / "paper.py"


@pytest.mark.long
def test_a_dry_run_trains_measures_and_prints_every_table():
    words = shlex.split("--device cpu --preset tiny --steps 1 --n 6 --analysis-steps 2 --analyses expert-deviation")
    ended = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=True)
    told = json.loads(ended.stdout)
    assert told["not measured"] == {}
    assert list(told["seconds"]) == ["experts", "router", "expert-deviation", "monolith", "quality of the monolith"]
    assert told["tables"]["expert-deviation"]["expert-deviation-references"]["rows"]
    (row,) = told["tables"]["quality of the monolith"]["quality"]["rows"]
    assert row["routing"] == "monolith"


def test_no_part_goes_on_beyond_its_seconds():
    spec = spec_from_file_location("paper", SCRIPT)
    paper = module_from_spec(spec)
    spec.loader.exec_module(paper)
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="stopped"), paper.at_most(0.05):
        time.sleep(5)
    assert time.monotonic() - begin < 2
