"""Captured launches as what they are, a cache of a pure function; and networks in other precisions."""

import gc
import pickle
from typing import final

import pytest
import torch

from mnist_ddm import load_system
from mnist_ddm.compute.batches import evaluate_in_powers
from mnist_ddm.compute.launches import Capture, Replayed, products_alone, uncollected
from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.compute.runner import Runner
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.spectral import linearize
from mnist_ddm.core.visits import start
from mnist_ddm.errors import InputError
from mnist_ddm.models.presets import preset_named
from mnist_ddm.models.unet import UNet


@final
class Rerun(Capture):
    """Repeats the call itself, into one place, as a graph does."""

    def __init__(self):
        self.captured = []

    def __call__(self, function, inputs):
        self.captured.append(tuple(tuple(i.shape) for i in inputs))
        output = function(*inputs)

        def replay():
            output.copy_(function(*inputs))

        return replay, output


def double(x, t):
    return 2 * x * t[:, None]


def test_a_function_is_captured_once_for_a_shape_and_answers_as_it_is():
    capture = Rerun()
    replayed, generator = Replayed(double, capture), torch.Generator().manual_seed(0)
    for n in (2, 3, 2, 3, 3):
        x, t = torch.rand(n, 4, generator=generator), torch.rand(n, generator=generator)
        assert replayed(x, t).equal(double(x, t))
    assert capture.captured == [((2, 4), (2,)), ((3, 4), (3,))]
    assert replayed(x.double(), t.double()).dtype == torch.float64
    assert len(capture.captured) == 3


def test_a_later_call_leaves_the_result_of_an_earlier_one_and_the_arguments_alone():
    replayed, x, t = Replayed(double, Rerun()), torch.ones(2, 1), torch.ones(2)
    first = replayed(x, t)
    replayed(5 * x, t)
    assert first.tolist() == [[2.0], [2.0]]
    assert x.tolist() == [[1.0], [1.0]]


def test_where_a_derivative_is_wanted_the_function_itself_is_called():
    capture, x = Rerun(), torch.ones(2, 1, requires_grad=True)
    replayed = Replayed(double, capture)
    (gradient,) = torch.autograd.grad(replayed(x, torch.ones(2)).sum(), x)
    assert gradient.tolist() == [[2.0], [2.0]]
    with torch.no_grad():
        assert not replayed(x, torch.ones(2)).requires_grad
    assert len(capture.captured) == 1


