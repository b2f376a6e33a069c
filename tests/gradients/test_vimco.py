"""The multi-sample objective over every tuple of draws."""

import math

import pytest
import torch
from torch.distributions import Categorical, OneHotCategorical
from torch.testing import assert_close

from jensen.bounds import iwae
from jensen.gradients import multi_sample
from jensen.gradients.multi_sample import multi_sample_score_function
from jensen.gradients.vimco import bound_without, kernel, vimco

DOUBLE = torch.float64
LOGITS = torch.tensor([0.3, -0.5, 0.1], dtype=DOUBLE)
LOG_JOINT = torch.tensor([0.05, 0.20, 0.15], dtype=DOUBLE).log()
BOUND = (-1.2749004421, -1.1099184050, -1.0446812623, -1.0111877215, -0.9911884876)
GRADIENT = torch.tensor(
    [
        [-0.39765581, 0.25445203, 0.14320378],
        [-0.23118676, 0.19169236, 0.03949441],
        [-0.15269481, 0.14629048, 0.00640433],
        [-0.11095894, 0.11579194, -0.00483300],
        [-0.08611048, 0.09479129, -0.00868081],
    ],
    dtype=DOUBLE,
)
VARIANCE = {
    "plain": (2.907607, 4.098937, 4.622129, 5.045807, 5.474893),
    "geometric": (None, 0.4085061, 0.1856807, 0.1152367, 0.08266321),
    "arithmetic": (None, 0.4085061, 0.2482667, 0.1746236, 0.1347933),
}


def estimator(name):
    if name == "plain":
        return multi_sample.kernel
    return lambda log_w, log_q: kernel(log_w, log_q, control=name)


def over_all_tuples(estimate, K, tuples, moments):
    index = tuples(3, K)
    logits = LOGITS.expand(index.shape[1], -1).clone().requires_grad_()
    log_q = Categorical(logits=logits).log_prob(index)
    return moments(estimate(LOG_JOINT[index] - log_q, log_q), logits, log_q.detach().sum(0).exp())


def exact_bound(K, tuples):
    """The objective as a function of the logits, differentiated as it stands."""
    index = tuples(3, K)
    logits = LOGITS.clone().requires_grad_()
    log_q = logits.log_softmax(-1)[index]
    value = (log_q.sum(0).exp() * iwae(LOG_JOINT[index] - log_q)).sum()
    return value.detach(), torch.autograd.grad(value, logits)[0]


CASES = [(name, K) for name in VARIANCE for K in range(1, 6) if VARIANCE[name][K - 1] is not None]


@pytest.mark.parametrize(("name", "K"), CASES)
def test_value_gradient_and_variance_over_all_tuples(name, K, tuples, moments):
    found = over_all_tuples(estimator(name), K, tuples, moments)
    value, gradient = exact_bound(K, tuples)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)
    assert_close(found.value.item(), BOUND[K - 1], atol=6e-11, rtol=0)
    assert_close(found.gradient, GRADIENT[K - 1], atol=6e-9, rtol=0)
    assert_close(found.variance.item(), VARIANCE[name][K - 1], atol=0, rtol=5e-7)


def test_the_bound_tightens_and_stays_below_the_evidence():
    assert sorted(BOUND) == list(BOUND)
    assert max(BOUND) < LOG_JOINT.logsumexp(0)


@pytest.mark.parametrize("K", [2, 3])
def test_a_control_that_sees_its_own_weight_is_caught(K, tuples, moments):
    """The bound itself as control, or an average of the costs as in leave-one-out on the ELBO."""

    def seeing_itself(log_w, log_q):
        return multi_sample.kernel(log_w, log_q, control=multi_sample.kernel(log_w, log_q).detach())

    def of_the_elbo(log_w, log_q):
        others = (log_w.sum(0) - log_w) / (len(log_w) - 1)
        return (log_w.mean(0) + ((log_w - others).detach() * log_q).mean(0)) - log_w.mean(0).detach()

    for twin in (seeing_itself, of_the_elbo):
        found = over_all_tuples(twin, K, tuples, moments)
        assert (found.gradient - exact_bound(K, tuples)[1]).abs().max() > 0.1


def test_a_weight_without_its_own_gradient_is_caught(tuples, moments):
    def twin(log_w, log_q):
        return kernel(log_w.detach(), log_q)

    found = over_all_tuples(twin, 2, tuples, moments)
    assert (found.gradient - exact_bound(2, tuples)[1]).abs().max() > 0.01


def slow_bound_without(log_w, control):
    K = len(log_w)
    rows = []
    for k in range(K):
        others = torch.cat([log_w[:k], log_w[k + 1 :]])
        own = others.mean(0) if control == "geometric" else others.logsumexp(0) - math.log(K - 1)
        rows.append(torch.logaddexp(others.logsumexp(0), own) - math.log(K))
    bound = torch.stack(rows)
    return bound.masked_fill(bound == -math.inf, 0)


