"""The networks of Paris against plain tensor operations, and the strict reading of their files."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from mnist_ddm.errors import InputError
from paris_ddm.checkpoint import load_mapped
from paris_ddm.config import Details, DiTExpertConfig, DiTRouterConfig, RootConfig, read_config
from paris_ddm.dit import ExpertDiT, RouterDiT, sincos_positions

PARIS_EXPERT = DiTExpertConfig(1152, 28, 16, 2, 4, 4, 4.0, 768)
PARIS_ROUTER = DiTRouterConfig(8, 768, 12, 12, 2, 4)
EXPERT = DiTExpertConfig(24, 2, 3, 2, 4, 4, 4.0, 10)
ROUTER = DiTRouterConfig(5, 24, 2, 3, 2, 4)
SIDE = 8


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_the_full_size_networks_have_the_parameters_of_the_release():
    with torch.device("meta"):
        assert count(ExpertDiT(PARIS_EXPERT, 32)) == 605_970_448
        assert count(RouterDiT(PARIS_ROUTER, 32)) == 129_136_904


def random_state(network, dtype=torch.float64):
    rng = np.random.Generator(np.random.Philox(4))
    return {name: torch.from_numpy(rng.normal(size=p.shape) * 0.3).to(dtype) for name, p in network.named_parameters()}


def expert(details=None):
    network = ExpertDiT(EXPERT, SIDE, details).double()
    network.load_state_dict(random_state(network))
    return network.eval()


def inputs(n=3):
    rng = np.random.Generator(np.random.Philox(5))
    x, text = (torch.from_numpy(rng.normal(size=shape)) for shape in ((n, 4, SIDE, SIDE), (n, 7, 10)))
    return x, torch.linspace(0.1, 0.9, n, dtype=torch.float64), text


# The reference: nothing but tensor operations on the state dict, written from the format's description.


def linear(x, s, name):
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def norm(x, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(x, context, s, name, heads):
    d = x.shape[-1]
    w, b = s[f"{name}.in_proj_weight"], s[f"{name}.in_proj_bias"]
    q, k, v = x @ w[:d].T + b[:d], context @ w[d : 2 * d].T + b[d : 2 * d], context @ w[2 * d :].T + b[2 * d :]
    outs = []
    for h in range(heads):
        part = slice(h * d // heads, (h + 1) * d // heads)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(d // heads)
        outs.append(scores.softmax(-1) @ v[..., part])
    return linear(torch.cat(outs, -1), s, f"{name}.out_proj")


def time_embedding(t, s):
    i = torch.arange(128, dtype=torch.float32)
    angle = (999 * t).float()[:, None] * torch.exp(-math.log(10000.0) * i / 128)
    wave = torch.cat([angle.cos(), angle.sin()], 1).double()
    hidden = linear(wave, s, "time_embed.mlp.0")
    return linear(hidden * torch.sigmoid(hidden), s, "time_embed.mlp.2")


def patches(x, s):
    """Row-major patches; a convolution with stride 2 is a product with each of them."""
    n = x.shape[0]
    blocks = x.reshape(n, 4, SIDE // 2, 2, SIDE // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, -1, 16)
    d = s["patch_embed.weight"].shape[0]
    return blocks @ s["patch_embed.weight"].reshape(d, 16).T + s["patch_embed.bias"] + s["pos_embed"]


def reference_expert(s, x, t, text):
    time = time_embedding(t, s)
    shared = linear(time * torch.sigmoid(time), s, "t_block.1").reshape(len(x), 6, 24)
    tokens, context = patches(x, s), linear(text, s, "text_proj")
    for i in range(2):
        name = f"layers.{i}"
        m = (s[f"{name}.scale_shift_table"][None] + shared)[:, :, None, :]
        inner = norm(tokens, 1e-6) * (1 + m[:, 1]) + m[:, 0]
        tokens = tokens + m[:, 2] * attention(inner, inner, s, f"{name}.attn", 3)
        tokens = tokens + attention(tokens, context, s, f"{name}.cross_attn", 3)
        inner = norm(tokens, 1e-6) * (1 + m[:, 4]) + m[:, 3]
        tokens = tokens + m[:, 5] * linear(gelu(linear(inner, s, f"{name}.mlp.0")), s, f"{name}.mlp.2")
    last = (s["final_layer.scale_shift_table"][None] + time[:, None])[:, :, None, :]
    out = linear(norm(tokens, 1e-6) * (1 + last[:, 1]) + last[:, 0], s, "final_layer.linear")
    image = torch.empty_like(x)
    for row in range(SIDE // 2):
        for column in range(SIDE // 2):
            block = out[:, row * (SIDE // 2) + column].reshape(-1, 2, 2, 4)
            image[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = block.permute(0, 3, 1, 2)
    return image


def reference_router(s, x, t):
    time = time_embedding(t, s)
    tokens = torch.cat([s["cls_token"].expand(len(x), -1, -1), patches(x, s)], 1)
    for i in range(2):
        name = f"layers.{i}"
        m = linear(time * torch.sigmoid(time), s, f"{name}.adaLN_modulation.1").reshape(-1, 6, 1, 24)
        inner = norm(tokens, 1e-6) * (1 + m[:, 1]) + m[:, 0]
        tokens = tokens + m[:, 2] * attention(inner, inner, s, f"{name}.attn", 3)
        inner = norm(tokens, 1e-6) * (1 + m[:, 4]) + m[:, 3]
        tokens = tokens + m[:, 5] * linear(gelu(linear(inner, s, f"{name}.mlp.0")), s, f"{name}.mlp.2")
    hidden = gelu(linear(tokens[:, 0], s, "head.0"))
    return linear(gelu(norm(hidden, 1e-6) * s["head.2.weight"] + s["head.2.bias"]), s, "head.4")


def test_an_expert_is_the_formula():
    network, (x, t, text) = expert(), inputs()
    expected = reference_expert(dict(network.named_parameters()), x, t, text)
    torch.testing.assert_close(network(x, t, text), expected, rtol=1e-10, atol=1e-10)


def test_the_router_is_the_formula():
    network = RouterDiT(ROUTER, SIDE).double()
    network.load_state_dict(random_state(network))
    x, t, _ = inputs()
    expected = reference_router(dict(network.named_parameters()), x, t)
    torch.testing.assert_close(network(x, t), expected, rtol=1e-10, atol=1e-10)


def test_attention_is_torchs_own():
    network, (x, _, _) = expert(), inputs()
    mine = network.layers[0].attn
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True).double()
    theirs.load_state_dict(mine.state_dict())
    tokens = x.reshape(3, 16, 16) @ torch.ones(16, 24, dtype=torch.float64)
    torch.testing.assert_close(mine(tokens), theirs(tokens, tokens, tokens)[0], rtol=1e-12, atol=1e-12)


def test_a_text_computed_once_and_a_batch_change_nothing():
    network, (x, t, text) = expert(), inputs()
    whole, known = network(x, t, text), network.text(text)
    assert torch.equal(network(x, t, known), whole)
    for i in range(3):
        one = [kv.select(torch.tensor([i])) for kv in known]
        torch.testing.assert_close(network(x[i : i + 1], t[i : i + 1], one), whole[i : i + 1], rtol=1e-12, atol=1e-12)


def test_details_change_the_result_as_they_say():
    x, t, text = inputs()
    plain = expert()(x, t, text)
    swapped = expert(Details(patch_order="chw"))(x, t, text)
    blocks = plain.reshape(3, 4, 4, 2, 4, 2).permute(0, 2, 4, 3, 5, 1).reshape(3, 4, 4, 16)
    other = swapped.reshape(3, 4, 4, 2, 4, 2).permute(0, 2, 4, 1, 3, 5).reshape(3, 4, 4, 16)
    torch.testing.assert_close(blocks, other)
    assert not torch.allclose(expert(Details(time="1000t"))(x, t, text), plain)
    assert torch.equal(expert(Details(time="round"))(x, (999 * t).round() / 999, text),
                       expert(Details(time="round"))(x, t, text))  # fmt: skip
    assert (expert(Details(norm_eps=1e-5))(x, t, text) - plain).abs().max() > 0
    with pytest.raises(InputError, match="time must be one of 999t, round, 1000t"):
        Details(time="998t")


def test_the_head_of_the_router_has_an_epsilon_of_its_own():
    x, t, _ = inputs()
    weights = random_state(RouterDiT(ROUTER, SIDE))

    def logits(**details):
        network = RouterDiT(ROUTER, SIDE, Details(**details)).double()
        network.load_state_dict(weights, strict=False)
        hidden = []
        network.head[0].register_forward_hook(lambda module, given, out: hidden.append(given[0]))
        return network(x, t), hidden[0]

    (plain, tokens), (head, same), (rest, moved) = logits(), logits(head_norm_eps=1e-5), logits(norm_eps=1e-5)
    assert torch.equal(tokens, same)
    assert not torch.equal(tokens, moved)
    hidden = functional.gelu(linear(tokens, weights, "head.0"), approximate="tanh")
    affine = norm(hidden, 1e-5) * weights["head.2.weight"] + weights["head.2.bias"]
    expected = linear(functional.gelu(affine, approximate="tanh"), weights, "head.4")[: len(x)]
    torch.testing.assert_close(head, expected, rtol=1e-12, atol=1e-12)
    assert (head - plain).abs().max() > 1e-10  # and rounding is below 1e-12
    assert (rest - plain).abs().max() > 1e-10  # and rounding is below 1e-12


def test_a_detail_that_came_later_leaves_older_names():
    assert Details().identity.keys() == {"norm_eps", "time", "head_activation", "patch_order", "null_text"}
    assert Details(head_norm_eps=1e-5).identity["head_norm_eps"] == 1e-5


def test_positions_tell_rows_from_columns():
    grid = sincos_positions(24, 4)[0].reshape(4, 4, 24)
    assert torch.equal(grid[0, :, 12:], grid[0, :1, 12:].expand(4, -1))  # the row is the second half
    assert torch.equal(grid[:, 0, :12], grid[:1, 0, :12].expand(4, -1))
    assert grid[2, 3, 0] == pytest.approx(math.sin(3), rel=1e-6)
    assert functional.mse_loss(grid[0, 1], grid[1, 0]) > 0


@pytest.fixture
def stored(tmp_path):
    network = expert().float()
    path = tmp_path / "weights.safetensors"
    save_file({name: p.detach().contiguous() for name, p in network.named_parameters()}, path)
    return network, path


def test_a_file_is_mapped_into_an_empty_network(stored):
    network, path = stored
    with torch.device("meta"):
        empty = ExpertDiT(EXPERT, SIDE)
    loaded = load_mapped(empty, path)
    x, t, text = (value.float() for value in inputs())
    assert torch.equal(loaded(x, t, text), network(x, t, text))
    assert not any(p.requires_grad for p in loaded.parameters())
    half = load_mapped(ExpertDiT(EXPERT, SIDE), path, torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_positions_may_be_left_out(stored):
    _, path = stored
    network = ExpertDiT(EXPERT, SIDE)
    fixed = network.pos_embed.detach().clone()
    state = {n: p.detach().contiguous() for n, p in network.named_parameters() if n != "pos_embed"}
    save_file(state, path)
    assert torch.equal(load_mapped(ExpertDiT(EXPERT, SIDE), path).pos_embed, fixed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("text_proj.bias"), "lacks tensor 'text_proj.bias'"),
        (lambda s: s.update(extra=torch.zeros(1)), "has the unknown tensor 'extra'"),
        (lambda s: s.update({"t_block.1.bias": torch.zeros(3)}), r"'t_block.1.bias' of shape \(3,\), but .* \(144,\)"),
    ],
)
def test_a_wrong_tensor_is_named(stored, change, message):
    network, path = stored
    state = {name: p.detach().contiguous() for name, p in network.named_parameters()}
    change(state)
    save_file(state, path)
    with pytest.raises(InputError, match=message):
        load_mapped(ExpertDiT(EXPERT, SIDE), path)


def test_a_truncated_or_missing_file_is_named(stored, tmp_path):
    _, path = stored
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_mapped(ExpertDiT(EXPERT, SIDE), path)
    with pytest.raises(InputError, match="does not exist"):
        load_mapped(ExpertDiT(EXPERT, SIDE), tmp_path / "nothing")


def test_configurations_are_read_strictly(tmp_path):
    path = tmp_path / "config.json"
    good = {
        **{"hidden_size": 1152, "num_layers": 28, "num_heads": 16, "patch_size": 2, "in_channels": 4},
        **{"out_channels": 4, "mlp_ratio": 4.0, "text_embed_dim": 768, "use_adaln_single": True, "expert_id": 3},
    }
    path.write_text(json.dumps(good))
    assert read_config(path, DiTExpertConfig) == PARIS_EXPERT
    path.write_text(json.dumps({"num_experts": 8, "image_size": 32, "num_channels": 4, "expert_architecture": "dit"}))
    assert read_config(path, RootConfig) == RootConfig(8, 32, 4)
    for change, message in (
        ({"num_heads": 7}, "7 heads do not divide hidden_size 1152"),
        ({"num_layers": 0}, "num_layers = 0; it must be a positive integer"),
        ({"num_layers": "28"}, "must be a positive integer"),
        ({"use_class_conditioning": True}, "use_class_conditioning = True, but only False is supported"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=message):
            read_config(path, DiTExpertConfig)
    del good["patch_size"]
    path.write_text(json.dumps(good))
    with pytest.raises(InputError, match="does not say patch_size"):
        read_config(path, DiTExpertConfig)
