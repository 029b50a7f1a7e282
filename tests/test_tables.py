"""Tables with a schema: files, terminal, data frames."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.files import write_json
from mnist_ddm.tables.files import from_json, read_table, to_csv, to_json
from mnist_ddm.tables.frames import to_pandas
from mnist_ddm.tables.table import Column, Schema, Table
from mnist_ddm.tables.terminal import shown_value, to_rich

NAN = float("nan")
SCHEMA = Schema(
    "toy",
    (
        Column("routing", "routing", "key", accepts=lambda name: name.startswith("top")),
        Column("kind", "kind", "key", values={"a": "the first kind", "b": "the second"}),
        Column("error", "mean error", unit="deg"),
        Column("n", "n", "note"),
        Column("paper_error", "paper", "paper", optional=True),
    ),
)
ROWS = (
    {"routing": "top1", "kind": "a", "error": Estimate(1.23456789, 1.0, 1.5), "n": 7},
    {"routing": "top2", "kind": "b", "error": None, "n": 8},
    {"routing": "top2", "kind": "a", "error": Estimate(2.0, NAN, NAN), "n": 9},
)
TABLE = Table(SCHEMA, "A table", ROWS, ("a note",))


def test_a_schema_knows_its_columns():
    assert SCHEMA["error"].heading == "mean error (deg)"
    assert [c.key for c in SCHEMA.keys] == ["routing", "kind"]
    with pytest.raises(KeyError, match=r"no column 'mean error'.*routing, kind, error"):
        SCHEMA["mean error"]
    with pytest.raises(ValueError, match="two columns"):
        Schema("twice", (Column("a", "a"), Column("a", "b")))


def test_keys_say_which_values_there_may_be():
    assert SCHEMA["routing"].allows("top7")
    assert not SCHEMA["routing"].allows("full")
    assert SCHEMA["kind"].allows("b")
    assert not SCHEMA["kind"].allows("the second")
    assert SCHEMA["kind"].shown("b") == "the second"
    assert SCHEMA["n"].shown(3) == 3


@pytest.mark.parametrize("row", [{"routing": "top1", "kind": "a", "error": 1.0}, {**ROWS[0], "Error": 1.0}])
def test_a_row_must_fit_its_schema(row):
    with pytest.raises(ValueError, match="lacks columns or has unknown ones"):
        Table(SCHEMA, "wrong", (row,))


def test_rows_and_columns_are_found_by_key():
    assert TABLE.row(routing="top2", kind="a")["n"] == 9
    assert [row["n"] for row in TABLE.select(routing="top2")] == [8, 9]
    assert TABLE.column("n") == [7, 8, 9]
    assert [c.key for c in TABLE.columns] == ["routing", "kind", "error", "n"]
    with pytest.raises(KeyError, match="no row"):
        TABLE.row(routing="top3")


def test_the_header_of_a_csv_is_the_keys():
    header, *rows = csv.reader(io.StringIO(to_csv(TABLE)))
    assert header == ["routing", "kind", "error", "error_low", "error_high", "n"]
    assert rows[0] == ["top1", "a", "1.2345679", "1", "1.5", "7"]
    assert rows[1] == ["top2", "b", "", "", "", "8"]
    assert rows[2] == ["top2", "a", "2", "", "", "9"]


def test_a_table_comes_back_from_its_json(tmp_path):
    path = tmp_path / "toy.json"
    write_json(path, to_json(TABLE))
    again = read_table(path)
    assert to_json(again) == json.loads(path.read_text()) == to_json(TABLE)
    assert again.row(routing="top1")["error"] == ROWS[0]["error"]
    assert math.isnan(again.row(n=9)["error"].low)
    assert again.schema["error"].unit == "deg"
    assert again.schema["kind"].shown("a") == "the first kind"
    assert again.schema["n"].role == "note"


@pytest.mark.parametrize(
    "change", [{"columns": None}, {"rows": [{"nowhere": 1}]}, {"rows": [{"n": [1]}]}, {"columns": [{"key": "n"}]}]
)
def test_what_is_no_table_is_named(tmp_path, change):
    path = tmp_path / "toy.json"
    write_json(path, {**to_json(TABLE), **change})
    with pytest.raises(InputError, match=r"toy\.json is not a table"):
        read_table(path)
    with pytest.raises(InputError, match="it is not a table"):
        from_json({**to_json(TABLE), **change}, "it")


def test_a_data_frame_has_numbers_and_says_what_they_are():
    frame = to_pandas(TABLE)
    assert frame.loc[0, "error_high"] == 1.5
    assert math.isnan(frame.loc[1, "error"])
    assert frame.attrs["headings"]["error"] == "mean error (deg)"
    assert frame.attrs["notes"] == ["a note"]


def _printed(width, table=TABLE, file=""):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(to_rich(table, width, file))
    return console.file.getvalue()


def test_a_terminal_shows_words_and_headings():
    text = _printed(100)
    assert "the second" in text
    assert "mean error (deg)" in text
    assert "1.235 [1, 1.5]" in text
    assert "a note" in text
    assert "not shown" not in text


WIDE = Table(
    Schema(
        "wide",
        (
            Column("routing", "routing", "key"),
            Column("remark", "a remark of many words", "note"),
            Column("error_sd", "error sd"),
            Column("error", "mean error", unit="deg"),
            Column("last", "last"),
        ),
    ),
    "Wide",
    (
        {"routing": "misaligned2", "remark": "none to speak of", "error_sd": 0.1, "error": ROWS[0]["error"], "last": 7},
        {"routing": "full", "remark": "incomprehensibilities", "error_sd": 0.2, "error": 3.25, "last": 8},
    ),
)


@pytest.mark.parametrize("width", range(12, 120))
def test_a_table_of_any_width_fits_and_breaks_no_word(width):
    text = _printed(width, WIDE)
    lines = text.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    words = set(text.split())
    assert {"misaligned2", "full"} <= words or {"misaligned2", "full"} <= words | {w.rstrip(",:") for w in words}
    if width >= 24:
        assert not words & {"misal", "igned2", "incomprehensi", "erro"}
        assert text.count("misaligned2") == 1


def test_a_narrow_table_keeps_what_was_measured_and_says_where_the_rest_is():
    text = _printed(40, WIDE, "wide.csv")
    assert "mean error" in text
    assert "last" in text
    assert "incomprehensibilities" not in text
    assert "[1, 1.5]" in text
    assert "not shown here: a remark of many words" in " ".join(text.split())
    assert "wide.csv" in text
    assert "a remark of many words; error sd" in " ".join(_printed(30, WIDE).split())  # headings may have commas


def test_a_terminal_without_room_for_a_column_gets_lists():
    text = _printed(16, WIDE)
    assert "not shown" not in text
    assert [line.rstrip() for line in text.splitlines()].count("misaligned2") == 1
    assert "last: 7" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (NAN, "not defined"),
        (0.000123, "1.2e-04"),
        (12345.6, "12346"),
        (0.12345, "0.123"),
        (1.23456, "1.235"),
        (0.0, "0"),
        ("word", "word"),
        (3, "3"),
        (Estimate(0.5, 0.25, 0.75), "0.5 [0.25, 0.75]"),
    ],
)
def test_values_for_people(value, text):
    assert shown_value(value) == text
