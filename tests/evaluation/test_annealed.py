"""Annealed importance sampling of decoders whose log p(x) is known, and of a trained one beside its IWAE bound.

Statistical checks: |z| < 4.56; all seeds are fixed.
"""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Dirichlet, Independent, MultivariateNormal, Normal

from jensen._contracts import LatentLayer
from jensen.datasets import digits
from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.evaluation import AnnealedBound, AnnealedEvaluation, evaluate, evaluate_annealed
from jensen.layers import BernoulliMLP, DiscreteMLP, GaussianMLP
from jensen.models import IWAE, VAE, DiscreteVAE
from jensen.training import ImportanceWeighted, fit

DOUBLE = torch.float64


class Recorded(Independent):
    """A likelihood that keeps what was drawn of it."""

    def __init__(self, kept, *arguments):
        super().__init__(*arguments)
        self.kept = kept

    def sample(self, shape=torch.Size()):
        x = super().sample(shape)
        self.kept.append(x)
        return x


class Linear(nn.Module):
    """z ~ N(0, I), x | z ~ N(Wz, 0.25 I): log p(x) is that of a Gaussian."""

    def __init__(self, *, pixels=4, latent=2, dtype=DOUBLE, noise=0.5):
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.register_buffer("W", torch.randn(pixels, latent, generator=draw, dtype=DOUBLE).to(dtype))
        self.noise, self.made = noise, []

    def prior(self):
        return StandardNormal(self.W.new_zeros(self.W.shape[1]))

    def likelihood(self, z):
        return Recorded(self.made, Normal(z @ self.W.T, self.noise), 1)

    def posterior(self, x):
        """Too wide, and off by 0.2."""
        covariance = torch.linalg.inv(
            torch.eye(self.W.shape[1], dtype=self.W.dtype) + self.W.T @ self.W / self.noise**2
        )
        mean = x @ self.W @ covariance / self.noise**2
        return DiagonalNormal(mean + 0.2, covariance.diag().sqrt().log().expand_as(mean) + 0.3)

    def log_evidence(self, x):
        W = self.W.double()
        covariance = W @ W.T + self.noise**2 * torch.eye(len(W), dtype=DOUBLE)
        return MultivariateNormal(torch.zeros(len(W), dtype=DOUBLE), covariance).log_prob(x.double())


@pytest.fixture
def x():
    return 1.5 * torch.randn(10, 4, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


def rows(found):
    return {(row.side, row.on): row for row in found.rows}


@pytest.mark.parametrize("start", ["prior", "posterior"])
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
def test_a_conjugate_decoder(x, start, dtype):
    model = Linear(dtype=dtype)
    found = evaluate_annealed(model, x, temperatures=60, chains=64, simulated=30, start=start)
    exact = model.log_evidence(x)
    lower = found.lower
    assert lower.mc_error < 0.05
    assert lower.value == pytest.approx(exact.mean().item(), abs=4.56 * lower.mc_error)
    assert lower.std_error == pytest.approx(exact.std().item() / math.sqrt(10), rel=0.05)
    made = model.log_evidence(torch.cat(model.made)).mean().item()
    low, high = rows(found)["lower", "simulated"], rows(found)["upper", "simulated"]
    assert low.value - 4.56 * low.mc_error < made < high.value + 4.56 * found.gap_error
    assert found.gap == pytest.approx(high.value - low.value)
    assert abs(found.gap) < 4.56 * found.gap_error + 0.02
    assert len(torch.cat(model.made)) == found.simulated == 30
    assert 0.5 < lower.acceptance < 0.8


def test_a_likelihood_that_is_off_is_caught(x):
    """The truth of another noise is far outside the sandwich."""
    model = Linear()
    found = evaluate_annealed(model, x, temperatures=60, chains=64, simulated=30)
    model.noise = 1.0
    made = model.log_evidence(torch.cat(model.made)).mean().item()
    low, high = rows(found)["lower", "simulated"], rows(found)["upper", "simulated"]
    assert not low.value - 4.56 * low.mc_error < made < high.value + 4.56 * found.gap_error


def test_few_temperatures_are_loose_on_either_side_and_more_of_them_close_in(x):
    gaps = []
    for temperatures in (3, 12, 60):
        model = Linear(noise=0.2)
        found = evaluate_annealed(model, x, temperatures=temperatures, chains=4, simulated=100)
        made = model.log_evidence(torch.cat(model.made)).mean().item()
        assert rows(found)["lower", "simulated"].value < made < rows(found)["upper", "simulated"].value
        gaps.append(found.gap)
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0


def test_the_monte_carlo_error_is_what_other_chains_change(x):
    """Over copies of one datum the two errors are the same."""
    copies = x[:1].expand(200, -1)
    found = evaluate_annealed(Linear(), copies, temperatures=40, chains=32, simulated=0, batch_size=200)
    assert 0.8 < found.lower.std_error / found.lower.mc_error < 1.25


def two_layers():
    torch.manual_seed(0)
    model = IWAE(
        encoders=[GaussianMLP(4, (), 3), GaussianMLP(3, (), 2)],
        decoders=[GaussianMLP(3, (), 4, scale="learned"), GaussianMLP(2, (), 3, scale="learned")],
        latents=[3, 2],
    ).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False).add_(0.3 * torch.randn_like(parameter))
    return model


