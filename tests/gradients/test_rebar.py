import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.rebar import rebar, rebar_with_variance
from jensen.gradients.relax import gradients, kernel
from jensen.gradients.relaxation import BinaryRelaxation, relaxation

DOUBLE = torch.float64
EDGES = np.array([0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6, 10, 15, 20, 30])
TAUS = [0.1, 0.5, 1.0]


def panels(edges, nodes=20):
    """Gauss-Legendre nodes and weights between consecutive edges."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return torch.from_numpy((middle + half * x).ravel()), torch.from_numpy((half * w).ravel())


def noise_of_a_bit(logit, tied, nodes=20):
    """Every pair of noises `(N,)` and its weight: scores on either side of the step, and scores given the side."""
    positive, weight = panels(EDGES, nodes)
    pairs = []
    for z in (-positive, positive):
        u = torch.sigmoid(z - logit)
        w = weight * u * (1 - u)
        v = relaxation(Bernoulli(logits=torch.tensor(logit, dtype=DOUBLE))).tied(u)
        if tied:
            pairs.append((u, v, w))
        else:
            pairs.append((u.repeat_interleave(len(v)), v.repeat(len(u)), torch.outer(w, w / w.sum()).flatten()))
    return [torch.cat(each) for each in zip(*pairs, strict=True)]


def of_a_bit(t, logit, tau, eta, moments, *, tied, estimator=gradients, make=BinaryRelaxation, nodes=20):
    """Exact moments of REBAR on (b - t)^2."""
    u, v, weight = noise_of_a_bit(logit, tied, nodes)
    logits = torch.full_like(u, logit).unsqueeze(-1).requires_grad_()  # (N, 1)
    p = make(logits, 1)

    def f(b):
        return (b - t).square().sum(-1)

    u, v = u.reshape(1, -1, 1), v.reshape(1, -1, 1)
    cost = f(p.harden(p.scores(u).detach()))
    g = estimator(cost, p, control=lambda z: eta * f(z), u=u, v=v, tau=tau)
    return moments(kernel(cost, p, g=g), logits, weight)


TABLE = {  # t, logit -> gradient, variances with independent noise, with tied noise, at the TAUS
    (0.45, 0.0): (0.025, (0.0872517, 0.0226531, 0.0184891), (0.0904144, 0.0240671, 0.0179167)),
    (0.499, 0.0): (5e-4, (0.0837022, 0.0222902, 0.0183780), (0.0865933, 0.0235023, 0.0177084)),
    (0.499, 1.5): (2.98292904e-4, (0.0519691, 0.0152534, 0.0112375), (0.0516130, 0.0139738, 0.0105173)),
    (0.45, -1.0): (0.0196611933, (0.0694935, 0.0207271, 0.0170923), (0.0734826, 0.0213039, 0.0164669)),
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("problem", TABLE)
def test_mean_and_variance_on_the_papers_toy(problem, index, tied, moments):
    t, logit = problem
    gradient, *variances = TABLE[problem]
    found = of_a_bit(t, logit, TAUS[index], 1.0, moments, tied=tied)
    theta = 1 / (1 + math.exp(-logit))
    assert_close(found.value.item(), theta * (1 - t) ** 2 + (1 - theta) * t**2, atol=1e-10, rtol=0)
    assert_close(found.gradient.item(), (1 - 2 * t) * theta * (1 - theta), atol=1e-9, rtol=0)
    assert_close(found.gradient.item(), gradient, atol=1e-10, rtol=0)
    assert_close(found.variance.item(), variances[tied][index], atol=1e-7, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("tau", TAUS)
def test_unbiased_at_every_scale_of_the_control(tau, eta, moments):
    found = of_a_bit(0.45, -1.0, tau, eta, moments, tied=True)
    assert_close(found.gradient.item(), 0.1 * 0.19661193324, atol=1e-9, rtol=0)
    if eta == 0:
        assert_close(found.variance.item(), 1.49343650e-2, atol=1e-9, rtol=0)  # the score function's


def score_without_control(cost, p, *, control, u, v, tau):
    """The control is missing from the score's factor."""
    b = p.harden(p.scores(u).detach())
    g = gradients(cost, p, control=control, u=u, v=v, tau=tau)
    c = control(p.soften(p.conditional(b, v), tau)).detach()
    return g + c.unsqueeze(-1) * (b - torch.sigmoid(p.logits.detach()))


class IgnoresTheSample(BinaryRelaxation):
    """The scores again where there should be scores given the sample."""

    def conditional(self, hard, noise):
        return self.scores(noise)

    def at(self, logits):
        return IgnoresTheSample(logits, self.event_dims)


def the_same_noise_twice(cost, p, *, control, u, v, tau):
    return gradients(cost, p, control=control, u=u, v=u, tau=tau)


