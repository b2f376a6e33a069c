"""A network with random weights against models whose evidence and predictions are known."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen import bounds
from jensen._contracts import Pairs
from jensen.layers import CategoricalLikelihood, GaussianLikelihood
from jensen.layers.variational import (
    FullGaussian,
    MeanField,
    NormalPrior,
    ScaleMixturePrior,
    Variational,
    at_means,
    bayesianize,
    draw_weights,
    random_layers,
)
from jensen.models import BayesianNetwork, bayesian_network
from jensen.training import (
    BlundellWeights,
    DoublyReparameterized,
    Estimated,
    FreeEnergy,
    ImportanceWeighted,
    Linear,
    Product,
    fit,
)
from jensen.training import Variational as Bound

DOUBLE = torch.float64
NOISE, PRIOR, N, D = 0.4, 1.3, 12, 3


@pytest.fixture(scope="module")
def pairs():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(N, D, generator=g, dtype=DOUBLE)
    x[:, 1] += 0.7 * x[:, 0]
    y = x @ torch.tensor([0.7, -1.1, 0.3], dtype=DOUBLE) - 0.5 + NOISE * torch.randn(N, generator=g, dtype=DOUBLE)
    return Pairs(x, y)


def design(pairs):
    """The inputs and a column of ones, for the bias."""
    return torch.cat([pairs.inputs, torch.ones(len(pairs), 1, dtype=DOUBLE)], 1)


def posterior(pairs):
    x = design(pairs)
    precision = torch.eye(D + 1, dtype=DOUBLE) / PRIOR**2 + x.T @ x / NOISE**2
    return torch.linalg.solve(precision, x.T @ pairs.targets / NOISE**2), precision


def log_evidence(pairs):
    x = design(pairs)
    covariance = NOISE**2 * torch.eye(len(x), dtype=DOUBLE) + PRIOR**2 * x @ x.T
    return torch.distributions.MultivariateNormal(torch.zeros(len(x), dtype=DOUBLE), covariance).log_prob(pairs.targets)


def mean_field_bound(pairs):
    _, precision = posterior(pairs)
    return log_evidence(pairs) - 0.5 * (precision.diagonal().log().sum() - precision.logdet())


def regression(family, *, estimator="sampled"):
    layer = Variational(nn.Linear(D, 1).double(), prior=NormalPrior(PRIOR), posterior=family, estimator=estimator)
    return BayesianNetwork(layer, likelihood=GaussianLikelihood(scale=NOISE))


def at_the_posterior(pairs):
    """The network whose full Gaussian is the exact posterior."""
    net = regression(FullGaussian())
    mean, precision = posterior(pairs)
    factor = torch.linalg.cholesky(precision.inverse())
    with torch.no_grad():
        set_means(net, mean)
        net.network.posterior.log_diagonal.copy_(factor.diagonal().log())
        net.network.posterior.lower.copy_(factor.tril(-1))
    return net


def at_the_best_mean_field(pairs, *, estimator="sampled"):
    net = regression(MeanField(parameterization="log"), estimator=estimator)
    mean, precision = posterior(pairs)
    log_scale = -0.5 * precision.diagonal().log()
    with torch.no_grad():
        set_means(net, mean)
        for free in net.network.posterior.parameters():
            free.copy_(log_scale[None, :-1] if free.ndim == 2 else log_scale[-1:])
    scales = net.network.scales()
    assert_close(torch.cat([scales["weight"][0], scales["bias"]]), log_scale.exp())
    return net


def set_means(net, mean):
    net.network.layer.weight.copy_(mean[None, :-1])
    net.network.layer.bias.copy_(mean[-1:])


@pytest.fixture
def without_noise(monkeypatch):
    """Draws at the points +-sqrt(n) e_i of the noise, which integrate a quadratic exactly."""

    def draw_weights(network, samples):
        layer = random_layers(network)[""]
        n = D + 1
        nodes = math.sqrt(n) * torch.cat([torch.eye(n, dtype=DOUBLE), -torch.eye(n, dtype=DOUBLE)])
        if hasattr(layer.posterior, "factor"):
            factor = layer.posterior.factor()
        else:
            scales = layer.scales()
            factor = torch.cat([scales["weight"][0], scales["bias"]]).diag()
        w = torch.cat([layer.layer.weight[0], layer.layer.bias]) + nodes @ factor.T
        return {"": {"weight": w[:, None, :-1], "bias": w[:, -1:]}}

    monkeypatch.setattr(bayesian_network, "draw_weights", draw_weights)
    return Bound(samples=2 * (D + 1))


def maximized(net, objective, pairs, batches=1):
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )
    parts = [pairs[index] for index in torch.arange(N).chunk(batches)]

    def loss():
        optimizer.zero_grad()
        value = -sum(objective(net, part).mean() for part in parts)
        value.backward()
        return value

    optimizer.step(loss)
    return net


@pytest.mark.parametrize("batches", [1, 4])
def test_the_optimum_over_all_gaussians_is_posterior_and_evidence(pairs, without_noise, batches):
    objective = FreeEnergy(N, bound=without_noise)
    net = maximized(regression(FullGaussian(initial_scale=1.0)), objective, pairs, batches)
    mean, precision = posterior(pairs)
    factor = net.network.posterior.factor().detach()
    assert_close(net.network.layer.weight[0].detach(), mean[:-1], atol=1e-7, rtol=0)
    assert_close(factor @ factor.T, precision.inverse(), atol=1e-7, rtol=0)
    assert_close(N * objective(net, pairs).mean().detach(), log_evidence(pairs), atol=1e-9, rtol=0)


@pytest.mark.parametrize("batches", [1, 4])
def test_the_optimum_over_factorised_gaussians_has_the_precisions_diagonal(pairs, without_noise, batches):
    objective = FreeEnergy(N, bound=without_noise)
    net = maximized(regression(MeanField(initial_scale=1.0)), objective, pairs, batches)
    mean, precision = posterior(pairs)
    scales = net.network.scales()
    found = torch.cat([scales["weight"][0], scales["bias"]]).detach()
    assert_close(net.network.layer.weight[0].detach(), mean[:-1], atol=1e-7, rtol=0)
    assert_close(found, precision.diagonal().rsqrt(), atol=1e-7, rtol=0)
    assert_close(N * objective(net, pairs).mean().detach(), mean_field_bound(pairs), atol=1e-9, rtol=0)


def test_every_log_weight_is_the_evidence_at_the_exact_posterior(pairs):
    net = at_the_posterior(pairs)
    torch.manual_seed(0)
    log_weights = net.log_weights(pairs, 7)
    assert log_weights.total.shape == (7, 1)
    assert_close(log_weights.total.detach(), log_evidence(pairs).expand(7, 1), atol=1e-9, rtol=0)
    assert log_weights.log_prior.std() > 0.01
    for bound in (Bound(samples=2), ImportanceWeighted(samples=3), DoublyReparameterized(samples=3)):
        assert_close(N * FreeEnergy(N, bound=bound)(net, pairs)[0], log_evidence(pairs), atol=1e-9, rtol=0)


def test_the_path_has_no_gradient_at_the_exact_posterior_and_the_score_has(pairs):
    net = at_the_posterior(pairs)
    torch.manual_seed(0)
    path = FreeEnergy(N, bound=DoublyReparameterized(samples=3))(net, pairs).mean()
    for gradient in torch.autograd.grad(path, list(net.parameters())):
        assert gradient.abs().max() < 1e-10
    score = FreeEnergy(N, bound=ImportanceWeighted(samples=3))(net, pairs).mean()
    assert max(gradient.abs().max() for gradient in torch.autograd.grad(score, list(net.parameters()))) > 1e-3


def test_the_posterior_is_a_distribution_over_rows_of_weights(pairs):
    net = at_the_posterior(pairs)
    mean, precision = posterior(pairs)
    state = torch.get_rng_state()
    q = net.posterior()
    assert torch.equal(torch.get_rng_state(), state)
    exact = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
    z = q.sample((2, 5))
    assert z.shape == (2, 5, 1, D + 1)
    assert not z.requires_grad
    assert_close(q.log_prob(z).detach(), exact.log_prob(z), atol=1e-8, rtol=0)
    expected = torch.distributions.Normal(design(pairs) @ z[0, 0, 0], NOISE).log_prob(pairs.targets).sum()
    assert_close(-net.cost(pairs)(z[0])[0, 0].detach(), expected, atol=1e-10, rtol=0)
    assert_close(-net.cost(pairs, data=5 * N)(z[0])[0, 0].detach(), 5 * expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["pathwise", "score_function"])
def test_estimators_of_gradients_apply_to_the_weights(pairs, method, without_noise, monkeypatch):
    """The same expectation as by quadrature, in value and gradient, averaged over independent steps."""
    net = regression(MeanField(initial_scale=0.3))
    weight = net.network.layer.weight
    exact = FreeEnergy(N, bound=without_noise)(net, pairs).mean()
    (gradient,) = torch.autograd.grad(exact, weight)
    monkeypatch.setattr(bayesian_network, "draw_weights", draw_weights)
    torch.manual_seed(0)
    values, gradients = [], []
    for _ in range(100):
        value = FreeEnergy(N, bound=Estimated(method, samples=100))(net, pairs)
        values.append(value[0].detach())
        gradients.append(torch.autograd.grad(value.mean(), weight)[0])
    for found, expected in ((torch.stack(values), exact.detach()), (torch.stack(gradients), gradient)):
        assert ((found.mean(0) - expected).abs() < 4.56 * found.std(0) / 10).all()
    halved = torch.stack(gradients) / 2
    assert ((halved.mean(0) - gradient).abs() > 4.56 * halved.std(0) / 10).any()


def test_a_minibatch_stands_for_the_data_set(pairs):
    """At the same draws, the mean over all minibatches is the whole, and data= scales the likelihood alone."""
    net = at_the_best_mean_field(pairs)

    def terms(part):
        torch.manual_seed(0)
        return net.log_weights(part, 4, data=N)

    whole, parts = terms(pairs), [terms(pairs[start : start + 3]) for start in range(0, N, 3)]
    mean = torch.stack([part.log_likelihood for part in parts]).mean(0)
    assert_close(mean, whole.log_likelihood, atol=1e-10, rtol=0)
    for part in parts:
        assert torch.equal(part.log_prior, whole.log_prior)
        assert torch.equal(part.log_posterior, whole.log_posterior)
    torch.manual_seed(0)
    alone = net.log_weights(pairs[:3], 4)
    assert_close(alone.log_likelihood * 4, parts[0].log_likelihood, atol=1e-10, rtol=0)


@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
def test_every_estimator_has_the_mean_field_bound(pairs, estimator):
    net = at_the_best_mean_field(pairs, estimator=estimator)
    torch.manual_seed(0)
    K = 20_000
    with torch.no_grad():
        each = N * (net.log_likelihood(pairs, K).mean(1) - net.kl() / N)
    error = each.std() / math.sqrt(K)
    assert abs(each.mean() - mean_field_bound(pairs)) < 4.56 * error
    averaged = each + net.kl() * (1 - 1 / (D + 1))
    assert abs(averaged.mean() - mean_field_bound(pairs)) > 100 * error


def test_the_predictive_distribution_is_the_exact_one(pairs):
    """N(x m, x S x + noise^2), mean and both parts of the variance, within the Monte Carlo error."""
    net = at_the_posterior(pairs)
    mean, precision = posterior(pairs)
    x = design(pairs)
    variance = (x @ precision.inverse() * x).sum(1)
    torch.manual_seed(0)
    K = 4000
    prediction = net.predict(pairs.inputs, samples=K)
    assert ((prediction.mean[:, 0] - x @ mean).abs() < 4.56 * prediction.standard_error[:, 0]).all()
    assert_close(prediction.aleatoric, torch.full((N, 1), NOISE**2, dtype=DOUBLE))
    assert ((prediction.epistemic[:, 0] / variance - 1).abs() < 4.56 * math.sqrt(2 / K)).all()
    exact = torch.distributions.Normal(x @ mean, (variance + NOISE**2).sqrt()).log_prob(pairs.targets)
    assert_close(prediction.log_prob(pairs.targets), exact, atol=0.05, rtol=0)
    at_mean = net.predict_at_means(pairs.inputs)
    assert_close(at_mean.mean[:, 0], x @ mean, atol=1e-12, rtol=0)
    assert at_mean.epistemic.abs().max() == 0


class Coins(nn.Module):
    """A linear layer whose weights are each one of two values: 2^n equally likely networks, all of which are drawn."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.layer = nn.Linear(inputs, classes, bias=False).double()
        self.deterministic = False

    def forward(self, x):
        signs = 2.0 * torch.randint(2, self.layer.weight.shape, device=x.device).to(x.dtype) - 1
        return x @ (self.layer.weight + (0.0 if self.deterministic else 1.0) * signs).T

    def draw(self, samples):
        n = self.layer.weight.numel()
        every = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=DOUBLE)] * n).reshape(-1, n)
        return {"weight": self.layer.weight + every.reshape(-1, *self.layer.weight.shape)}

    def kl(self):
        raise ValueError("coins have no closed form")

    def log_prior(self, draws):
        biased = torch.distributions.Bernoulli(torch.tensor(0.7, dtype=DOUBLE))
        return biased.log_prob((draws["weight"] > self.layer.weight).double()).flatten(1).sum(1)

    def log_posterior(self, draws):
        w = draws["weight"]
        return torch.full((len(w),), -w[0].numel() * math.log(2), dtype=DOUBLE)