@pytest.mark.parametrize("control", ["geometric", "arithmetic"])
@pytest.mark.parametrize("K", [2, 3, 10])
def test_the_held_out_bounds_are_those_of_a_loop(control, K):
    log_w = 30 * torch.randn(K, 50, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    log_w[log_w < -40] = -math.inf
    log_w[0, 0] = 700.0
    assert_close(bound_without(log_w, control=control), slow_bound_without(log_w, control), atol=1e-11, rtol=1e-13)


def test_one_weight_that_dwarfs_the_others_does_not_cancel_them():
    log_w = torch.tensor([1000.0, 0.0, 0.0], dtype=DOUBLE)
    assert_close(bound_without(log_w)[0].item(), 0.0, atol=1e-15, rtol=0)


JOINT_WITH_A_ZERO = torch.tensor([0.05, 0.0, 0.15], dtype=DOUBLE)


@pytest.mark.parametrize("control", ["geometric", "arithmetic"])
def test_weights_of_zero_give_finite_gradients(control, tuples):
    """A tuple of impossible draws alone has the bound -inf and no gradient."""
    index = tuples(3, 3)
    logits = LOGITS.expand(index.shape[1], -1).clone().requires_grad_()
    log_q = Categorical(logits=logits).log_prob(index)
    estimate = kernel(JOINT_WITH_A_ZERO.log()[index] - log_q, log_q, control=control)
    (gradient,) = torch.autograd.grad(estimate.sum(), logits)
    hopeless = (index == 1).all(0)
    assert torch.equal(estimate == -math.inf, hopeless)
    assert gradient.isfinite().all()
    assert torch.equal(gradient[hopeless], torch.zeros_like(gradient[hopeless]))


@pytest.mark.parametrize("control", ["geometric", "arithmetic"])
def test_the_control_adds_nothing_in_expectation_with_weights_of_zero_too(control, tuples, moments):
    index = tuples(3, 3)
    logits = LOGITS.expand(index.shape[1], -1).clone().requires_grad_()
    log_q = Categorical(logits=logits).log_prob(index)
    log_w = (JOINT_WITH_A_ZERO.log()[index] - log_q).detach()
    probability = log_q.detach().sum(0).exp()
    found = moments((bound_without(log_w, control=control) * log_q).sum(0), logits, probability)
    assert_close(found.gradient, torch.zeros(3, dtype=DOUBLE), atol=1e-13, rtol=0)
    seeing_itself = iwae(log_w).masked_fill((log_w == -math.inf).all(0), 0)
    twin = moments((seeing_itself * Categorical(logits=logits).log_prob(index)).sum(0), logits, probability)
    assert twin.gradient.abs().max() > 0.1


def test_no_weight_among_the_others_leaves_the_control_out():
    log_w = torch.tensor([0.5, -math.inf, -math.inf], dtype=DOUBLE)
    assert bound_without(log_w).tolist()[0] == 0
    assert bound_without(log_w, control="arithmetic").tolist()[0] == 0


def test_not_a_number_is_not_hidden():
    log_w = torch.tensor([[0.5, 1.0], [math.nan, 2.0]])
    assert kernel(log_w, torch.zeros(2, 2)).isnan().tolist() == [True, False]


@pytest.mark.parametrize("estimate", [vimco, multi_sample_score_function])
def test_the_driver_is_unbiased(estimate, tuples):
    n = 20_000
    logits = LOGITS.expand(n, -1).clone().requires_grad_()
    q = Categorical(logits=logits)
    value = estimate(lambda z: LOG_JOINT[z] - q.log_prob(z), q, samples=3, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    z = (gradient.mean(0) - GRADIENT[2]) / (gradient.std(0) / math.sqrt(n))
    assert z.abs().max() < 4.56
    assert abs((value.mean() - BOUND[2]) / (value.std() / math.sqrt(n))) < 4.56


def test_the_value_is_the_bound_and_parameters_inside_get_their_gradient():
    log_joint = torch.randn(2, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(2)).requires_grad_()
    q = OneHotCategorical(logits=torch.zeros(3, 2, 4, dtype=DOUBLE, requires_grad=True))
    seen = []

    def log_w(z):
        seen.append((z * log_joint).sum(-1) - q.log_prob(z))
        return seen[-1]

    value = vimco(log_w, q, samples=5)
    assert value.shape == (3, 2)
    assert torch.equal(value, iwae(seen[0]))
    (found,) = torch.autograd.grad(value.sum(), log_joint, retain_graph=True)
    (wanted,) = torch.autograd.grad(iwae(seen[0]).sum(), log_joint)
    assert_close(found, wanted)


def test_one_sample_is_refused_where_there_are_no_others():
    q = Categorical(logits=LOGITS)
    with pytest.raises(ValueError, match=r"at least 2 .*with one use multi_sample_score_function"):
        vimco(lambda z: LOG_JOINT[z], q, samples=1)
    assert multi_sample_score_function(lambda z: LOG_JOINT[z], q).isfinite()


def test_an_unknown_control_and_log_weights_of_another_shape_are_refused():
    q = Categorical(logits=LOGITS.expand(4, 3))
    with pytest.raises(ValueError, match="'harmonic' is unknown; give 'geometric' or 'arithmetic'"):
        vimco(lambda z: LOG_JOINT[z], q, control="harmonic")
    for estimate in (vimco, multi_sample_score_function):
        with pytest.raises(ValueError, match=r"expected \(3, 4\)"):
            estimate(lambda z: LOG_JOINT[z].sum(0), q, samples=3)


def test_extreme_logits_in_single_precision():
    logits = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    q = Categorical(logits=logits)
    value = vimco(lambda z: LOG_JOINT.float()[z] - q.log_prob(z), q, samples=4)
    value.backward()
    assert_close(value.item(), math.log(0.05))
    assert logits.grad.isfinite().all()
