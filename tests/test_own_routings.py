"""Own routings and analyses: measured like those that ship, found by entry points or registered, named when broken."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
import torch

from mnist_ddm.analyses import names, registry
from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.settings import SamplingSettings, TrajectorySettings
from mnist_ddm.core import spellings
from mnist_ddm.core.recording import recording_key, sample
from mnist_ddm.core.routing import FullEnsemble, Routing, parse_routing, register_routing
from mnist_ddm.core.routing import own as own_routings
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.pages.report import _samples
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.folder import SAMPLES
from mnist_ddm.study.samples import sample_grids, save_sample_grids
from mnist_ddm.study.study import Study
from mnist_ddm.tables.table import Column, Schema

COMPARING = [name for name, analysis in registry.ANALYSES.items() if analysis.compares]


class Half(Routing):
    """Half the router, half equal weights."""

    name, needs_router = "half", True

    def check(self, n_experts):
        pass

    def most_experts(self, n_experts):
        return n_experts

    def weights(self, logits, context):
        return 0.5 * logits.softmax(dim=1) + 0.5 / logits.shape[1]


@pytest.fixture
def half(monkeypatch):
    monkeypatch.setattr(spellings, "_registered", {})
    register_routing("half", Half)


def test_a_registered_routing_is_spelled_and_changed_like_any_other(gaussian, half):
    assert parse_routing("half@T=2").name == "half@T=2"
    mine = sample(gaussian, Sampling("half", n=5, steps=4), ("weights", "logits"))
    expected = 0.5 * mine.observed["logits"].double().softmax(dim=2) + 0.125
    torch.testing.assert_close(mine.observed["weights"].double(), expected, rtol=0, atol=1e-6)


def test_samples_of_chosen_routings_are_drawn_after_the_usual_ones(gaussian, half, tmp_path):
    names = ("half", "top2", "gumbel", "full@T=2", "half@T=2")
    recordings = {v: sample(gaussian, v) for v in (Sampling(name, n=1, steps=1) for name in names)}
    save_sample_grids(gaussian, recordings, tmp_path / "usual", {})
    assert list(sample_grids(tmp_path / "usual")) == ["top2", "gumbel"]
    save_sample_grids(gaussian, recordings, tmp_path / SAMPLES, {}, ["half@T=2", "half", "top2", "top7"])
    assert list(sample_grids(tmp_path / SAMPLES)) == ["top2", "gumbel", "half", "half@T=2"]
    assert [sample["first"] for sample in _samples(tmp_path, 0)] == [True, False, True, True]


@pytest.mark.parametrize("name", ["top", "full", "monolith", "Half", "h2", "a b", "", "x"])
def test_names_that_are_taken_or_cannot_be_spelled_are_refused(name, half):
    with pytest.raises(InputError, match="cannot be the name"):
        register_routing(name, Half)


def test_another_version_of_an_own_routing_is_sampled_anew(gaussian, half):
    sampling, plain = Sampling("half", n=2, steps=2), Sampling("full", n=2, steps=2)
    first, of_full = recording_key(gaussian, sampling), recording_key(gaussian, plain)
    assert recording_key(gaussian, sampling) == first

    class Half2(Half):
        def weights(self, logits, context):
            return torch.full_like(logits, 1 / logits.shape[1])

    register_routing("half", Half2)
    assert recording_key(gaussian, sampling) != first
    assert recording_key(gaussian, Sampling("half@T=2", n=2, steps=2)) != first
    assert recording_key(gaussian, plain) == of_full
    assert own_routings.source_of(FullEnsemble()) == ""


@pytest.mark.long
def test_workers_know_what_their_parent_registered(gaussian, half, tmp_path):
    from mnist_ddm.study.record import record_all

    sampling = Sampling("half", n=300, steps=2)  # two blocks, so that processes start
    wanted = {sampling: ()}
    parallel = record_all(gaussian, wanted, RecordingStore(tmp_path / "a"), workers=2)[sampling]
    alone = record_all(gaussian, wanted, RecordingStore(tmp_path / "b"), workers=1)[sampling]
    assert torch.equal(parallel.final, alone.final)


def test_what_compares_routings_of_ones_choice_has_a_setting_for_them():
    assert len(COMPARING) >= 12
    for name in COMPARING:
        for scale in ("small", "medium", "full"):
            assert isinstance(registry.ANALYSES[name].sizes.at(scale), TrajectorySettings)


@pytest.mark.long
@pytest.mark.parametrize("name", COMPARING)
def test_every_analysis_that_compares_routings_measures_an_own_one(name, gaussian, half, answered):
    analysis = registry.ANALYSES[name]
    settings = replace(analysis.sizes.at("small"), n=4 if "quality" in name else 2, steps=4, routings=("half",))
    answer = answered(analysis, gaussian, settings)
    compared = [{row["routing"] for row in t.rows} for t in answer.tables if "routing" in {c.key for c in t.columns}]
    assert "half" in compared[0]
    assert not compared[0] - {"half", "top2"}  # top2 where others are held against it


@pytest.mark.long
def test_a_study_takes_routings_and_refuses_those_that_cannot_be(gaussian, half, tmp_path):
    store = RecordingStore(tmp_path)
    study = Study(gaussian, ["quality"], routings=["half"], n=4, steps=2, store=store)
    assert [row["routing"] for row in study.run()["quality"].tables[0].rows] == ["half"]
    assert list(sample_grids(study.write(tmp_path / "run").folder / SAMPLES)) == ["half"]
    with pytest.raises(InputError, match="unknown routing 'nowhere'"):
        Study(gaussian, ["quality"], routings=("nowhere",), store=store)
    with pytest.raises(InputError, match="top9"):
        Study(gaussian, ["quality"], routings=("top9",), store=store)
    for name in ("router-calibration", "faults", "regime-map"):
        with pytest.raises(InputError, match=f"{name}: it (measures|asks)"):
            Study(gaussian, [name], routings=("half",), store=store)
    mixed = Study(gaussian, ["quality", "regime-map"], routings=("half",), n=4, steps=2, store=store)
    assert mixed.settings["regime-map"].routings == ()
    assert list(mixed.indifferent) == ["regime-map"]


OWN_TABLES = {"averaging-variance": "full", "disagreement": "full", "expert-deviation": "top2", "rescue": "full@T=2"}
"""For each analysis of fixed routings that adds a table of chosen ones, one of the fixed ones."""


@pytest.mark.parametrize(("name", "routing"), OWN_TABLES.items())
def test_what_is_said_of_a_chosen_routing_is_what_the_fixed_tables_say_of_it(name, routing, gaussian, answered):
    analysis = registry.ANALYSES[name]
    settings = replace(analysis.sizes.at("small"), n=6, steps=4, routings=(routing,))
    tables = {table.name: table for table in answered(analysis, gaussian, settings).tables}
    assert [table.schema for table in tables.values()] == [*analysis.tables, *analysis.own_tables]
    own = tables[f"{name}-routings"].rows
    if name == "averaging-variance":
        assert [row["variance"] for row in own] == [row["full"] for row in tables[name].rows]
        assert {row["over_full"].value for row in own} == {1.0}
    elif name == "disagreement":
        (row,) = own
        for key in ("mse", "perceptual_distance"):
            assert row[f"spearman_{key}"] == tables[name].row(outcome=key)["spearman"]
        quarters = tables["disagreement-quartiles"].rows
        total = sum(q["n"] * q["d_int"].value for q in quarters)
        assert row["d_int"].value == pytest.approx(total / 6, rel=1e-12)
    elif name == "expert-deviation":
        for row in own:
            fixed = tables["expert-deviation-references"].row(reference=row["reference"])
            for key in ("selected", "non_selected", "reduction"):
                assert row[key].value == pytest.approx(fixed[key].value, rel=1e-12)
    else:
        fixed = tables["rescue-temperature"].row(t_router=2.0)
        assert own[0] == {"routing": routing, **{key: fixed[key] for key in own[0] if key != "routing"}}


def test_where_a_routing_selects_every_expert_there_are_no_others(gaussian, answered):
    analysis = registry.ANALYSES["expert-deviation"]
    settings = replace(analysis.sizes.at("small"), n=2, steps=2, routings=("uniform",))
    for row in answered(analysis, gaussian, settings).table("expert-deviation-routings").rows:
        assert row["non_selected"] is None
        assert row["reduction"] is None
        assert row["selected"].value > 0


@pytest.mark.parametrize("name", ["disagreement", "expert-deviation", "rescue"])
def test_the_monolith_has_no_experts_to_look_at(name, gaussian, tmp_path):
    study = Study(gaussian, [name], routings=["monolith"], n=2, steps=2, store=RecordingStore(tmp_path))
    assert study.absent[name] == f"{name} looks at the experts of a routing, and the monolith has none; leave it out"


# Analyses of other packages


class Theirs(Analysis[SamplingSettings]):
    """One of theirs."""

    id, group, question = "theirs", "others", "What is it?"
    tables = (Schema("theirs", (Column("n", "n"),)),)
    sizes = Sizes(SamplingSettings(n=2, steps=2), SamplingSettings(n=2), SamplingSettings(n=2))

    def needs(self, pool, settings):
        return (Need(settings.sampling("top1")),)

    def answer(self, pool, recordings, settings):
        return Answer(())


class Failing(Theirs):
    id = "failing"

    def answer(self, pool, recordings, settings):
        raise ZeroDivisionError("theirs")


class Taken(Theirs):
    id = "quality"


class SameTable(Theirs):
    id, tables = "same-table", registry.ANALYSES["quality"].tables


ready, nonsense = Theirs(), 3


@pytest.fixture
def announced(monkeypatch):
    def announce(**targets):
        entries = [EntryPoint(n.replace("_", "-"), t, names.ENTRY_POINT_GROUP) for n, t in targets.items()]
        monkeypatch.setattr(names, "entry_points", lambda group: entries)
        registry.installed_analyses.cache_clear()

    yield announce
    monkeypatch.undo()
    registry.installed_analyses.cache_clear()


@pytest.mark.parametrize("target", ["Theirs", "ready"])
def test_an_installed_analysis_is_asked_like_ours(announced, gaussian, target, tmp_path):
    announced(theirs=f"{__name__}:{target}")
    assert registry.analysis_named("theirs").question == "What is it?"
    assert registry.groups()[-2:] == ["others", "all"]
    assert registry.chosen((), ["others"], ()) == ["theirs"]
    assert Study(gaussian, ["theirs"], scale="small", store=RecordingStore(tmp_path)).run()["theirs"].tables == ()


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("theirs", "nothing_here:X", "ModuleNotFoundError"),
        ("theirs", f"{__name__}:nonsense", "it is int, not an Analysis"),
        ("other", f"{__name__}:Theirs", "its id is 'theirs'"),
        ("quality", f"{__name__}:Taken", "that ships has this name"),
        ("same_table", f"{__name__}:SameTable", "a table that ships has the name 'quality'"),
    ],
)
def test_a_broken_one_is_named_in_a_line_and_the_rest_works(announced, name, target, told):
    announced(**{name: target})
    (broken,) = registry.installed_analyses().broken.values()
    assert told in str(broken)
    assert "mend or uninstall" in str(broken)
    assert registry.analysis_named("quality") is registry.ANALYSES["quality"]
    if name != "quality":
        with pytest.raises(InputError, match="does not work"):
            registry.analysis_named(name.replace("_", "-"))


def test_one_that_fails_while_it_answers_is_named(announced, gaussian, tmp_path):
    announced(failing=f"{__name__}:Failing")
    with pytest.raises(InputError, match="the analysis 'failing' does not work"):
        Study(gaussian, ["failing"], scale="small", store=RecordingStore(tmp_path)).run()