@pytest.fixture
def coins():
    torch.manual_seed(3)
    return BayesianNetwork(Coins(2, 3), likelihood=CategoricalLikelihood())


@pytest.fixture
def labelled():
    g = torch.Generator().manual_seed(1)
    return Pairs(torch.randn(5, 2, generator=g, dtype=DOUBLE), torch.tensor([0, 2, 1, 1, 0]))


def enumerated(net, batch):
    """Class probabilities of all 64 networks, `(64, B, C)`, and the prior probability of each."""
    w = net.network.draw(64)["weight"]
    return torch.einsum("bi,kci->kbc", batch.inputs, w).softmax(-1), net.network.log_prior({"weight": w}).exp()


def test_the_weights_of_every_network_add_up_to_the_evidence(coins, labelled):
    p, prior = enumerated(coins, labelled)
    likelihood = p[:, torch.arange(5), labelled.targets].prod(1)  # (64,)
    evidence = (prior * likelihood).sum().log()
    log_weights = coins.log_weights(labelled, 64)
    assert_close(bounds.iwae(log_weights.total)[0].detach(), evidence, atol=1e-12, rtol=0)
    assert_close(log_weights.log_likelihood[:, 0].detach(), likelihood.log().detach(), atol=1e-12, rtol=0)
    assert bounds.elbo(log_weights.total)[0] < evidence - 0.1
    for_each_datum = log_weights.log_likelihood / 5 + log_weights.log_prior - log_weights.log_posterior
    assert abs(bounds.iwae(for_each_datum)[0] - evidence) > 0.1


