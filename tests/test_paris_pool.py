"""The Paris pool on a tiny model in the release's format: against its libraries, and with spoiled files."""

import copy
import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.routing import Samples
from mnist_ddm.core.visits import Noising, Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.record import record
from mnist_ddm.systems.registry import load_system
from paris_ddm.attributes import read_classifier
from paris_ddm.captions import read_captions
from paris_ddm.config import Details, parse_details
from paris_ddm.folder import download
from paris_ddm.mini.data import captions_of
from paris_ddm.networks import Networks
from paris_ddm.pool import OWN_CAPTIONS, ParisPool, ParisSettings


@pytest.fixture
def pool(tiny_paris):
    return ParisPool(ParisSettings(tiny_paris))


@pytest.fixture
def spoiled(tiny_paris, tmp_path):
    """A copy of the model to spoil."""
    return shutil.copytree(tiny_paris, tmp_path / "model")


def states(pool, n=5):
    seeds = sample_seeds(3, n)
    return initial_noise(seeds, pool.state_shape), torch.linspace(0.1, 0.9, n), pool.condition(seeds)


def test_a_sample_has_the_same_bits_in_every_batch(pool):
    x, t, condition = states(pool, 19)
    velocity, logits, images = pool.velocity(2, x, t, condition), pool.router_logits(x, t), pool.decode(x)
    for rows in (torch.arange(1), torch.tensor([4, 7]), torch.arange(3, 16)):
        assert torch.equal(pool.velocity(2, x[rows], t[rows], condition.select(rows)), velocity[rows])
        assert torch.equal(pool.router_logits(x[rows], t[rows]), logits[rows])
        assert torch.equal(pool.decode(x[rows]), images[rows])


def test_a_velocity_is_the_guided_velocity_of_the_network(pool):
    x, t, condition = states(pool)
    network, texts = pool._networks.expert(1).network, pool._texts
    embedded = torch.stack([texts.embedding(caption) for caption in condition.captions])
    conditional = network(x, t, embedded)
    unconditional = network(x, t, texts.embedding("").expand_as(embedded))
    for scale in (1.0, 4.0, 7.5):
        asked = Condition(condition.cluster, condition.captions, scale)
        expected = unconditional + scale * (conditional - unconditional)
        torch.testing.assert_close(pool.velocity(1, x, t, asked), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        pool.velocity(1, x, t, Condition(condition.cluster)), unconditional, rtol=1e-4, atol=1e-5
    )
    assert pool.velocity(1, x[:0], t[:0], condition.select(torch.arange(0))).shape == (0, *pool.state_shape)


def test_keys_and_values_are_computed_once_for_each_caption(pool, monkeypatch):
    x, t, condition = states(pool)
    expert, calls = pool._networks.expert(0), []
    text = expert.network.text
    monkeypatch.setattr(expert.network, "text", lambda embedding: calls.append(1) or text(embedding))
    for _ in range(3):
        pool.velocity(0, x, t, condition)
    assert len(calls) == len(set(condition.captions)) + 1  # and the null text


