import itertools
import math

import pytest
import torch
from torch.distributions import Categorical
from torch.testing import assert_close

from jensen.gradients.importance_without_replacement import importance_without_replacement, kernel
from jensen.gradients.leave_one_out_ratios import log_hazard
from jensen.gradients.unordered_set import kernel as unordered_kernel

DOUBLE = torch.float64
LOGITS = (0.6, -0.4, 0.1, -0.9)
COST = torch.tensor([0.49, 5.29, 7.29, 0.04], dtype=DOUBLE)
EXACT_GRADIENT = torch.tensor([-1.1989235, 0.36248516, 1.14964568, -0.31320734], dtype=DOUBLE)
STEP = 0.05


def integrated(k, estimator):
    """Exact moments: a sum over the sets of k, an integral over the threshold, the largest key outside the set."""
    p = torch.tensor(LOGITS, dtype=DOUBLE).softmax(-1)
    sets = torch.tensor(list(itertools.combinations(range(len(p)), k)))  # (C, k)
    log_complement = (1 - p[sets].sum(1)).log()  # (C,)
    x = torch.arange(-60.0, 7.0, STEP, dtype=DOUBLE)  # (N,): minus the threshold
    set_ = torch.arange(len(sets)).repeat_interleave(len(x))  # (M,)
    x = x.repeat(len(sets))
    index = sets[set_].T  # (k, M)
    logits = torch.tensor(LOGITS, dtype=DOUBLE).expand(len(x), -1).clone().requires_grad_()
    log_q = logits.log_softmax(-1).T.gather(0, index)
    rate = log_complement[set_] + x
    weight = (rate - rate.exp() + log_hazard(log_q.detach() + x).sum(0)).exp() * STEP
    assert_close(weight.sum().item(), 1.0, rtol=0, atol=1e-12)
    estimates = estimator(COST[index], log_q, -x)
    (gradient,) = torch.autograd.grad(estimates.sum(), logits)
    mean = weight @ gradient
    return weight @ estimates.detach(), mean, weight @ gradient.square().sum(1) - mean.square().sum()


@pytest.mark.parametrize(("k", "variance"), [(1, None), (2, 6.96940794), (3, 1.30428643)])
def test_unbiased(k, variance):
    value, gradient, found = integrated(k, kernel)
    assert_close(value.item(), 3.12468267, rtol=0, atol=5e-9)
    assert_close(gradient, EXACT_GRADIENT, rtol=0, atol=5e-9)
    if variance is not None:  # with one value it is infinite
        assert_close(found.item(), variance, rtol=0, atol=2e-8)


@pytest.mark.parametrize(
    ("k", "ratio", "variance"),
    [(2, (0.98288, 0.93925, 0.99858, 0.99000), 3.677905), (3, (0.99213, 0.95951, 1.00357, 0.99636), 0.919383)],
)
def test_bias_of_the_normalized_one(k, ratio, variance):
    def estimator(cost, log_q, threshold):
        return kernel(cost, log_q, threshold, normalized=True)

    _, gradient, found = integrated(k, estimator)
    assert_close(gradient / EXACT_GRADIENT, torch.tensor(ratio, dtype=DOUBLE), rtol=0, atol=6e-6)
    assert_close(found.item(), variance, rtol=0, atol=6e-7)


@pytest.mark.parametrize("k", [2, 3])
def test_variance_is_above_that_of_the_unordered_set(k):
    def unordered(cost, log_q, threshold):
        log_complement = torch.log1p(-log_q.detach().exp().sum(0))
        return unordered_kernel(cost, log_q, log_complement, baseline=None)

    assert integrated(k, unordered)[2] < integrated(k, kernel)[2]


def test_weights_that_take_a_chance_for_a_rate_are_caught():
    """The twin weighs by exp(threshold), which is right for rare values only."""

    def twin(cost, log_q, threshold):
        weighted = threshold.exp() * cost
        return weighted.sum(0) + (weighted * (log_q - log_q.detach())).sum(0)

    value, gradient, _ = integrated(3, twin)
    assert_close(value.item() / 3.12468267, 0.41118, rtol=0, atol=5e-6)
    assert (gradient / EXACT_GRADIENT - 1).abs().max() > 0.5


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("samples", [4, 9])
def test_all_values_are_exact(samples, normalized):
    logits = torch.tensor(LOGITS, dtype=DOUBLE, requires_grad=True)
    value = importance_without_replacement(
        lambda z: COST[z], Categorical(logits=logits), samples=samples, normalized=normalized
    )
    assert_close(value.item(), 3.12468267, rtol=0, atol=5e-9)
    assert_close(torch.autograd.grad(value, logits)[0], EXACT_GRADIENT, rtol=0, atol=5e-9)


def test_driver_is_unbiased():
    logits = torch.tensor(LOGITS, dtype=DOUBLE).expand(40_000, 4).clone().requires_grad_()
    q = Categorical(logits=logits)
    value = importance_without_replacement(lambda z: COST[z], q, samples=3, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    for found, exact in ((value.detach().unsqueeze(1), 3.12468267), (gradient, EXACT_GRADIENT)):
        z = (found.mean(0) - exact) / found.std(0) * math.sqrt(len(found))
        assert z.abs().max() < 4.56


def test_one_more_value_is_drawn_than_summed():
    sizes = []
    importance_without_replacement(lambda z: sizes.append(len(z)) or COST[z], Categorical(torch.ones(4)), samples=2)
    assert sizes == [2]


def test_parameters_inside_f_get_the_direct_gradient():
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    value = importance_without_replacement(
        lambda z: scale * COST[z], Categorical(logits=torch.tensor(LOGITS, dtype=DOUBLE)), samples=4
    )
    assert_close(torch.autograd.grad(value, scale)[0].item(), 3.12468267, rtol=0, atol=5e-9)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 4])
def test_extreme_and_impossible_values_in_single_precision(samples, normalized):
    logits = torch.tensor([[1e4, 0.0, -1e4, 2.0], [0.5, -math.inf, 0.1, -math.inf]], requires_grad=True)
    value = importance_without_replacement(
        lambda z: (z + 1.0) ** 2, Categorical(logits=logits), samples=samples, normalized=normalized
    )
    value.sum().backward()
    assert_close(value[0].item(), 1.0)
    assert logits.grad[[0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 0, 2]].isfinite().all()
    assert logits.grad[1, [1, 3]].tolist() == [0.0, 0.0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        importance_without_replacement(lambda z: z.float(), Categorical(torch.ones(3)), samples=0)