def exact_evidence(model, x):
    """Of linear layers: means and covariances pass through one after the other."""
    mean, covariance = torch.zeros(2, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE)
    for decoder in reversed(model.decoders):
        inputs = torch.cat([torch.zeros(1, len(mean), dtype=DOUBLE), torch.eye(len(mean), dtype=DOUBLE)])
        outputs = decoder(inputs).mean
        A = (outputs[1:] - outputs[0]).T
        mean, covariance = A @ mean + outputs[0], A @ covariance @ A.T + decoder(inputs).variance[0].diag()
    return MultivariateNormal(mean, covariance).log_prob(x)


def test_two_stochastic_layers_through_their_noise(x):
    model = two_layers()
    found = evaluate_annealed(model, x, temperatures=50, chains=64, simulated=20)
    exact = exact_evidence(model, x).mean().item()
    assert found.lower.mc_error < 0.05
    assert found.lower.value == pytest.approx(exact, abs=4.56 * found.lower.mc_error)
    assert abs(found.gap) < 4.56 * found.gap_error + 0.03
    with pytest.raises(ValueError, match="over all 5 latents at once, which IWAE does not have"):
        evaluate_annealed(model, x, start="posterior")


def test_one_layer_of_an_iwae_is_a_vae(x):
    torch.manual_seed(1)
    vae = VAE(encoder=GaussianMLP(4, (5,), 2), decoder=GaussianMLP(2, (5,), 4), latent=2)
    iwae = IWAE(encoders=[vae.encoder], decoders=[vae.decoder], latents=[2])
    settings = {"temperatures": 10, "chains": 2, "simulated": 0}
    assert evaluate_annealed(vae, x, **settings).rows == evaluate_annealed(iwae, x, **settings).rows


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    vae = VAE(encoder=GaussianMLP(64, (50,), 6), decoder=BernoulliMLP(6, (50,), 64), latent=6)
    split = digits.load()
    train = (split.train > 0.5).float()
    fit(vae, ImportanceWeighted(5), train, epochs=8, batch_size=50, learning_rate=3e-3, seed=0, progress=False)
    return vae, (split.test[:10] > 0.5).float()


def test_a_trained_autoencoder_agrees_with_its_importance_weighted_bound(trained):
    vae, x = trained
    found = evaluate_annealed(vae, x, temperatures=60, chains=32, simulated=10)
    bound = evaluate(vae, x, samples=2000, ks=(1, 2000))
    error = math.hypot(found.lower.mc_error, bound.tightest.mc_error)
    assert error < 0.1
    assert abs(found.lower.value - bound.tightest.value) < 4.56 * error + 0.02
    assert abs(found.gap) < 4.56 * found.gap_error + 0.05
    assert found.lower.value - bound.rows[0].value > 10 * error, "the ELBO is told apart"


def test_the_model_and_the_generators_are_left_as_they_were(trained):
    vae, x = trained
    vae.train()
    state = torch.get_rng_state()
    settings = {"temperatures": 5, "chains": 2, "simulated": 3}
    first, second = (evaluate_annealed(vae, x[:3], **settings) for _ in range(2))
    assert first.rows == second.rows
    assert vae.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in vae.parameters())
    assert evaluate_annealed(vae, x[:3], seed=1, **settings).rows != first.rows