def test_text_and_image_parts_are_those_of_their_libraries(pool, tiny_paris):
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer, Dinov2Model

    tokenizer = CLIPTokenizer.from_pretrained(tiny_paris / "tokenizer")
    tokens = tokenizer(["a red one on a blue ground"], padding="max_length", return_tensors="pt")["input_ids"]
    assert tokens.shape == (1, tokenizer.model_max_length)
    found = CLIPTextModel.from_pretrained(tiny_paris / "text_encoder")(tokens)
    torch.testing.assert_close(pool._texts.embedding("a red one on a blue ground"), found.last_hidden_state[0])
    torch.testing.assert_close(pool._texts.pooled("a red one on a blue ground"), found.pooler_output[0])

    vae, latents = AutoencoderKL.from_pretrained(tiny_paris / "vae"), states(pool)[0]
    expected = (vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pool.decode(latents), expected, rtol=1e-4, atol=1e-5)
    images = pool.decode(latents)
    mean = vae.encode(images * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    torch.testing.assert_close(pool.encode(images), mean, rtol=1e-4, atol=1e-5)

    encoder = Dinov2Model.from_pretrained(tiny_paris / "image_encoder")
    token = encoder((images - 0.5) / 0.25).last_hidden_state[:, 0]
    torch.testing.assert_close(pool.measures.embed(images), token, rtol=1e-4, atol=1e-5)
    assert torch.equal(pool.measures.distances["dinov2"](images, images), torch.zeros(len(images)))


def test_texts_leave_torch_as_it_was(pool):
    """The test below is the same in a process that has imported nothing yet."""
    pool._texts.embedding("")
    with torch.device("meta"):
        assert torch.linspace(0, 1, 2).is_meta


@pytest.mark.slow
def test_loading_leaves_torch_as_it_was(tiny_paris):
    script = f"""
from pathlib import Path
import torch
from paris_ddm.pool import ParisPool, ParisSettings
ParisPool(ParisSettings(Path({str(tiny_paris)!r})))._texts.embedding("")
with torch.device("meta"):
    assert torch.linspace(0, 1, 2).is_meta
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_null_text_may_be_zeros(tiny_paris):
    pool = ParisPool(ParisSettings(tiny_paris, details=Details(null_text="zeros")))
    assert not pool._texts.null().any()
    assert pool._texts.null().shape == pool._texts.embedding("").shape


def test_every_sample_has_its_caption_and_a_cluster_of_it(pool):
    seeds = sample_seeds(0, 600)
    condition = pool.condition(seeds)
    captions = read_captions(pool.settings.path / "captions.txt")
    assert condition.captions[: len(captions)] == captions[:600]
    assert pool.condition(seeds[7:9]).captions == condition.captions[7:9]
    assert torch.equal(pool.condition(seeds[7:9]).cluster, condition.cluster[7:9])
    assert condition.guidance == 4.0
    posterior = pool.measures.clusters.of_caption(pool.pooled_texts(condition.captions))
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(600, dtype=torch.float64))
    drawn = condition.cluster.bincount(minlength=8) / 600
    assert (drawn - posterior.mean(dim=0)).abs().max() < 0.06  # three standard deviations


def test_variants_share_what_is_loaded_and_travel_to_workers(pool):
    loaded = pool._networks
    guided = pool.variant("guidance=7.5").variant("noise=1.2")
    assert guided._networks is loaded
    assert (guided.condition(sample_seeds(0, 1)).guidance, guided.noise_scale) == (7.5, 1.2)
    again = pickle.loads(pickle.dumps(guided))
    assert again.fingerprints == guided.fingerprints
    assert again.noise_scale == 1.2
    other = pool.variant("captions=held-out")
    assert not set(other.condition(sample_seeds(0, 40)).captions) & set(
        read_captions(pool.settings.path / "captions.txt")
    )
    assert len({p.fingerprints["experts"] for p in (pool, guided, other)}) == 3
    assert len({p.fingerprints["metrics"] for p in (pool, guided, other)}) == 1
    assert copy.copy(pool).fingerprints == pool.fingerprints
    for wrong in ("guidance=x", "guidance=0.5", "captions=mine", "colour=1"):
        with pytest.raises(InputError):
            pool.variant(wrong)


def test_two_experts_in_memory_are_enough(pool, monkeypatch):
    x, t, condition = states(pool)
    expected = [pool.velocity(k, x, t, condition) for k in range(8)]
    monkeypatch.setattr("paris_ddm.networks.MEMORY_SHARE", 0.0)
    small = ParisPool(pool.settings)
    assert isinstance(small._networks, Networks)
    for k in (*range(8), 0):
        assert torch.equal(small.velocity(k, x, t, condition), expected[k])
        assert len(small._networks._experts) <= 2


def test_bfloat16_stays_near_float32(pool):
    x, t, condition = states(pool)
    half = ParisPool(ParisSettings(pool.settings.path, dtype="bfloat16"))
    assert half._networks.expert(0).network.text_proj.weight.dtype == torch.bfloat16
    velocity = half.velocity(0, x, t, condition)
    assert velocity.dtype == torch.float32
    # The stored weights are bfloat16, and layers are widened: what differs is the rounding of embedded times alone.
    torch.testing.assert_close(velocity, pool.velocity(0, x, t, condition), rtol=0.01, atol=0.005)
    torch.testing.assert_close(half.router_logits(x, t), pool.router_logits(x, t), rtol=0.01, atol=0.005)
    assert half.fingerprints["experts"] != pool.fingerprints["experts"]


def test_sampling_does_not_depend_on_workers(pool, tmp_path, global_state):
    run = Sampling("top2", n=5, steps=3)
    once = sample(pool, run, ("weights",))
    again = record(pool, run, ("weights",), RecordingStore(tmp_path))
    assert torch.equal(once.final, again.final)
    assert torch.equal(sample(pool, Sampling("top2", n=2, steps=3)).final, once.final[:2])


def test_the_router_that_knows_captions_multiplies_by_what_they_say(pool):
    seeds = sample_seeds(0, 5)
    noise, samples = initial_noise(seeds, pool.state_shape), Samples(seeds, pool.condition(seeds))
    t = torch.full((5,), 0.7)
    logits, weights = make_field(pool, "full+caption").weights(noise, t, samples)
    said = pool.measures.clusters.of_caption(pool.pooled_texts(samples.condition.captions)) / pool.prior
    expected = logits.double().softmax(dim=1) * said
    torch.testing.assert_close(weights.double(), expected / expected.sum(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)
    assert (weights - logits.softmax(dim=1)).abs().max() > 0.1


def test_guidance_may_lead_away_from_the_blend(pool, tiny_paris):
    blended = ParisPool(ParisSettings(tiny_paris, guide="blend"))
    x, t, condition = states(pool)
    plain, told = Condition(condition.cluster), Condition(condition.cluster, condition.captions, 1.0)
    shares = pool.router_logits(x, t).softmax(dim=1)
    without = sum(shares[:, k, None, None, None] * pool.velocity(k, x, t, plain) for k in range(pool.n_experts))
    for k in range(pool.n_experts):
        expected = without + 4 * (pool.velocity(k, x, t, told) - without)
        torch.testing.assert_close(blended.velocity(k, x, t, condition), expected, rtol=1e-4, atol=1e-5)
        rows = torch.tensor([3, 1])
        alone = blended.velocity(k, x[rows], t[rows], condition.select(rows))
        assert torch.equal(alone, blended.velocity(k, x, t, condition)[rows])
    assert torch.equal(blended.velocity(1, x, t, told), pool.velocity(1, x, t, told))

    def evaluated(of, routing):
        return make_field(of, routing).evaluate(x, t, Samples(sample_seeds(3, 5), condition))

    def field(of, routing):
        return evaluated(of, routing).velocity

    assert evaluated(pool, "top1").calls.tolist() == [1] * 5
    assert evaluated(blended, "top1").calls.tolist() == [1 + blended.n_experts] * 5, "all are asked without a caption"
    # With one set of weights the order of the two does not matter; where the caption has its own, it does.
    torch.testing.assert_close(field(blended, "full"), field(pool, "full"), rtol=1e-4, atol=1e-5)
    assert (field(blended, "full+caption") - field(pool, "full+caption")).abs().max() > 0.01
    assert blended.fingerprints["experts"] != pool.fingerprints["experts"]
    assert blended.fingerprints["monolith"] == pool.fingerprints["monolith"]
    with pytest.raises(InputError, match="guide"):
        ParisSettings(tiny_paris, guide="monolith")


def test_noised_real_states_have_their_own_captions_and_no_guidance(pool):
    seen = []

    def velocity(k, x, t, condition):
        seen.append(condition)
        return torch.zeros_like(x)

    pool.velocity = velocity
    sample(pool, Noising("full", n=4))
    real = pool.measures.real_condition(4)
    assert seen[0].captions == real.captions
    assert seen[0].guidance == 1
    assert torch.equal(pool.measures.real_states(4)[1], real.cluster)


def test_adherence_is_what_the_classifier_sees(pool, tiny_paris):
    images, model = pool.decode(states(pool)[0]), read_classifier(tiny_paris / "classifier", torch.device("cpu"))
    seen = [logits.argmax(dim=1).tolist() for logits in model(images)]
    right = Condition(torch.zeros(5), tuple(captions_of(*labels)[0] for labels in zip(*seen, strict=True)))
    assert pool.measures.adherence["all"](images, right).tolist() == [1.0] * 5
    silent = Condition(torch.zeros(5), ("nothing",) * 5)
    assert pool.measures.adherence["digit"](images, silent).isnan().all()


def test_a_model_with_nothing_but_the_release_has_captions_and_no_measures(spoiled):
    for name in ("captions.txt", "captions-held-out.txt", "clusters.safetensors", "real.safetensors"):
        (spoiled / name).unlink()
    for name in ("image_encoder", "classifier", "monolith"):
        shutil.rmtree(spoiled / name)
    pool = ParisPool(ParisSettings(spoiled))
    assert pool.condition(sample_seeds(0, 1)).captions[0] == read_captions(OWN_CAPTIONS / "captions.txt")[0]
    assert pool.variant("captions=held-out")._captions == read_captions(OWN_CAPTIONS / "captions-held-out.txt")
    assert (
        pool.has_monolith,
        dict(pool.measures.embeddings),
        pool.measures.classifier,
        dict(pool.measures.adherence),
    ) == (False, {}, None, {})
    assert next(iter(pool.measures.distances)) == "pixels"
    assert torch.equal(pool.prior, torch.full((8,), 0.125, dtype=torch.float64))
    for ask in (lambda: pool.measures.real_states(1), lambda: pool.measures.embed(torch.zeros(1, 3, 32, 32))):
        with pytest.raises(InputError, match=r"there is no (real.safetensors|image_encoder) in"):
            ask()
    assert sample(pool, Sampling("full", n=1, steps=1)).final.shape == (1, 4, 8, 8)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def _rewrite(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def _reconfigure(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "not a Paris model: it has no config.json"),
        (lambda f: (f / "expert_3" / "diffusion_pytorch_model.safetensors").unlink(), "has no expert_3/diffusion"),
        (lambda f: (f / "router" / "config.json").unlink(), "has no router/config.json"),
        (lambda f: _truncate(f / "expert_0" / "diffusion_pytorch_model.safetensors"), "not a whole safetensors file"),
        (lambda f: _rewrite(f / "expert_0" / "diffusion_pytorch_model.safetensors", lambda s: s.pop("text_proj.bias")),
         "lacks tensor 'text_proj.bias'"),
        (lambda f: _reconfigure(f / "expert_0" / "config.json", in_channels=3), "says 3 channels"),
        (lambda f: _reconfigure(f / "expert_0" / "config.json", num_layers=9), "lacks tensor 'layers"),
        (lambda f: _reconfigure(f / "router" / "config.json", num_clusters=4), "has 4 clusters for 8 experts"),
        (lambda f: _reconfigure(f / "config.json", use_latents=False), "use_latents = False"),
        (lambda f: shutil.rmtree(f / "tokenizer"), "there is no folder .*tokenizer"),
        (lambda f: _truncate(f / "text_encoder" / "model.safetensors"), "text_encoder cannot be read"),
        (lambda f: (f / "vae" / "config.json").write_text("{"), "config.json cannot be read as JSON"),
        (lambda f: _truncate(f / "vae" / "diffusion_pytorch_model.safetensors"), "vae cannot be read"),
        (lambda f: _truncate(f / "clusters.safetensors"), "not a whole safetensors file"),
        (lambda f: _rewrite(f / "clusters.safetensors", lambda s: s.update(prior=torch.ones(3))), "holds 3 prior"),
        (lambda f: _rewrite(f / "clusters.safetensors", lambda s: s.pop("prior")), "not a file of clusters"),
        (lambda f: (f / "classifier" / "config.json").write_text("{}"), "is not the configuration of a classifier"),
    ],
)  # fmt: skip
def test_a_spoiled_part_gives_one_error_that_names_it(spoiled, spoil, message):
    spoil(spoiled)
    with pytest.raises(InputError, match=message):
        use(spoiled)


def use(folder):
    pool = ParisPool(ParisSettings(folder))
    _ = pool.measures.embeddings, pool.measures.classifier, pool.fingerprints
    pool.decode(sample(pool, Sampling("full", n=1, steps=1)).final)


def test_wrong_settings_are_refused(tiny_paris, tmp_path):
    for options, message in (
        ({"dtype": "float16"}, "unknown dtype 'float16'; did you mean 'bfloat16'\\? there are: float32, bfloat16"),
        ({"guidance": 0.0}, "guidance must be a number of at least 1"),
        ({"guidance": float("nan")}, "guidance must be a number of at least 1"),
        ({"detail": ("time=99t",)}, "time must be one of"),
        ({"detail": ("speed=1",)}, "unknown detail 'speed=1'"),
        ({"data_dir": tmp_path / "no"}, "there is no folder"),
        ({"revision": "abc"}, "--revision belongs to a repository"),
        ({"paris_repo": "a/b"}, "give one of --paris-dir, --paris-repo"),
        ({"captions": tmp_path / "no.txt"}, "no.txt does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            load_system("paris", paris_dir=tiny_paris, **options)
    with pytest.raises(InputError, match="there is no folder"):
        load_system("paris", paris_dir=tmp_path / "nothing")
    with pytest.raises(InputError, match="the system 'gaussian' takes no --paris-dir"):
        load_system("gaussian", paris_dir=tiny_paris)
    assert parse_details(("norm_eps=1e-5", "null_text=zeros")) == Details(norm_eps=1e-5, null_text="zeros")
    assert parse_details(("head_norm_eps=0.00001",)) == Details(head_norm_eps=1e-5)
    for wrong in ("head_norm_eps=1e-4", "head_norm_eps=small"):
        with pytest.raises(InputError, match="head_norm_eps must be 1e-6 or 1e-5"):
            parse_details((wrong,))


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("paris_ddm.system.find_spec", lambda name: None if name == "diffusers" else object())
    with pytest.raises(InputError, match=r"pip install 'mnist-ddm\[paris\]'"):
        load_system("paris")


def test_the_hub_says_what_to_do(monkeypatch):
    import huggingface_hub
    from huggingface_hub import errors

    def made(kind, text="x"):
        error = kind.__new__(kind)  # their constructors want the response of whichever HTTP library they use
        error.args = (text,)
        return error

    cases = [
        (made(errors.GatedRepoError), "is gated: ask for access"),
        (made(errors.RepositoryNotFoundError), "there is no repository 'a/b', or it is private"),
        (made(errors.RevisionNotFoundError), "has no revision 'abc'"),
        (made(errors.LocalEntryNotFoundError), "not on this disk and the hub cannot be reached"),
        (made(errors.HfHubHTTPError, "boom"), r"could not be downloaded \(boom\)"),
    ]
    for error, message in cases:

        def fail(*args, error=error, **options):
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(InputError, match=message):
            download("a/b", "abc")
    monkeypatch.undo()
    with pytest.raises(InputError, match="is not the name of a repository"):
        download("not a name//", None)
    with pytest.raises(InputError, match="not on this disk and the hub cannot be reached"):
        download("nobody/nothing", None)  # HF_HUB_OFFLINE is set