def test_predictions_of_a_posterior_that_can_be_enumerated(coins, labelled):
    p, _ = enumerated(coins, labelled)
    exact = coins.likelihood.predict(p.log())
    mean = p.mean(0)
    assert_close(exact.mean, mean, atol=1e-14, rtol=0)
    assert_close(exact.total, -(mean * mean.log()).sum(-1), atol=1e-13, rtol=0)
    torch.manual_seed(0)
    drawn = coins.predict(labelled.inputs, samples=6400)
    assert ((drawn.mean - mean).abs() < 4.56 * drawn.standard_error).all()
    assert_close(drawn.epistemic, exact.epistemic, atol=0.03, rtol=0)
    assert coins.predict_at_means(labelled.inputs).epistemic.max() < 1e-12


def test_a_divergence_without_a_closed_form_is_drawn(coins, labelled):
    with pytest.raises(ValueError, match=r"no closed form.*bound=Variational\(\)"):
        FreeEnergy(5)(coins, labelled)
    assert FreeEnergy(5, bound=Bound())(coins, labelled).isfinite().all()
    mixture = bayesianize(nn.Linear(2, 3).double(), prior=ScaleMixturePrior(0.5, 1.0, 0.01))
    net = BayesianNetwork(mixture, likelihood=CategoricalLikelihood())
    with pytest.raises(ValueError, match=r"bound=Variational\(\)"):
        FreeEnergy(5)(net, labelled)
    assert FreeEnergy(5, bound=Bound())(net, labelled).isfinite().all()


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    return BayesianNetwork(
        bayesianize(body, posterior=MeanField(initial_scale=0.5), exclude="1.*"), likelihood=CategoricalLikelihood()
    )


