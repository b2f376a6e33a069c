"""Exact means and variances of the score function with its baselines, tabulated on small problems."""

import itertools

import pytest
import torch
from torch.distributions import Bernoulli, Independent
from torch.testing import assert_close

from jensen.gradients.score_function import kernel, mean_of_others

DOUBLE = torch.float64


def with_others(cost, log_q):
    return kernel(cost, log_q, baseline=mean_of_others(cost))


def test_the_cases_have_the_moments_they_are_known_for(case, exact):
    value, gradient = exact(case)
    assert_close(value.item(), case.value, atol=6e-6, rtol=0)
    assert_close(gradient, case.gradient, atol=6e-6, rtol=0)


def at_the_mean(case):
    return lambda cost, log_q: kernel(cost, log_q, baseline=case.value)


@pytest.mark.parametrize(("K", "plain", "others"), [
    (1, 12.967450, None), (2, 6.483725, 6.709866), (3, 4.322483, 2.878550), (4, 3.241863, 1.760239),
])  # fmt: skip
def test_trace_variances_of_the_asymmetric_categorical(K, plain, others, four, over_all_tuples):
    assert_close(over_all_tuples(four, kernel, K).variance.item(), plain, atol=6e-7, rtol=0)
    if others is not None:
        assert_close(over_all_tuples(four, with_others, K).variance.item(), others, atol=6e-7, rtol=0)


def test_trace_variance_with_the_mean_as_baseline(four, over_all_tuples):
    assert_close(over_all_tuples(four, at_the_mean(four), 1).variance.item(), 3.851569, atol=6e-7, rtol=0)


def trace_variances(log_p, f, parameter, sizes=(2,)):
    """Plain, mean-baseline and leave-one-out, of any distribution given as a differentiable table of log-probabilities.

    Leave-one-out is the U-statistic of the pairs, whose variance for K draws follows from two moments of a pair.
    """
    p = log_p.detach().exp()
    score = torch.autograd.functional.jacobian(parameter[0], parameter[1])
    score = score.reshape(len(p), -1)
    mean = p @ f

    def trace(cost):
        gradient = cost.unsqueeze(-1) * score
        return (p @ gradient.square().sum(-1) - (p @ gradient).square().sum()).item()

    pair = (f[:, None] - f).unsqueeze(-1) * (score[:, None] - score) / 2
    gradient = torch.einsum("i,j,ijd->d", p, p, pair)
    one = p @ torch.einsum("j,ijd->id", p, pair).square().sum(-1) - gradient.square().sum()
    two = p @ pair.square().sum(-1) @ p - gradient.square().sum()
    others = [(2 * (2 * (K - 2) * one + two) / (K * (K - 1))).item() for K in sizes]
    return mean.item(), gradient, [trace(f), trace(f - mean), *others]


def table_of(log_p_of, parameter, f, sizes=(2,)):
    return trace_variances(log_p_of(parameter), f, (log_p_of, parameter), sizes)


def test_the_formula_for_any_number_of_samples_is_that_of_the_tuples(four, over_all_tuples):
    f = four.f(four.states)
    _, _, found = table_of(lambda logits: logits.log_softmax(-1), four.logits, f, (2, 3, 4, 5))
    assert_close(found[0], over_all_tuples(four, kernel, 1).variance.item(), atol=1e-12, rtol=0)
    for K in (2, 3, 4, 5):
        assert_close(found[K], over_all_tuples(four, with_others, K).variance.item(), atol=1e-12, rtol=0)


SHARED = {
    0.0: (0.7605, -0.045, 0.438420188, 0.00465, 0.01252500,
          (7.2750e-3, 3.2e-3, 1.9875e-3, 1.4250e-3, 1.1050e-3, 9.0e-4, 7.5804e-4)),
    -4.0: (0.8472624822, -0.0031792871, 0.0335567667, 7.12633158e-4, 7.51941528e-4,
           (3.8102e-4, 2.4578e-4, 1.8228e-4, 1.45e-4, 1.2042e-4, 1.0298e-4, None)),
}  # fmt: skip


@pytest.mark.parametrize("eta", SHARED)
def test_bits_with_one_shared_logit(eta):
    """The toy of Liu et al. 2019 and Kool et al. 2020."""
    target = torch.tensor([0.6, 0.51, 0.48], dtype=DOUBLE)
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * 3)
    f = (bits - target).square().sum(-1)

    def log_p(eta):
        return Independent(Bernoulli(logits=eta.expand(3)), 1).log_prob(bits)

    value, slope, plain, centred, double, others = SHARED[eta]
    found = table_of(log_p, torch.tensor([eta], dtype=DOUBLE), f, range(2, 9))
    assert_close(found[0], value, atol=6e-11, rtol=0)
    assert_close(found[1].item(), slope, atol=6e-11, rtol=0)
    assert_close(found[2][0], plain, atol=0, rtol=2e-9)
    assert_close(found[2][1], centred, atol=0, rtol=2e-9)
    for one, exact in zip(found[2][2:], others, strict=True):
        if exact is not None:
            assert_close(one, exact, atol=0, rtol=3e-5)
    # REINFORCE+: a second draw as the baseline of the first, which is not averaged the other way round
    p = log_p(torch.tensor([eta], dtype=DOUBLE)).exp()
    score = bits.sum(-1) - 3 * torch.sigmoid(torch.tensor(eta, dtype=DOUBLE))
    pairs = ((f[:, None] - f) * score[:, None]).square()
    assert_close((p @ pairs @ p).item() - slope**2, double, atol=0, rtol=2e-8)