@pytest.mark.parametrize(
    ("twin", "bias"),
    [
        ({"estimator": score_without_control}, 0.0042448),
        ({"estimator": the_same_noise_twice}, -0.0170818),
        ({"estimator": the_same_noise_twice, "make": IgnoresTheSample}, -0.0042448),
    ],
    ids=["control missing from the score", "noise drawn once", "scores that ignore the sample"],
)
def test_a_plausible_bug_is_caught(twin, bias, moments):
    found = of_a_bit(0.45, -1.0, 0.5, 1.0, moments, tied=False, nodes=6, **twin)
    assert_close(found.gradient.item() - 0.0196611933, bias, atol=1e-6, rtol=0)


def simplex(categories, nodes):
    """Nodes of the uniform law on the simplex, `(N, categories)`, and their weights."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, w = torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)
    cells = torch.cartesian_prod(*[torch.arange(nodes)] * (categories - 1)).reshape(-1, categories - 1)
    point, weight = torch.ones(len(cells), 0, dtype=DOUBLE), torch.ones(len(cells), dtype=DOUBLE)
    left = torch.ones(len(cells), dtype=DOUBLE)
    for d in range(categories - 1):
        share, power = x[cells[:, d]], categories - 2 - d
        point = torch.cat([point, (left * share).unsqueeze(-1)], -1)
        weight = weight * w[cells[:, d]] * (1 - share) ** power * (power + 1)
        left = left * (1 - share)
    return torch.cat([point, left.unsqueeze(-1)], -1), weight


def noise_of_a_row(logits, nodes):
    """Tied noise whose exponentials sum to one given each hard sample: soft samples depend on their ratios alone."""
    probs = logits.softmax(-1)
    point, weight = simplex(len(logits), nodes)
    us, vs, weights = [], [], []
    for b in torch.eye(len(logits), dtype=DOUBLE):
        first = (point * b).sum(-1, keepdim=True)  # the smallest of exponentials over probabilities
        us.append(torch.exp(-(probs * first + (1 - b) * point)))
        vs.append(torch.exp(-point))
        weights.append(weight * (probs * b).sum())
    return torch.cat(us), torch.cat(vs), torch.cat(weights)


@pytest.mark.parametrize(("eta", "tau"), [(1.0, 0.5), (0.4, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("logits", [(0.6, -0.4), (0.6, -0.4, 0.1)])
def test_unbiased_on_categories(logits, eta, tau, moments):
    """The estimator is a sum of functions of either noise given the sample, so its mean is that under tied noise."""
    logits = torch.tensor(logits, dtype=DOUBLE)
    w = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)[: len(logits)]
    slope = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)

    def f(z):
        return (slope * (z @ w)).sin() + (z @ w - 0.3) ** 3 / 10

    u, v, weight = noise_of_a_row(logits, 80)
    rows = logits.expand_as(u).clone().requires_grad_()  # (N, n)
    p = relaxation(OneHotCategorical(logits=rows))
    b = p.harden(p.scores(u.unsqueeze(0)).detach())
    assert_close(p.conditional(b, v.unsqueeze(0)), p.scores(u.unsqueeze(0)), atol=1e-9, rtol=1e-9)
    cost = f(b)
    g = gradients(cost, p, control=lambda z: eta * f(z), u=u.unsqueeze(0), v=v.unsqueeze(0), tau=tau)
    estimate = kernel(cost, p, g=g)
    (own,) = torch.autograd.grad((weight * estimate).sum(), slope, retain_graph=True)
    found = moments(estimate, rows, weight)

    table = logits.clone().requires_grad_()
    exact = table.softmax(-1) @ f(torch.eye(len(logits), dtype=DOUBLE))
    gradient, slope_gradient = torch.autograd.grad(exact, [table, slope])
    assert_close(found.value, exact.detach(), atol=1e-9, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-6, rtol=0)
    assert_close(own, slope_gradient, atol=1e-9, rtol=0)


def z_scores(case, exact, f, **options):
    logits = case.logits.expand(20_000, -1).clone().requires_grad_()
    (g,) = torch.autograd.grad(
        rebar(f, case.q(logits), generator=torch.Generator().manual_seed(0), **options).sum(), logits
    )
    return (g.mean(0) - exact(case)[1]) / (g.std(0) / math.sqrt(len(g)))


@pytest.mark.parametrize("options", [{"tied": True}, {"tied": False, "eta": 0.5}, {"samples": 3, "tau": 1.0}])
def test_the_driver_is_unbiased(case, exact, options):
    assert z_scores(case, exact, case.f, **options).abs().max() < 4.56


def test_a_cost_with_another_relaxation_leaves_it_unbiased(case, exact):
    assert z_scores(case, exact, lambda z: case.f(z) + 2 * (z * (1 - z)).sum(-1)).abs().max() < 4.56


def test_parameters_of_the_cost_receive_the_gradient_of_hard_samples_alone(case):
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    seen = []

    def f(z):
        seen.append(z)
        return scale * case.f(z)

    value = rebar(f, case.q(case.logits.clone().requires_grad_()), samples=5)
    (gradient,) = torch.autograd.grad(value, scale)
    assert [len(z) for z in seen] == [5, 10]
    assert_close(gradient, case.f(seen[0]).mean(0), atol=1e-12, rtol=0)
    assert_close(value.detach(), 2 * case.f(seen[0]).mean(0), atol=1e-12, rtol=0)


@pytest.mark.parametrize("parameter", ["probs", "logits"])
def test_probabilities_receive_the_gradient_of_their_logits(parameter):
    probs = torch.tensor([[0.2, 0.7], [0.4, 0.5]], dtype=DOUBLE, requires_grad=True)
    make = {"probs": lambda p: Bernoulli(probs=p), "logits": lambda p: Bernoulli(logits=torch.logit(p))}[parameter]
    q = Independent(make(probs), 1)
    value = rebar(lambda b: (b.sum(-1) - 0.3) ** 2, q, samples=2, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(value.sum(), probs)
    twin = Independent(Bernoulli(logits=torch.logit(probs.detach()).requires_grad_()), 1)
    value = rebar(lambda b: (b.sum(-1) - 0.3) ** 2, twin, samples=2, generator=torch.Generator().manual_seed(0))
    (of_logits,) = torch.autograd.grad(value.sum(), twin.base_dist.logits)
    assert_close(found, of_logits / (probs * (1 - probs)).detach(), atol=1e-10, rtol=1e-10)


def test_the_variance_is_that_of_one_draw_and_reaches_its_parameters_and_not_q():
    logits = torch.tensor([0.3, -0.6], dtype=DOUBLE, requires_grad=True)
    tau = torch.tensor(0.5, dtype=DOUBLE, requires_grad=True)
    eta = torch.tensor(0.8, dtype=DOUBLE, requires_grad=True)
    q, f = Bernoulli(logits=logits), lambda b: (b - 0.45) ** 2
    draws = torch.Generator().manual_seed(0)
    value, variance = rebar_with_variance(f, q, tau=tau, eta=eta, generator=draws)
    plain = rebar(f, q, tau=tau, eta=eta, generator=torch.Generator().manual_seed(0))
    assert torch.equal(value, plain)
    (g,) = torch.autograd.grad(value.sum(), logits, retain_graph=True)
    assert_close(variance.detach(), g.square(), atol=1e-14, rtol=0)
    slopes = torch.autograd.grad(variance.sum(), [logits, tau, eta], allow_unused=True)
    assert slopes[0] is None
    for parameter, slope in zip((tau, eta), slopes[1:], strict=True):
        step = 1e-6 * (torch.arange(2) == (0 if parameter is tau else 1)).double()
        up, down = (
            rebar_with_variance(f, q, tau=0.5 + s * step[0], eta=0.8 + s * step[1],
                                generator=torch.Generator().manual_seed(0)).variance.sum() for s in (1, -1)
        )  # fmt: skip
        assert_close(slope, ((up - down) / 2e-6).detach(), atol=1e-7, rtol=1e-6)


def test_several_draws_are_averaged():
    logits = torch.tensor([0.3], dtype=DOUBLE, requires_grad=True)

    def f(b):
        return (b - 0.45) ** 2

    value, variance = rebar_with_variance(f, Bernoulli(logits=logits), samples=400)
    (g,) = torch.autograd.grad(value.sum(), logits)
    assert variance.item() > 5 * g.square().item()


def test_learning_lowers_the_variance_of_the_estimator(three_bits):
    """With the other variance in the one-bit toy there is nothing to gain; on three coupled bits there is."""
    torch.manual_seed(0)
    log_tau, eta = torch.zeros((), dtype=DOUBLE, requires_grad=True), torch.ones((), dtype=DOUBLE, requires_grad=True)
    optimiser = torch.optim.Adam([log_tau, eta], lr=0.05)
    q = three_bits.q(three_bits.logits)

    def variance(samples):
        return rebar_with_variance(three_bits.f, q, tau=log_tau.exp(), eta=eta, samples=samples).variance

    before = variance(20_000).item()
    for _ in range(60):
        optimiser.zero_grad()
        variance(100).backward()
        optimiser.step()
    assert variance(20_000).item() < 0.95 * before


def test_extreme_logits_in_single_precision():
    for q in (
        Bernoulli(logits=torch.tensor([1e4, -1e4, -math.inf, 0.0]).requires_grad_()),
        Independent(
            OneHotCategorical(logits=torch.tensor([[1e4, -1e4, -math.inf], [0.0, 0.0, 1.0]]).requires_grad_()), 1
        ),
    ):
        logits = q.logits if isinstance(q, Bernoulli) else q.base_dist.logits
        f = (lambda b: (b - 0.45) ** 2) if isinstance(q, Bernoulli) else (lambda b: (b - 0.45).square().sum((-1, -2)))
        tau = torch.tensor(0.1, requires_grad=True)
        value, variance = rebar_with_variance(f, q, samples=3, tau=tau)
        gradient, slope = torch.autograd.grad(value.sum() + variance.sum(), [logits, tau])
        assert gradient.isfinite().all()
        assert slope.isfinite()
        assert (gradient.flatten()[:3] == 0).all()


def test_first_batch_axes_of_any_rank():
    logits = torch.randn(2, 3, 4, 5, dtype=DOUBLE, requires_grad=True)
    q = Independent(OneHotCategorical(logits=logits), 1)
    value, variance = rebar_with_variance(lambda z: (z.sum(-2).square()).sum(-1), q, samples=2)
    assert value.shape == variance.shape == (2, 3)
    (gradient,) = torch.autograd.grad(value[0, 0], logits)
    assert (gradient[0, 0] != 0).all()
    assert (gradient[1] == 0).all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_is_the_mean_cost_of_hard_samples(mode):
    seen = []
    with mode():
        value = rebar(lambda b: seen.append(b) or b, Bernoulli(logits=torch.zeros(3)), samples=2)
    assert not value.requires_grad
    assert len(seen) == 1
    assert torch.equal(value, seen[0].mean(0))


@pytest.mark.parametrize("f", [lambda b: (b > 0.5).double(), lambda b: b.detach() ** 2, lambda b: b.detach() * SCALE])
def test_a_cost_without_a_derivative_is_refused(f):
    with pytest.raises(UnsupportedError, match="no derivative at relaxed samples; use relax with a control"):
        rebar(f, Bernoulli(logits=torch.zeros(3, dtype=DOUBLE, requires_grad=True)))


SCALE = torch.ones((), dtype=DOUBLE, requires_grad=True)


@pytest.mark.parametrize(
    ("q", "options", "message"),
    [
        (Categorical(logits=torch.zeros(3)), {}, "Categorical has no relaxation"),
        (Bernoulli(logits=torch.zeros(3)), {"tau": 0.0}, "tau must be positive"),
        (Bernoulli(logits=torch.zeros(3)), {"samples": 0}, "samples must be at least 1"),
        (Independent(Bernoulli(logits=torch.zeros(3)), 1), {}, r"costs of shape \(1, 3\)"),
    ],
)
def test_bad_input_is_refused(q, options, message):
    with pytest.raises(ValueError, match=message):
        rebar(lambda b: b**2, q, **options)


def test_it_may_hold_another_estimator():
    """The cost is itself the expectation over a second bit whose log-odds depend on the first."""
    n, slope = 40_000, torch.tensor(1.5, dtype=DOUBLE, requires_grad=True)
    logits = torch.full((n,), -0.4, dtype=DOUBLE, requires_grad=True)

    def second(bit):
        return torch.sigmoid(slope * bit - 0.3)

    def cost(z):
        return rebar(lambda b: (b - 0.2) ** 3 + z * b, Bernoulli(logits=slope * z - 0.3))

    value = rebar(cost, Bernoulli(logits=logits), generator=torch.Generator().manual_seed(0))
    found, own = torch.autograd.grad(value.sum(), [logits, slope])
    first = torch.tensor(-0.4, dtype=DOUBLE, requires_grad=True)
    costs = [second(bit) * (0.8**3 + bit) - (1 - second(bit)) * 0.2**3 for bit in (0.0, 1.0)]
    exact = costs[0] + torch.sigmoid(first) * (costs[1] - costs[0])
    gradient, exact_own = torch.autograd.grad(exact, [first, slope])
    for each, expected in ((value.detach(), exact.detach()), (found, gradient)):
        assert abs(each.mean() - expected) < 4.56 * each.std() / math.sqrt(n)
    assert_close(own / n, exact_own, atol=0.01, rtol=0)


@pytest.mark.parametrize("step", [torch.round, torch.sign, torch.floor])
def test_a_cost_that_is_a_step_between_the_values_is_refused(step):
    q = Bernoulli(logits=torch.tensor([0.5, -0.3], requires_grad=True))
    with pytest.raises(UnsupportedError, match="no derivative at relaxed samples"):
        rebar(lambda z: 3 * step(z), q)