def test_predictions_do_not_train(classifier, labelled):
    """No dropout, no batch statistics, and every module in the mode it was in."""
    classifier.network[0].eval()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    one, other = (classifier.predict_at_means(labelled.inputs) for _ in range(2))
    assert torch.equal(one.mean, other.mean)
    assert not one.mean.requires_grad
    classifier.predict(labelled.inputs, samples=3)
    classifier.check(labelled)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert classifier.training
    assert not classifier.network[0].training
    with at_means(classifier.network):
        pass
    assert not any(layer.deterministic for layer in random_layers(classifier.network).values())


def test_predictions_pass_no_more_rows_than_allowed(classifier, labelled, monkeypatch):
    passes = []
    forward = bayesian_network.forward_samples

    def recording(network, x, samples):
        passes.append((len(x), samples))
        return forward(network, x, samples)

    monkeypatch.setattr(bayesian_network, "forward_samples", recording)
    prediction = classifier.predict(labelled.inputs, samples=7, rows=10)
    assert passes == [(5, 2), (5, 2), (5, 2), (5, 1)]
    assert (prediction.samples, prediction.mean.shape) == (7, (5, 3))
    passes.clear()
    assert classifier.predict(labelled.inputs, samples=2, rows=3).mean.shape == (5, 3)
    assert passes == [(3, 1), (3, 1), (2, 1), (2, 1)]
    at_means_in_parts = classifier.predict_at_means(labelled.inputs, rows=2).mean
    assert_close(at_means_in_parts, classifier.predict_at_means(labelled.inputs).mean, atol=1e-14, rtol=0)


