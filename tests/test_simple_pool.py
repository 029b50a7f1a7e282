"""Models at hand as a system, the contract that every system keeps, and results as frames, arrays and HTML."""

import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from two_clusters import MEANS, PROMISES, VARIANCE, expert, real, router

import mnist_ddm
from mnist_ddm.core.flow import interpolate, velocity_target
from mnist_ddm.core.recording import Recording, sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.results import Results
from mnist_ddm.study.study import Study
from mnist_ddm.systems import registry
from mnist_ddm.systems.contract import check_system
from mnist_ddm.systems.gaussian import GaussianPool
from mnist_ddm.systems.simple import SimplePool

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def pool():
    return SimplePool([expert(0), expert(1)], router, real())


def make_pool(name=""):
    return SimplePool([expert(0), expert(1)], router, real(), name=name)


@pytest.mark.long
@pytest.mark.parametrize("name", ["", "called otherwise"])
def test_results_of_an_own_system_say_the_entry_point_that_loads_it_again(call_command, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "pair_of", SimpleNamespace(load=lambda: make_pool(name)))
    entry = EntryPoint("pair", "pair_of:load", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    asked = ("analyze", "--system", "pair", "--analysis", "averaging-variance", "--n", 3, "--steps", 2, "--workers", 1)
    code, _, error = call_command(*asked, "--out", "run")
    assert code == 0, error
    told = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (told["run"]["system"], told["title"]) == ("pair", "pair")
    assert call_command("verify", "run")[0] == 0
    assert registry.load_system("pair").name == (name or "pair")
    assert make_pool().name == "own"


def test_models_at_hand_are_a_system_that_keeps_every_promise(pool):
    twin = GaussianPool(MEANS, torch.full((2,), VARIANCE**0.5), torch.ones(2))
    mine, theirs = (sample(p, Sampling("full", n=5, steps=6)).final for p in (pool, twin))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    assert [p.breach for p in check_system(pool)] == [""] * PROMISES
    assert pool.fingerprints != SimplePool([expert(0), expert(1)], router, real(seed=1)).fingerprints
    assert pool.prior.tolist() == [0.5, 0.5]


@pytest.mark.long
def test_a_router_that_says_the_same_of_every_state_spoils_no_answer(tmp_path):
    """It has no derivative, and none is missed: that of weights which never change is 0."""

    def even(x, t):
        return x.new_zeros(len(x), 3)

    experts = [expert(0), expert(1), lambda x, t: -x]
    study = Study(SimplePool(experts, even, state_shape=(2,)), n=4, steps=3, store=RecordingStore(tmp_path))
    answers = study.run()
    norms = answers["jacobian-decomposition"].tables[0].select(routing="full")
    assert all(row["router"] is None or row["router"].value == 0 for row in norms)
    broken = SimplePool(experts, torch.no_grad()(lambda x, t: x @ torch.ones(2, 3)), state_shape=(2,))
    with pytest.raises(InputError, match="not differentiable"):
        Study(broken, ["jacobian-decomposition"], n=4, steps=3, store=RecordingStore(tmp_path / "b")).run()


@pytest.mark.long
def test_what_was_not_answered_says_why(pool, tmp_path):
    answers = Study(pool, n=4, steps=3, store=RecordingStore(tmp_path)).run()
    with pytest.raises(InputError, match=r"no answer of expert-deviation: .*at least 3 experts"):
        answers["expert-deviation"]
    with pytest.raises(InputError, match=r"unknown answer 'qualty'; did you mean 'quality'"):
        answers["qualty"]
    assert answers.get("expert-deviation") is None


@pytest.mark.parametrize("real", [torch.zeros(10, 2), (torch.zeros(10, 2),), (torch.zeros(2, 2), [0, 1])])
def test_real_states_come_with_their_clusters(real):
    with pytest.raises(InputError, match="real must be a pair of tensors"):
        SimplePool([expert(0), expert(1)], router, real=real)


def test_a_simple_pool_says_what_it_lacks():
    with pytest.raises(InputError, match="at least one expert"):
        SimplePool([], router, real())
    with pytest.raises(InputError, match="shape of a state"):
        SimplePool([expert(0)], router)
    with pytest.raises(InputError, match=r"0 \.\. 0"):
        SimplePool([expert(0)], router, real())
    with pytest.raises(InputError, match="clusters of shape"):
        SimplePool([expert(0)], router, (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64)))
    with pytest.raises(InputError, match="no monolithic"):
        SimplePool([expert(0)], router, state_shape=(2,)).monolith_velocity(*[torch.zeros(1, 2)] * 3)


