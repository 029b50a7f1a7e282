import torch

from mnist_ddm.core import flow


def test_the_path_runs_from_data_at_0_to_noise_at_1_and_its_derivative_is_the_velocity():
    clean, noise = torch.randn(2, 5, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    zero, one = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    assert torch.equal(flow.interpolate(clean, noise, zero), clean)
    assert torch.equal(flow.interpolate(clean, noise, one), noise)
    t = torch.full((5,), 0.3, dtype=torch.float64)
    _, derivative = torch.func.jvp(lambda s: flow.interpolate(clean, noise, s), (t,), (torch.ones_like(t),))
    torch.testing.assert_close(derivative, flow.velocity_target(clean, noise), rtol=0, atol=1e-15)


def test_clean_image_and_noise_are_recovered_from_the_exact_velocity():
    clean, noise = torch.randn(2, 5, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    t = torch.linspace(0.1, 1, 5, dtype=torch.float64)
    x, v = flow.interpolate(clean, noise, t), flow.velocity_target(clean, noise)
    torch.testing.assert_close(flow.predicted_clean(x, v, t), clean, rtol=0, atol=1e-14)
    torch.testing.assert_close(flow.predicted_noise(x, v, t), noise, rtol=0, atol=1e-14)


def test_the_error_is_a_mean_over_the_numbers_of_each_sample():
    clean, noise = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    predicted = torch.stack([torch.ones(1, 2, 2), torch.full((1, 2, 2), 3.0)])
    assert flow.flow_matching_error(predicted, clean, noise).tolist() == [0.0, 4.0]