def run(out, pairs, *, epochs, resume=False, estimator="sampled", bound=None, precision="32-true"):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3))
    net = BayesianNetwork(bayesianize(body, estimator=estimator), likelihood=CategoricalLikelihood())
    weights = Product(Linear(0.0, 1.0, 2), BlundellWeights(4))
    objective = FreeEnergy(len(pairs), bound=bound or Bound(analytic_kl=True))
    history = fit(
        net, objective, pairs, epochs=epochs, batch_size=16, kl_weight=weights, validation=pairs[:20], out=out,
        learning_rate=1e-2, resume=resume, precision=precision, accelerator="cpu", progress=False,
    )  # fmt: skip
    return net, history


@pytest.fixture(scope="module")
def clusters():
    g = torch.Generator().manual_seed(1)
    labels = torch.arange(60) % 3
    return Pairs(2 * torch.eye(3)[labels][:, :2] + 0.3 * torch.randn(60, 2, generator=g), labels)


@pytest.mark.parametrize("bound", [Bound(analytic_kl=True), Bound(), DoublyReparameterized(samples=2)], ids=str)
def test_a_run_resumes_to_the_bit(tmp_path, clusters, bound):
    whole, _ = run(tmp_path / "whole", clusters, epochs=3, bound=bound)
    run(tmp_path / "parts", clusters, epochs=1, bound=bound)
    parts, history = run(tmp_path / "parts", clusters, epochs=3, bound=bound, resume=True)
    assert [record.epoch for record in history.epochs] == [1, 2, 3]
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("estimator", "precision"), [("local", "32-true"), ("flipout", "32-true"), ("local", "bf16-mixed")]
)
def test_it_learns_to_classify(clusters, estimator, precision):
    net, history = run(None, clusters, epochs=60, estimator=estimator, precision=precision)
    assert history.epochs[-1].bound > history.epochs[0].bound
    prediction = net.predict(clusters.inputs, samples=50)
    assert (prediction.mean.argmax(-1) == clusters.targets).float().mean() > 0.95
    far = net.predict(torch.tensor([[2.0, 0.0], [1.0, 1.0]]), samples=200)
    assert far.total[1] > far.total[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, batch: BayesianNetwork(nn.Linear(2, 3), likelihood=net.likelihood), "no random layer"),
        (lambda net, batch: net.log_likelihood(batch, 0), "samples is 0"),
        (lambda net, batch: net.log_weights(batch, 0), "samples is 0"),
        (lambda net, batch: net.log_weights(batch, 1, data=0), "data=0"),
        (lambda net, batch: net.log_weights(batch[:0], 1), "batch of 0"),
        (lambda net, batch: net.predict(batch.inputs, samples=0), "samples is 0"),
        (lambda net, batch: net.predict(batch.inputs, rows=0), "rows=0"),
        (lambda net, batch: net.predict(batch.inputs[:0]), r"shape \(0, 2\)"),
        (lambda net, batch: net.check(batch.inputs), r"learns from Pairs\(inputs, targets\), got Tensor"),
        (lambda net, batch: net.check(Pairs(batch.inputs * math.nan, batch.targets)), "the inputs hold NaN"),
        (lambda net, batch: net.check(Pairs(batch.inputs, batch.targets * math.inf)), "the targets hold NaN"),
        (lambda net, batch: net.check(Pairs(batch.inputs, batch.targets + 1)), r"labels lie in \[1, 3\]"),
        (lambda net, batch: net.check(Pairs(batch.inputs, batch.inputs)), "do not fit"),
        (lambda net, batch: net.check(Pairs(batch.inputs[:, :1], batch.targets)), r"\(5, 1\) do not fit the network"),
    ],
)
def test_bad_input_is_refused(classifier, labelled, call, message):
    with pytest.raises(ValueError, match=message):
        call(classifier, labelled)