@pytest.mark.long
def test_the_example_of_pictures_keeps_its_promises_and_learns(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "pictures")
    import pictures

    pool = pictures.make_pool(steps=120)
    assert [p.breach for p in check_system(pool)] == [""] * PROMISES
    final = pool.decode(sample(pool, Sampling("label", n=8, steps=8)).final)
    recording = sample(pool, Sampling("label", n=8, steps=8))
    red, blue = final[:, 0].mean(dim=(1, 2)), final[:, 2].mean(dim=(1, 2))
    assert torch.equal((blue > red).long(), recording.cluster)


def test_the_velocity_of_a_pipeline_is_that_of_its_noise(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "pipeline")
    import pipeline

    pool = pipeline.make_pool()
    assert [p.breach for p in check_system(pool)] == [""] * PROMISES

    class Knows(torch.nn.Module):
        """Predicts the noise of states whose clean picture is known."""

        def forward(self, x, step):
            return type("Out", (), {"sample": self.noise})()

    one = pipeline.PipelineExpert(pipeline.small_pipeline(0))
    one.unet, generator = Knows(), torch.Generator().manual_seed(0)
    clean, one.unet.noise = (torch.randn(4, 3, 16, 16, generator=generator) for _ in range(2))
    t = torch.tensor([0.1, 0.4, 0.7, 0.95])
    answer = one(interpolate(clean, one.unet.noise, t), t)
    torch.testing.assert_close(answer, velocity_target(clean, one.unet.noise), rtol=0, atol=1e-4)


def test_an_answer_is_a_frame_and_a_recording_an_array(pool, tmp_path):
    answer = Study(pool, ["quality"], scale="small", routings=("top1", "full"), n=6, steps=3,
                   store=RecordingStore(tmp_path)).run()["quality"]  # fmt: skip
    import pandas

    frame = answer.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["routing"].tolist() == ["top1", "full"]
    assert {"kid", "kid_low", "kid_high"} <= set(frame.columns)
    with pytest.raises(InputError, match="unknown table 'nothing'"):
        answer.to_pandas("nothing")
    html = answer._repr_html_()
    assert "<table>" in html
    assert "top1" in html
    assert "system own" in pool._repr_html_()


def test_polars_gets_the_same_columns(pool, tmp_path):
    import polars

    answer = Study(pool, ["averaging-variance"], scale="small", store=RecordingStore(tmp_path)).run()[
        "averaging-variance"
    ]
    frame = answer.to_polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame.columns == list(answer.to_pandas().columns)
    assert frame["full"].to_list() == answer.to_pandas()["full"].tolist()


def test_a_recording_is_a_data_set_with_its_times(pool):
    recording = sample(pool, Sampling("top1", n=3, steps=10), ("weights", "x@tenths"))
    data = recording.to_xarray()
    assert dict(data.sizes) == {"sample": 3, "coordinate": 2, "t": 10, "expert": 2, "tenth": 9}
    assert data["weights"].dims == ("sample", "t", "expert")
    assert data["x@tenths"].dims == ("sample", "tenth", "coordinate")
    assert data["t"].values.tolist() == recording.times.tolist()
    assert data["weights"].sel(sample=1).values.tolist() == recording.observed["weights"][1].tolist()
    assert data.attrs["routing"] == "top1"
    assert data["tenth"].values.tolist() == recording.times_of("x@tenths").tolist()


