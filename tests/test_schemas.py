"""What analyses declare of their tables is what their tables are."""

import math
from dataclasses import fields, replace

import pytest

from mnist_ddm.analyses.analysis import SCALES
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.systems.gaussian import load
from mnist_ddm.tables.table import CORRELATION, FRACTION, P_VALUE

NOT_ON_GAUSSIANS = {"quality-adherence"}
"""Nothing is asked of a Gaussian, so nothing judges whether it is there."""
TINY = {"n": 4, "steps": 2, "routings": ("label", "top1", "top2", "full"), "temperatures": (1.0, 4.0)}


@pytest.fixture(scope="module")
def pool():
    return load()


def _fits(kind, value):
    """Whether a cell's number is one that there can be."""
    number = value.value if isinstance(value, Estimate) else value
    return not isinstance(number, int | float) or math.isnan(number) or kind.low <= number <= kind.high


def _kind_by_title(title):
    """What a title says that numbers are, as far as it does; a p-value's begins with p."""
    starts = {"p": P_VALUE, "Spearman": CORRELATION, "AUC": FRACTION, "accuracy": FRACTION}
    return starts.get(title.replace(",", " ").replace("(", " ").split()[0])


def _schemas(analysis):
    """All its tables, where routings are chosen."""
    return [*analysis.tables, *analysis.own_tables]


@pytest.mark.long
@pytest.mark.parametrize("name", list(ANALYSES))
def test_tables_are_as_declared_and_keys_tell_their_rows_apart(name, pool, answered, small_map):
    analysis = ANALYSES[name]
    known = {field.name for field in fields(analysis.sizes.at("small"))}
    settings = replace(analysis.sizes.at("small"), **{key: value for key, value in TINY.items() if key in known})
    tables = answered(analysis, pool, settings).tables
    declared = [schema for schema in _schemas(analysis) if schema.name not in NOT_ON_GAUSSIANS]
    assert [table.schema for table in tables] == declared
    for table in tables:
        keys = [column.key for column in table.schema.keys]
        assert keys, f"{table.name} has no key"
        places = [tuple(row[key] for key in keys) for row in table.rows]
        assert len(set(places)) == len(places) > 0
        for column in table.schema.keys:
            assert all(column.allows(str(value)) for value in table.column(column.key)), column.key
        for row in table.rows:
            for column in table.columns:
                assert _fits(table.schema.kind(column.key, row), row.get(column.key)), column.key


def test_every_analysis_has_a_size_at_each_scale_and_tables_of_its_own():
    names = [schema.name for analysis in ANALYSES.values() for schema in _schemas(analysis)]
    assert len(set(names)) == len(names)
    for analysis in ANALYSES.values():
        assert len({type(analysis.sizes.at(scale)) for scale in SCALES}) == 1


@pytest.mark.parametrize("name", list(ANALYSES))
def test_a_column_says_what_its_title_says_that_its_numbers_are(name):
    for column in (column for schema in _schemas(ANALYSES[name]) for column in schema.columns):
        if column.role in ("measure", "note") and (kind := _kind_by_title(column.title)):
            assert column.kind == kind, column.key
        for value, words in column.values.items():
            if (kind := _kind_by_title(words)) == P_VALUE:
                assert column.kinds[value] == kind, value


@pytest.mark.parametrize("name", list(ANALYSES))
def test_columns_are_named_alike(name):
    for column in (column for schema in _schemas(ANALYSES[name]) for column in schema.columns):
        words = column.key.split("_")
        assert column.key.isidentifier()
        assert column.key == column.key.lower()
        assert column.title
        assert not column.values or column.role == "key"
        assert (words[0] == "paper") == (column.role == "paper")
        assert words[-1] != "sd" or column.role in ("note", "paper")