@pytest.mark.parametrize("predict", [lambda net, x: net.predict(x, samples=3), lambda net, x: net.predict_at_means(x)])
def test_weights_that_broke_are_named_and_inputs_that_hold_nan_refused(predict):
    net = BayesianNetwork(
        nn.Sequential(nn.Linear(2, 4), nn.Tanh(), Variational(nn.Linear(4, 3))), likelihood=CategoricalLikelihood()
    )
    with pytest.raises(ValueError, match="outputs hold NaN at finite weights"):
        predict(net, torch.tensor([[math.nan, 1.0]]))
    with torch.no_grad():
        net.network[2].layer.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"cannot predict: 2\.layer\.weight hold NaN or infinity"):
        predict(net, torch.ones(5, 2))


@pytest.mark.parametrize("samples", [1, 3])
def test_the_terms_at_once_are_those_one_after_the_other(pairs, samples):
    net = regression(MeanField(0.3), estimator="local")
    torch.manual_seed(0)
    found = net.log_likelihood_and_kl(pairs, samples)
    torch.manual_seed(0)
    assert_close(found, (net.log_likelihood(pairs, samples), net.kl()))
    torch.manual_seed(0)
    value = FreeEnergy(100, bound=Bound(samples=samples, analytic_kl=True))(net, pairs)
    assert_close(value, found[0].mean(0) - found[1] / 100)
    assert (value - (found[0].mean(0) - found[1] / len(pairs))).abs().min() > 1e-3


def test_an_error_of_the_data_is_not_taken_for_one_of_the_divergence(pairs):
    net = regression(MeanField(0.3), estimator="local")
    with pytest.raises((ValueError, RuntimeError)) as caught:
        FreeEnergy(N)(net, Pairs(pairs.inputs, torch.zeros(N, 2, dtype=DOUBLE)))
    assert "draw it instead" not in str(caught.value)
    with pytest.raises(ValueError, match="samples"):
        net.log_likelihood_and_kl(pairs, 0)
