import math

import pytest
import torch
from torch.testing import assert_close

from jensen.bounds import iwae, normalized_weights, resampled_iwae

DOUBLE = torch.float64
K, B = 4, 30
Z_LIMIT = 4.56  # a false alarm once in 2e5 two-sided tests: the suite's budget of 1e-3 over 200


@pytest.fixture
def evaluation(plane):
    q = plane.approximation()
    noise = torch.randn(K, B, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    return q, noise, lambda each: plane.log_weights(q, each).total


def force(monkeypatch, index):
    """Let the sample `index` win whatever its weight."""

    def clocks(self, generator=None):
        self.fill_(1.0)
        self[index] = 1e-300
        return self

    monkeypatch.setattr(torch.Tensor, "exponential_", clocks)


def test_value_is_that_of_iwae(evaluation):
    _, noise, log_weights = evaluation
    assert_close(resampled_iwae(log_weights, noise), iwae(log_weights(noise)), rtol=0, atol=1e-14)


def test_gradient_is_that_of_the_sample_picked(evaluation, monkeypatch):
    q, noise, log_weights = evaluation
    for index in range(K):
        force(monkeypatch, index)
        found = torch.autograd.grad(resampled_iwae(log_weights, noise).sum(), q)
        exact = torch.autograd.grad(log_weights(noise)[index].sum(), q)
        for one, other in zip(found, exact, strict=True):
            assert_close(one, other, rtol=0, atol=1e-13)


def test_over_all_choices_of_the_sample_the_gradient_is_that_of_iwae(evaluation, monkeypatch):
    q, noise, log_weights = evaluation
    weights = normalized_weights(log_weights(noise)).detach()
    total = [torch.zeros_like(parameter) for parameter in q]
    for index in range(K):
        force(monkeypatch, index)
        bound = resampled_iwae(log_weights, noise)
        for sum_, gradient in zip(total, torch.autograd.grad((weights[index] * bound).sum(), q), strict=True):
            sum_ += gradient
    for sum_, exact in zip(total, torch.autograd.grad(iwae(log_weights(noise)).sum(), q), strict=True):
        assert_close(sum_, exact, rtol=0, atol=1e-13)


def picks(estimator, log_w, times, seed=0):
    """How often each sample is picked: with one parameter a sample, the gradient counts."""
    table = log_w.clone().requires_grad_()
    index = torch.arange(len(log_w)).reshape(-1, 1, 1).expand(-1, times, 1).to(log_w.dtype)
    bound = estimator(lambda noise: table[noise[..., 0].long()], index, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad(bound.sum(), table)[0]


def z_scores(counts, log_w, times):
    p = normalized_weights(log_w.double())
    return (counts.double() - times * p) / (times * p * (1 - p)).sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, -104.0, -750.0])
def test_a_sample_is_picked_as_often_as_its_weight_says(dtype, level):
    times = 100_000
    log_w = torch.tensor([0.0, 1.0, -2.0, 0.5, -4.0], dtype=dtype) + level
    counts = picks(resampled_iwae, log_w, times)
    assert counts.sum() == times
    assert z_scores(counts, log_w, times).abs().max() < Z_LIMIT


def test_noise_with_the_wrong_tail_is_caught():
    def twin(log_weights, noise, *, generator):
        log_w = log_weights(noise)
        gauss = torch.randn(log_w.shape, generator=generator, dtype=log_w.dtype)
        picked = (log_w + math.pi / math.sqrt(6) * gauss).argmax(0, keepdim=True)  # of the variance of a Gumbel
        return log_weights(noise.gather(0, picked.unsqueeze(-1)))

    times = 100_000
    log_w = torch.tensor([0.0, 1.0, -2.0, 0.5, -4.0], dtype=DOUBLE)
    assert z_scores(picks(twin, log_w, times), log_w, times).abs().max() > 2 * Z_LIMIT


def test_each_datum_has_a_choice_of_its_own():
    counts = picks(resampled_iwae, torch.zeros(2, dtype=DOUBLE), 64)
    assert 0 < counts[0] < 64


def test_the_generator_alone_decides():
    log_w = torch.zeros(5, dtype=DOUBLE)
    state = torch.random.get_rng_state()
    first, same, other = (picks(resampled_iwae, log_w, 1000, seed) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_only_one_sample_is_evaluated_with_a_graph():
    calls = []

    def log_weights(noise):
        calls.append((len(noise), torch.is_grad_enabled()))
        return noise.sum(-1)

    resampled_iwae(log_weights, torch.zeros(50, 3, 2))
    assert calls == [(50, False), (1, True)]


def test_a_sample_without_weight_is_never_picked():
    counts = picks(resampled_iwae, torch.tensor([0.0, -math.inf], dtype=DOUBLE), 1000)
    assert counts.tolist() == [1000.0, 0.0]


def test_no_weight_at_all_is_minus_infinity():
    location = torch.tensor(0.0, requires_grad=True)
    bound = resampled_iwae(lambda noise: noise[..., 0] + location, torch.full((4, 2, 1), -math.inf))
    assert bound.tolist() == [-math.inf, -math.inf]
    bound.sum().backward()
    assert location.grad == 0


def test_not_a_number_is_not_hidden():
    noise = torch.zeros(4, 2, 1)
    noise[1, 0] = math.nan
    assert resampled_iwae(lambda each: each.sum(-1), noise).isnan().tolist() == [True, False]


def test_log_weights_of_another_shape_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"shape \(3, 4\) for noise \(4, 3, 2\); expected \(4, 3\)"):
        resampled_iwae(lambda noise: noise.sum(-1).T, torch.zeros(4, 3, 2))


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match=r"shape \(0, 3\) hold no sample"):
        resampled_iwae(lambda noise: noise.sum(-1), torch.zeros(0, 3, 2))