def test_both_products_with_a_jacobian_are_captured_and_those_of_the_function_itself():
    network = UNet(preset_named("tiny").unet).eval().requires_grad_(False)
    generator, capture = torch.Generator().manual_seed(0), Rerun()
    for parameter in network.parameters():  # a fresh network's branches are nothing
        parameter.normal_(generator=generator, std=0.1)
    replayed = Replayed(network, capture)
    for _ in range(2):
        x, u, v = (torch.randn(2, 1, 28, 28, generator=generator) for _ in range(3))
        t = torch.rand(2, generator=generator)
        maps = [linearize(lambda z, f=f, t=t: f(z, t).square(), x) for f in (network, replayed)]
        for product, vector in (("jvp", v), ("vjp", u), ("jvp", u)):  # in any order
            plain, captured = (getattr(jacobian, product)(vector) for jacobian in maps)
            torch.testing.assert_close(captured, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
    assert len(capture.captured) == 3  # the value and the two products, once for all points


def test_only_a_map_differentiates_what_is_captured():
    """Elsewhere derivatives of any order may be asked for, which the products do not have."""
    capture, x = Rerun(), torch.full((2, 1), 3.0, requires_grad=True)
    replayed = Replayed(lambda z, t: z**3 * t[:, None], capture)
    (first,) = torch.autograd.grad(replayed(x, torch.ones(2)).sum(), x, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == [[18.0], [18.0]]
    t = torch.ones(2, requires_grad=True)
    with products_alone():
        assert torch.autograd.grad(replayed(x, t).sum(), t)[0].tolist() == [27.0, 27.0]
    assert capture.captured == []


def test_what_is_captured_in_inference_mode_serves_those_outside_of_it_too():
    replayed = Replayed(double, Rerun())
    for mode in (torch.inference_mode, torch.no_grad, torch.inference_mode):
        with mode():
            assert replayed(torch.ones(2, 1), torch.ones(2)).equal(torch.full((2, 1), 2.0))


@final
class Unable(Capture):
    """What a device does that cannot capture something."""

    def __call__(self, function, inputs):
        function(*inputs)  # the warm-up
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_what_cannot_be_captured_is_called_each_time_and_said_once(caplog):
    network = UNet(preset_named("tiny").unet).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.normal_(generator=generator, std=0.1)
    replayed = Replayed(network, Unable())
    for _ in range(2):
        x, u, v = (torch.randn(2, 1, 28, 28, generator=generator) for _ in range(3))
        t = torch.rand(2, generator=generator)
        with torch.inference_mode():
            torch.testing.assert_close(replayed(x, t), network(x, t), rtol=1e-5, atol=1e-5)
        first = replayed(x, t)
        replayed(x + 1, t)
        torch.testing.assert_close(first, network(x, t), rtol=1e-5, atol=1e-5)
        maps = [linearize(lambda z, f=f, t=t: f(z, t).square(), x) for f in (network, replayed)]
        for product, vector in (("jvp", v), ("vjp", u)):
            plain, called = (getattr(jacobian, product)(vector) for jacobian in maps)
            torch.testing.assert_close(called, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
    said = [record for record in caplog.records if "could not be captured" in record.message]
    assert [record.message.endswith("stream is capturing") for record in said] == [True]


def test_no_garbage_is_collected_while_something_is_captured():
    """An older graph among it would spoil the new one."""
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError
    assert gc.isenabled()


def test_what_was_captured_stays_in_its_process():
    replayed = Replayed(double, Rerun())
    replayed(torch.ones(1, 1), torch.ones(1))
    assert pickle.loads(pickle.dumps(replayed))._known == {}


@pytest.mark.parametrize(("n", "sizes"), [(1, [16]), (16, [16]), (17, [32]), (64, [64]), (150, [64, 64, 32]), (0, [0])])
def test_large_batches_have_a_power_of_two_of_rows(n, sizes):
    seen = []

    def network(x, t):
        seen.append(len(x))
        return x * t

    x, t = torch.arange(float(n)), torch.arange(float(n)) + 1
    assert evaluate_in_powers(network, x, t, largest=64).equal(x * t)
    assert seen == sizes


def test_networks_whose_launches_are_captured_answer_as_those_whose_are_not():
    pool = load_system("mnist")
    x, samples = start(pool, sample_seeds(0, 5))
    t, capture = torch.full((5,), 0.4), Rerun()
    with torch.no_grad(), one_thread():
        plain = [pool.velocity(k, x, t, samples.condition) for k in (3, 4)]
        pool._run = Runner(torch.device("cpu"), capture=capture)
        captured = [pool.velocity(k, x, t, samples.condition) for k in (3, 4, 3)]
    assert len(capture.captured) == 2
    torch.testing.assert_close(captured, [*plain, plain[0]], rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near_float32_and_its_samples_are_never_taken_for_those():
    plain, half = (load_system("mnist", precision=name) for name in ("float32", "bfloat16"))
    x, samples = start(plain, sample_seeds(0, 4))
    t = torch.full((4,), 0.4)
    with torch.no_grad(), one_thread():
        a, b = (pool.velocity(3, x, t, samples.condition) for pool in (plain, half))
        assert half.router_logits(x, t).dtype == torch.float32
    assert b.dtype == torch.float32
    assert 1e-5 < float((a - b).norm() / a.norm()) < 0.02
    assert plain.fingerprints["experts"] != half.fingerprints["experts"]
    assert plain.fingerprints["metrics"] == half.fingerprints["metrics"]


@pytest.mark.parametrize("capture", [None, Rerun()], ids=["called", "captured"])
def test_products_with_a_jacobian_are_in_float32_whatever_networks_compute_in(capture):
    pools = [load_system("mnist", precision=name) for name in ("float32", "bfloat16")]
    if capture is not None:
        for pool, precision in zip(pools, ("float32", "bfloat16"), strict=True):
            pool._run = Runner(torch.device("cpu"), precision, Rerun())
    x, samples = start(pools[0], sample_seeds(0, 2))
    t, v = torch.full((2,), 0.4), torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with one_thread():
        products = []
        for pool in pools:
            with torch.no_grad():
                pool.velocity(3, x, t, samples.condition)  # captured in the pool's own precision
            jacobian = linearize(lambda z, pool=pool: pool.velocity(3, z, t, samples.condition).square(), x)
            products.append((jacobian.jvp(v), jacobian.vjp(v)))
    torch.testing.assert_close(products[1], products[0], rtol=1e-6, atol=1e-6)


def test_a_precision_inside_another_is_the_one_that_holds():
    a = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    cpu = torch.device("cpu")
    with computing_in("bfloat16", cpu):
        assert (a @ a).dtype == torch.bfloat16
        with computing_in("float32", cpu):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


def test_a_precision_that_is_none_or_not_here_is_refused():
    with pytest.raises(InputError, match="float32, tf32, bfloat16"):
        load_system("mnist", precision="float8")
    with pytest.raises(InputError, match="NVIDIA"):
        load_system("mnist", precision="tf32")


def test_a_precision_holds_inside_its_block_alone():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with computing_in("tf32", torch.device("cuda")):
        assert torch.backends.cudnn.allow_tf32
        with computing_in("float32", torch.device("cuda")):
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