def test_what_is_low_is_said(x):
    found = evaluate_annealed(Linear(noise=0.02), x, temperatures=3, chains=16, simulated=0)
    assert found.ess_low > 0
    assert found.ess_threshold == 4
    assert f"{found.ess_low} of 10 test data have an effective sample size below 4 of 16 chains" in found.notes[0]
    assert math.isnan(found.gap)
    assert math.isnan(found.gap_error)
    alone = evaluate_annealed(Linear(), x[:1], temperatures=5, chains=1, simulated=1)
    assert math.isnan(alone.lower.mc_error)
    assert math.isnan(alone.lower.std_error)
    assert "one chain" in " ".join(alone.notes)


def test_the_count_of_evaluations(x):
    asked = []

    class Counted(Linear):
        def likelihood(self, z):
            asked.append(z[..., 0].numel())
            return super().likelihood(z)

    found = evaluate_annealed(Counted(), x, temperatures=8, chains=3, steps=2, simulated=4, batch_size=6)
    tried, drawn = 2, 4
    assert found.evaluations == sum(asked) - tried - drawn


class Model:
    """What a bad model is made of."""

    def __init__(self, prior, likelihood):
        self.prior, self.likelihood = prior, likelihood


def normal(z):
    return Independent(Normal(z, 1.0), 1)


def prior(size=4):
    return Independent(Normal(torch.zeros(size, dtype=DOUBLE), 1.0), 1)


class Layered(Linear):
    def latents(self, x, samples=1):
        return [LatentLayer(torch.zeros(1, size), torch.zeros(1, size)) for size in (2, 3)]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (object(), "object has neither generate"),
        (Layered(), "has 5 latents in 2 layers and a prior of 2; annealing needs its generate"),
        (Model(lambda: Dirichlet(torch.ones(4)), normal), "are not all of the real line"),
        (Model(lambda: Normal(torch.zeros(4), 1.0), normal), r"batch \(4,\) and event \(\); expected \(\) and \(D,\)"),
        (Model(prior, lambda z: normal(z.detach())), "has no gradient in z"),
        (Model(prior, lambda z: Normal(z, 1.0)), r"has shape \(2, 1, 4\)"),
        (Model(prior, lambda z: normal(z + math.nan)), "datum 0 has no chain of positive weight"),
    ],
)
def test_a_model_that_cannot_be_annealed_is_refused(x, model, message):
    with pytest.raises(ValueError, match=message):
        evaluate_annealed(model, x, temperatures=5, chains=2, simulated=0)


def test_discrete_latents_are_refused():
    vae = DiscreteVAE(encoder=DiscreteMLP(4, (3,), (5,)), decoder=BernoulliMLP(5, (3,), 4), units=(5,))
    with pytest.raises(ValueError, match="the latents of DiscreteVAE are discrete"):
        evaluate_annealed(vae, torch.ones(2, 4))


def test_bad_input_is_refused(x):
    model = Linear()
    for name in ("chains", "steps", "batch_size"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
            evaluate_annealed(model, x, **{name: 0})
    for settings in ({"temperatures": 2}, {"simulated": -1}, {"start": "encoder"}):
        with pytest.raises(ValueError, match="three temperatures or more"):
            evaluate_annealed(model, x, **settings)
    with pytest.raises(ValueError, match="the data set is empty"):
        evaluate_annealed(model, x[:0])
    with pytest.raises(ValueError, match="hold NaN"):
        evaluate_annealed(model, x * math.nan)


def test_the_result_on_disk(x):
    found = evaluate_annealed(Linear(), x, temperatures=5, chains=2, simulated=2)
    assert AnnealedEvaluation.from_json(found.to_json()) == found
    assert (found.temperatures, found.chains, found.steps, found.data) == (5, 2, 5, 10)
    with pytest.raises(ValueError, match='an annealed evaluation must be an object with "format"'):
        AnnealedEvaluation.from_json("{}")
    with pytest.raises(ValueError, match=r"evaluation.chains must be of type int"):
        AnnealedEvaluation.from_json(found.to_json().replace('"chains": 2', '"chains": "two"'))
    upper = AnnealedBound("upper", "simulated", 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="needs a lower bound on test data"):
        AnnealedEvaluation(rows=(upper,))