def test_axes_of_images_and_of_experts_are_told_apart_even_where_they_are_equally_long():
    times, rows = torch.tensor([1.0, 0.5]), torch.zeros(3)
    kept = {"velocities": torch.zeros(3, 2, 4, 1, 4, 4), "expert-jacobians": torch.zeros(3, 2, 4)}
    kept["jacobian-terms"] = torch.zeros(3, 2, 9)
    visits = Sampling("top1", n=3, steps=2, solver="euler")
    data = Recording(visits, times, torch.zeros(3, 1, 4, 4), rows, rows, rows, kept, "abc").to_xarray()
    assert data["final"].dims == ("sample", "channel", "row", "column")
    assert data["velocities"].dims == ("sample", "t", "expert", "channel", "row", "column")
    assert data["expert-jacobians"].dims == ("sample", "t", "expert")
    assert data["jacobian-terms"].dims == ("sample", "t", "jacobian-terms_0")


def test_pools_and_recordings_are_one_line_in_print(pool):
    assert repr(pool) == f"<{type(pool).__name__} own: 2 experts, states (2,)>"
    said = repr(sample(pool, Sampling("top1", n=2, steps=3), ("weights",)))
    assert said.startswith("<Recording top1, n = 2, heun 3: final, weights; ")
    assert "\n" not in said


def test_answers_and_tables_are_one_line_in_print(pool, tmp_path):
    answers = Study(pool, ["averaging-variance"], scale="small", store=RecordingStore(tmp_path)).run()
    answer = answers["averaging-variance"]
    assert repr(answer.table()).startswith("<Table averaging-variance: ")
    assert repr(answers) == f"{{'averaging-variance': {answer!r}}}"
    assert repr(answer).startswith("<Answer of averaging-variance (")
    results = Results("own", {table.name: table for table in answer.tables})
    for said in (repr(answer), repr(answer.table()), repr(results)):
        assert "\n" not in said
        assert len(said) < 300
    assert repr(Results("own", {})) == "<Results of own: no tables>"


def test_frames_and_arrays_say_which_extra_they_need(pool, monkeypatch):
    from mnist_ddm.tables.table import Column, Schema, Table

    for name in ("pandas", "polars", "xarray"):
        monkeypatch.setitem(sys.modules, name, None)
    table = Table(Schema("t", (Column("a", "a"),)), "", ({"a": 1},))
    with pytest.raises(InputError, match=r"mnist-ddm\[frames\]"):
        table.to_pandas()
    with pytest.raises(InputError, match=r"mnist-ddm\[polars\]"):
        table.to_polars()
    with pytest.raises(InputError, match=r"mnist-ddm\[xarray\]"):
        sample(pool, Sampling("top1", n=1, steps=1)).to_xarray()
    assert "<td>1</td>" in table._repr_html_()
    assert "recording: " in sample(pool, Sampling("top1", n=1, steps=1))._repr_html_()


def test_every_name_at_the_top_is_there():
    assert {"SimplePool", "Study", "check_system", "make_field", "register_routing", "Table"} <= set(mnist_ddm.__all__)
    for name in mnist_ddm.__all__:
        assert getattr(mnist_ddm, name).__name__ == name or name in ("Study",)


def test_what_the_example_for_azula_imports_is_there():
    """Of the file itself by its text: without azula it cannot be imported."""
    source = (Path(mnist_ddm.__file__).parent / "interop" / "azula.py").read_text()
    for text in (source, (EXAMPLES.parent / "docs" / "extending.md").read_text()):
        imported = dict(re.findall(r">>> from (mnist_ddm\S*) import (.+)", text))
        assert set(imported["mnist_ddm"].split(", ")) <= set(mnist_ddm.__all__)
        assert all(f"\ndef {name}(" in source for name in imported["mnist_ddm.interop.azula"].split(", "))


def test_a_module_is_the_command():
    import subprocess

    told = subprocess.run([sys.executable, "-m", "mnist_ddm", "--version"], capture_output=True, text=True, check=True)
    assert "mnist-ddm" in told.stdout or "version" in told.stdout
