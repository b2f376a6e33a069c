"""Laplace around a network: exact in linear regression, as on a target in logistic regression, and bad input."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal
from torch.func import functional_call
from torch.testing import assert_close

from jensen._contracts import Pairs
from jensen._targets import Target
from jensen.evidence import laplace
from jensen.layers.likelihoods import CategoricalLikelihood, GaussianLikelihood
from jensen.models import LaplaceNetwork

DOUBLE = torch.float64
EXACT = {"rtol": 0, "atol": 1e-8}


class Regression:
    """Bayesian linear regression with its posterior and evidence."""

    def __init__(self, *, prior=0.7, scale=0.5, N=30, D=4):
        torch.manual_seed(0)
        self.x, self.prior, self.scale = torch.randn(N, D, dtype=DOUBLE), prior, scale
        self.X = torch.cat([self.x, torch.ones(N, 1, dtype=DOUBLE)], 1)
        self.y = self.x @ torch.randn(D, dtype=DOUBLE) + 0.3 + 0.5 * torch.randn(N, dtype=DOUBLE)

    def posterior(self):
        precision = self.X.T @ self.X / self.scale**2 + self.prior * torch.eye(self.X.shape[1], dtype=DOUBLE)
        covariance = torch.linalg.inv(precision)
        return covariance @ self.X.T @ self.y / self.scale**2, covariance

    def log_evidence(self):
        noise = self.scale**2 * torch.eye(len(self.y), dtype=DOUBLE)
        gram = MultivariateNormal(torch.zeros_like(self.y), self.X @ self.X.T / self.prior + noise)
        return gram.log_prob(self.y).item()

    def network(self, *, deep=False):
        mean, _ = self.posterior()
        network = nn.Linear(self.x.shape[1], 1, dtype=DOUBLE)
        network.weight.data, network.bias.data = mean[None, :-1].clone(), mean[-1:].clone()
        return nn.Sequential(nn.Dropout(0.5), network, nn.Flatten(0)) if deep else network

    def fit(self, curvature, *, batch_size=7, **options):
        return LaplaceNetwork.fit(
            self.network(**options),
            Pairs(self.x, self.y),
            likelihood=GaussianLikelihood(scale=self.scale),
            curvature=curvature,
            prior_precision=self.prior,
            batch_size=batch_size,
        )


@pytest.fixture
def regression():
    return Regression()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
@pytest.mark.parametrize("curvature", ["full", "kron"])
def test_linear_regression_is_exact(regression, curvature, batch_size, deep):
    network = regression.fit(curvature, batch_size=batch_size, deep=deep)
    mean, covariance = regression.posterior()
    evidence = network.log_evidence()
    assert evidence.log_z == pytest.approx(regression.log_evidence(), abs=1e-8)
    assert evidence.kind == "approximation"
    assert len(evidence.warnings) == 1
    assert evidence.diagnostics["newton_decrement"] < 1e-8
    assert_close(network.modes[0].flatten(), mean, **EXACT)
    assert_close(network.covariance().variances()[0].flatten(), covariance.diagonal(), **EXACT)
    x = torch.randn(5, 4, dtype=DOUBLE)
    X = torch.cat([x, torch.ones(5, 1, dtype=DOUBLE)], 1)
    variance = ((X @ covariance) * X).sum(1)
    assert_close(network.marginals(x).variance.flatten(), variance, **EXACT)
    for samples in (2, 100):
        prediction = network.predict(x, samples=samples, batch_size=3)
        assert_close(prediction.mean.flatten(), X @ mean, **EXACT)
        assert_close(prediction.epistemic.flatten(), variance, **EXACT)
        assert_close(prediction.total.flatten(), variance + regression.scale**2, **EXACT)
        assert prediction.mean.shape == ((5,) if deep else (5, 1))


def test_the_whole_posterior_of_linear_regression(regression):
    network = regression.fit("full")
    _, covariance = regression.posterior()
    assert_close(network.covariance().matrix, covariance, **EXACT)
    torch.manual_seed(0)
    weights = network.sample_weights(20_000)
    theta = torch.cat([weights["weight"].flatten(1), weights["bias"]], 1)
    assert_close(theta.T.cov(), covariance, rtol=0, atol=4.56 * 1.5 * covariance.max().item() / math.sqrt(20_000))
    assert_close(network.weight_variances()["bias"], covariance.diagonal()[-1:], **EXACT)


def test_the_density_of_predictions_converges_to_the_gaussian(regression):
    torch.manual_seed(0)
    network = regression.fit("full")
    x, y = torch.randn(4, 4, dtype=DOUBLE), torch.randn(4, dtype=DOUBLE)
    prediction = network.predict(x, samples=20_000)
    expected = Normal(prediction.mean.flatten(), prediction.total.sqrt().flatten()).log_prob(y)
    assert_close(prediction.log_prob(y), expected, rtol=0, atol=0.02)


def test_plausible_mistakes_are_caught(regression):
    """A prior counted twice, and a curvature averaged over the data instead of summed."""
    exact = regression.log_evidence()
    network = regression.fit("full")
    assert abs(network.log_evidence().log_z - exact) < 1e-8
    twice = network.log_evidence().log_z + network.log_evidence().diagnostics["log_prior"]
    assert abs(twice - exact) > 1
    network.curvature.rescale(1 / len(regression.y))
    network._covariance = None
    assert abs(network.log_evidence().log_z - exact) > 1
    _, covariance = regression.posterior()
    assert not torch.allclose(network.covariance().matrix, covariance, atol=1e-2)
    diagonal = regression.fit("diagonal").log_evidence().log_z
    assert 0.01 < exact - diagonal < 1


@pytest.mark.parametrize("curvature", ["full", "kron"])
def test_empirical_bayes_of_linear_regression(regression, curvature):
    """Refitting the mean and maximising in turn ends where the exact evidence has no slope."""
    for _ in range(25):
        network = regression.fit(curvature, batch_size=30)
        network.optimize_prior_precision(noise=True)
        regression.prior = float(network.prior_precision)
        regression.scale = float(network.likelihood.log_scale.exp())
    top = regression.log_evidence()
    assert regression.fit(curvature).log_evidence().log_z == pytest.approx(top, abs=1e-8)
    for prior, scale in ((1.001, 1.0), (0.999, 1.0), (1.0, 1.001), (1.0, 0.999), (2.0, 1.0), (1.0, 0.5)):
        beside = Regression(prior=regression.prior * prior, scale=regression.scale * scale)
        assert beside.log_evidence() < top


def newton(target, dim):
    theta = torch.zeros(dim, dtype=DOUBLE)
    for _ in range(30):
        slope = torch.autograd.functional.jacobian(target, theta)
        theta = theta - torch.linalg.solve(torch.autograd.functional.hessian(target, theta), slope)
    return theta


@pytest.mark.parametrize("per_layer", [False, True])
def test_logistic_regression_is_the_laplace_approximation_of_its_target(per_layer):
    torch.manual_seed(1)
    x, y, prior = torch.randn(40, 2, dtype=DOUBLE), torch.randint(0, 3, (40,)), 0.4
    likelihood, network = CategoricalLikelihood(), nn.Linear(2, 3, dtype=DOUBLE)

    def log_likelihood(theta):
        W, b = theta[..., :6].unflatten(-1, (3, 2)), theta[..., 6:]
        return likelihood.log_prob((x @ W.mT + b.unsqueeze(-2)).reshape(-1, 40, 3), y).sum(-1).view(theta.shape[:-1])

    target = Target(log_likelihood, Normal(torch.zeros(9, dtype=DOUBLE), prior**-0.5))
    mode = newton(lambda theta: target.log_joint(theta[None])[0], 9)
    network.weight.data, network.bias.data = mode[:6].view(3, 2).clone(), mode[6:].clone()
    fitted = LaplaceNetwork.fit(
        network, Pairs(x, y), likelihood=likelihood, curvature="full", prior_precision=prior, batch_size=9
    )
    expected = laplace(target, mode)
    evidence = fitted.log_evidence()
    assert evidence.log_z == pytest.approx(expected.log_z, abs=1e-9)
    assert evidence.diagnostics["newton_decrement"] < 1e-10
    better = fitted.optimize_prior_precision(per_layer=per_layer)
    assert better.log_z > evidence.log_z
    assert better.log_z == fitted.log_evidence().log_z


def test_away_from_the_mode_the_evidence_says_what_is_missing(regression):
    network = regression.network()
    network.weight.data += 0.3
    data, likelihood = Pairs(regression.x, regression.y), GaussianLikelihood(scale=regression.scale)
    fitted = LaplaceNetwork.fit(network, data, likelihood=likelihood, curvature="full", prior_precision=0.7)
    evidence = fitted.log_evidence()
    missing = 0.5 * evidence.diagnostics["newton_decrement"] ** 2
    assert evidence.log_z + missing == pytest.approx(regression.log_evidence(), abs=1e-8)
    assert "standard deviations from a mode" in evidence.warnings[0]


@pytest.fixture
def classifier():
    torch.manual_seed(2)
    x = torch.randn(60, 2)
    network = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    return network, Pairs(x, y)


@pytest.mark.parametrize("curvature", ["full", "kron", "diagonal"])
@pytest.mark.parametrize("layers", ["last", ["0", "3"]])
def test_a_classifier(classifier, curvature, layers):
    network, data = classifier
    before = {name: each.clone() for name, each in network.state_dict().items()}
    fitted = LaplaceNetwork.fit(
        network, data, likelihood=CategoricalLikelihood(), layers=layers, curvature=curvature, prior_precision=2.0
    )
    assert network.training
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    torch.manual_seed(3)
    far = torch.tensor([[30.0, -20.0], [0.5, 0.5]])
    prediction, plain = fitted.predict(far, samples=4_000), fitted.predict_at_means(far)
    assert_close(prediction.mean.sum(1), torch.ones(2))
    assert (prediction.epistemic > 0).all()
    assert (prediction.mean.amax(1) < plain.mean.amax(1)).all()
    near = data.inputs[:5]
    assert_close(fitted.probit(near), fitted.predict(near, samples=4_000).mean, rtol=0, atol=0.12)
    with torch.inference_mode():
        assert fitted.predict(far, samples=3, linearized=False).mean.shape == (2, 3)


def test_the_probit_approximation_of_two_classes(quadrature):
    torch.manual_seed(6)
    data = Pairs(torch.randn(20, 2, dtype=DOUBLE), torch.randint(0, 2, (20,)))
    fitted = LaplaceNetwork.fit(nn.Linear(2, 2).double(), data, likelihood=CategoricalLikelihood(), curvature="full")
    x = torch.randn(50, 2, dtype=DOUBLE) * 4
    marginals, (node, weight) = fitted.marginals(x), quadrature(1, 60)
    contrast = torch.tensor([1.0, -1.0], dtype=DOUBLE)
    mean, variance = marginals.mean @ contrast, marginals.covariance @ contrast @ contrast
    exact = (weight @ torch.sigmoid(mean + variance.sqrt() * node)).flatten()
    assert_close(fitted.probit(x)[:, 0], exact, rtol=0, atol=0.02)
    assert (marginals.mean.softmax(1)[:, 0] - exact).abs().max() > 0.05


def test_draws_of_weights_agree_with_the_closed_form_where_the_network_is_linear(classifier):
    network, data = classifier
    fitted = LaplaceNetwork.fit(network, data, likelihood=CategoricalLikelihood(), curvature="kron")
    torch.manual_seed(4)
    x, n = data.inputs[:3], 1_000
    weights = fitted.sample_weights(n)
    f = torch.stack([functional_call(fitted.network, {k: v[i] for k, v in weights.items()}, (x,)) for i in range(n)])
    marginals = fitted.marginals(x)
    z = (f.mean(0) - marginals.mean) / (marginals.variance / n).sqrt()
    assert z.abs().max() < 4.56
    z = (f.var(0) / marginals.variance - 1) / math.sqrt(2 / n)
    assert z.abs().max() < 4.56
    assert_close(fitted.predict(x, samples=n, linearized=False).mean, f.softmax(-1).mean(0), rtol=0, atol=0.02)


@pytest.mark.parametrize("curvature", ["full", "kron", "diagonal"])
def test_it_is_saved_and_loaded(classifier, curvature):
    network, data = classifier
    options = {"likelihood": CategoricalLikelihood(), "curvature": curvature, "layers": ["0", "3"]}
    fitted = LaplaceNetwork.fit(network, data, **options)
    fitted.optimize_prior_precision(per_layer=True)
    torch.manual_seed(99)
    shell = LaplaceNetwork(nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)), **options)
    shell.log_evidence()
    shell.load_state_dict(fitted.state_dict())
    assert shell.log_evidence() == fitted.log_evidence()
    assert_close(shell.probit(data.inputs), fitted.probit(data.inputs))
    double = shell.double()
    assert double.log_evidence().log_z == pytest.approx(fitted.log_evidence().log_z, abs=1e-3)


def test_the_noise_is_saved_too(regression):
    fitted = regression.fit("kron")
    fitted.optimize_prior_precision(noise=True)
    shell = LaplaceNetwork(nn.Linear(4, 1).double(), likelihood=GaussianLikelihood(scale=3.0))
    shell.load_state_dict(fitted.state_dict())
    assert shell.log_evidence() == fitted.log_evidence()
    again = LaplaceNetwork.fit(
        regression.network(),
        Pairs(regression.x, regression.y),
        likelihood=shell.likelihood,
        prior_precision=shell.prior_precision,
    )
    assert again.log_evidence().log_z == pytest.approx(fitted.log_evidence().log_z, abs=1e-10)


def test_a_last_layer_with_many_classes_is_small():
    torch.manual_seed(5)
    C = 2_000
    data = Pairs(torch.randn(8, 32), torch.randint(0, C, (8,)))
    fitted = LaplaceNetwork.fit(nn.Linear(32, C), data, likelihood=CategoricalLikelihood(), curvature="diagonal")
    assert fitted.marginals(data.inputs).spread.shape == (8, C)
    assert fitted.predict(data.inputs, samples=4).mean.shape == (8, C)


def good():
    return {"network": nn.Linear(2, 3), "data": Pairs(torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]))}


BROKEN = [
    ({"data": Pairs(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))}, "0 data"),
    ({"data": Pairs(torch.zeros(4, 2), torch.tensor([0, 1, 2, 3]))}, r"labels lie in \[0, 3\]"),
    ({"data": Pairs(torch.zeros(4, 2), torch.tensor([0, 1, 2, -1]))}, r"labels lie in \[-1, 2\]"),
    ({"data": Pairs(torch.zeros(4, 2), torch.zeros(4))}, "labels must be long"),
    ({"data": Pairs(torch.full((4, 2), math.nan), torch.zeros(4, dtype=torch.long))}, "outputs for some data"),
    ({"prior_precision": 0.0}, "prior_precision must be positive"),
    ({"prior_precision": -1.0}, "prior_precision must be positive"),
    ({"prior_precision": math.nan}, "prior_precision must be positive"),
    ({"prior_precision": [1.0, 2.0]}, "one for each of 1 layers"),
    ({"curvature": "low-rank"}, "give one of full, kron, diagonal"),
    ({"batch_size": 0}, "batches of 0"),
    ({"layers": ["missing"]}, "no layer with parameters is named"),
    ({"network": nn.LayerNorm(2), "layers": "all"}, r"not for the network \(LayerNorm\)"),
    ({"network": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), "layers": "all"}, r"not for 1 \(BatchNorm1d\)"),
    ({"likelihood": GaussianLikelihood(scale="conditional")}, "conditional"),
    ({"likelihood": GaussianLikelihood()}, "targets of shape"),
    ({"network": nn.LSTM(2, 3)}, "calls no Linear"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_bad_input_is_refused(change, message):
    options = {"likelihood": CategoricalLikelihood(), **good(), **change}
    with pytest.raises(ValueError, match=message):
        LaplaceNetwork.fit(options.pop("network"), options.pop("data"), **options)


def test_weights_that_are_not_finite_are_named():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    network[0].bias.data[1] = math.nan
    with pytest.raises(ValueError, match=r"NaN or infinite in 0\.bias"):
        LaplaceNetwork.fit(network, good()["data"], likelihood=CategoricalLikelihood())


def test_requests_that_make_no_sense_are_refused(regression):
    classes = LaplaceNetwork.fit(**good(), likelihood=CategoricalLikelihood())
    with pytest.raises(ValueError, match="no noise"):
        classes.optimize_prior_precision(noise=True)
    with pytest.raises(ValueError, match="draw at least one"):
        classes.predict(torch.zeros(1, 2), samples=0)
    with pytest.raises(ValueError, match="draw at least one"):
        classes.sample_weights(0)
    with pytest.raises(ValueError, match="at least one"):
        classes.predict(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="use predict"):
        regression.fit("kron").probit(torch.zeros(1, 4, dtype=DOUBLE))
    with pytest.raises(ValueError, match="must be positive"):
        classes.set_prior_precision(0.0)
    classes.set_prior_precision(torch.tensor([3.0]))
    assert classes.log_evidence().diagnostics["prior_precision"] == (3.0,)