TUCKER = [
    (0.45, 0.0, 0.025, 1.59390625e-2, 6.25e-4),
    (0.499, 0.0, 5e-4, 1.5625125e-2, 2.5e-7),
    (0.499, 1.5, 2.98292904e-4, 9.2744227e-3, 2.0931425e-7),
    (0.45, -1.0, 0.0196611933, 1.4934365e-2, 5.96497143e-4),
]


@pytest.mark.parametrize(("t", "phi", "slope", "plain", "pair"), TUCKER)
def test_one_bit(t, phi, slope, plain, pair, tuples, moments):
    """The toy of Tucker et al. 2017."""
    states, logit = torch.tensor([0.0, 1.0], dtype=DOUBLE), torch.tensor(phi, dtype=DOUBLE)
    for K, estimator, variance in ((1, kernel, plain), (2, with_others, pair)):
        index = tuples(2, K)
        logits = logit.expand(index.shape[1], 1).clone().requires_grad_()
        log_q = Bernoulli(logits=logits[:, 0]).log_prob(states[index])
        found = moments(estimator((states[index] - t) ** 2, log_q), logits, log_q.detach().sum(0).exp())
        assert_close(found.gradient.item(), slope, atol=0, rtol=5e-9)
        assert_close(found.variance.item(), variance, atol=0, rtol=5e-8)


W = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)
FOUR = torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=DOUBLE)
FIVE = torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2], dtype=DOUBLE)
SIX = torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2, 0.3], dtype=DOUBLE)


def plackett_luce(logits, orders):
    chosen = logits[orders]
    return (chosen - chosen.flip(-1).logcumsumexp(-1).flip(-1)).sum(-1)


def indicator(subsets, n):
    return torch.zeros(len(subsets), n, dtype=DOUBLE).scatter_(1, torch.tensor(subsets), 1.0)


def permutations_case():
    orders = torch.tensor(list(itertools.permutations(range(4))))
    f = (W[orders] @ torch.arange(1.0, 5.0, dtype=DOUBLE) - 3).square() / 10
    return lambda logits: plackett_luce(logits, orders), FOUR, f


def subsets_case():
    chosen = indicator(list(itertools.combinations(range(5), 2)), 5)
    w = torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0], dtype=DOUBLE)
    return lambda theta: (chosen @ theta).log_softmax(0), FIVE, (chosen @ w - 0.3) ** 2


def top_two_case():
    pairs = torch.tensor(list(itertools.combinations(range(5), 2)))

    def log_p(logits):
        log_probs = logits.log_softmax(-1)
        first, second = log_probs[pairs].unbind(-1)
        return torch.logaddexp(first + second - torch.log1p(-first.exp()), first + second - torch.log1p(-second.exp()))

    w = torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0], dtype=DOUBLE)
    return log_p, FIVE, (w[pairs].sum(-1) - 0.3) ** 2


def trees_case():
    edges = list(itertools.combinations(range(4), 2))

    def spans(chosen):
        reached = {0}
        for _ in range(3):
            reached |= {v for e in chosen for v in edges[e] if reached & set(edges[e])}
        return len(reached) == 4

    chosen = indicator([each for each in itertools.combinations(range(6), 3) if spans(each)], 6)
    w = torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0, 2.0], dtype=DOUBLE)
    return lambda theta: (chosen @ theta).log_softmax(0), SIX, (chosen @ w - 0.3) ** 2


STRUCTURED = {
    "permutations": (permutations_case, 2.1348364031, (-0.24746578, 1.05711923, -1.11169628, 0.30204284),
                     (25.366260, 14.093235, 14.765274, 4.809751, 2.037321)),
    "subsets": (subsets_case, 3.8859315358, (-0.41185006, 0.54523681, 0.87694994, -0.18761066, -0.82272604),
                (44.986612, 24.024991, 24.814591, 8.139930, 3.460342)),
    "top two": (top_two_case, 3.6698375393, (-0.48371684, 0.71474588, 0.92305679, -0.16154209, -0.99254375),
                (60.728384, 32.729036, 31.809006, 10.756340, 4.642718)),
    "spanning trees": (trees_case, 7.3577499749,
                       (-0.01666298, -1.78153351, 2.49524952, -0.07035695, -1.92055020, 1.29385412),
                       (185.135513, 103.784207, 111.973644, 35.959642, 15.118795)),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURED)
def test_structured_distributions(name):
    """Permutations, subsets and trees, by their tables."""
    make, value, gradient, variances = STRUCTURED[name]
    log_p_of, parameter, f = make()
    found = table_of(log_p_of, parameter, f, (2, 4, 8))
    assert_close(found[0], value, atol=6e-11, rtol=0)
    assert_close(found[1], torch.tensor(gradient, dtype=DOUBLE), atol=6e-9, rtol=0)
    for one, exact in zip(found[2], variances, strict=True):
        assert_close(one, exact, atol=6e-7, rtol=0)
