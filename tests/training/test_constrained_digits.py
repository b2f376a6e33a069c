"""Three tolerances and two architectures, one and the same controller: all of them settle at what was asked."""

import pytest
import torch

from jensen.datasets import load
from jensen.layers import GaussianMLP
from jensen.models import VAE
from jensen.training import Constrained, Cosine, Linear, ReconstructionError, Variational, fit

EPOCHS = 70
SCALE = 0.5**0.5


@pytest.fixture(scope="module")
def digits():
    return load("digits").train


def autoencoder(x, hidden, latent):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = GaussianMLP(64, hidden, latent)
        decoder = GaussianMLP(latent, hidden[::-1], 64, scale=SCALE, bounded_mean=True, mean=x.mean(0))
        return VAE(encoder=encoder, decoder=decoder, latent=latent)


def train(model, objective, x, *, epochs=EPOCHS, kl_weight=1.0):
    schedule = Cosine(5e-3, epochs=epochs, final=5e-4)
    options = {"batch_size": 50, "learning_rate": schedule, "kl_weight": kl_weight, "accelerator": "cpu"}
    return fit(model, objective, x, epochs=epochs, progress=False, **options)


def train_weighted(model, x, beta):
    train(model, Variational(1, analytic_kl=True), x, kl_weight=Linear(0.0, beta, EPOCHS / 5))
    return rate_and_distortion(model, x)


@torch.no_grad()
def rate_and_distortion(model, x):
    error = ReconstructionError(1.0)
    inference = model.infer(x, 8)
    return inference.kl.mean().item(), (error(x, inference) + error.scale).mean().item()


@pytest.mark.parametrize(("hidden", "latent"), [((48,), 6), ((32, 32), 10)])
@pytest.mark.parametrize("kappa", [1.2, 1.4, 1.7])
def test_it_settles_at_the_tolerance(digits, kappa, hidden, latent):
    model, objective = autoencoder(digits, hidden, latent), Constrained(ReconstructionError(kappa))
    history = train(model, objective, digits)
    settled = history.epochs[-1].monitor
    assert abs(settled["constraint"]) < 0.02 * kappa**2
    assert settled == objective.monitor()
    assert rate_and_distortion(model, digits)[1] == pytest.approx(kappa**2, rel=0.03)


def test_a_beta_vae_at_one_over_the_multiplier_lands_on_the_same_point(digits):
    """Its weight rises from zero, as the multiplier is large in the beginning; at twice the weight it lands apart."""
    constrained, objective = autoencoder(digits, (48,), 6), Constrained(ReconstructionError(1.7))
    train(constrained, objective, digits)
    beta = 1 / objective.multiplier.item()
    rate, distortion = rate_and_distortion(constrained, digits)
    theirs, other = (train_weighted(autoencoder(digits, (48,), 6), digits, weight) for weight in (beta, 2 * beta))
    assert theirs == (pytest.approx(rate, rel=0.06), pytest.approx(distortion, rel=0.03))
    assert beta * theirs[0] + theirs[1] == pytest.approx(beta * rate + distortion, rel=0.02)
    assert other != (pytest.approx(rate, rel=0.2), pytest.approx(distortion, rel=0.1))


def test_a_tolerance_that_is_not_squared_misses_it(digits):
    class UnsquaredError(ReconstructionError):
        def __call__(self, x, inference):
            return super().__call__(x, inference) + self.kappa**2 - self.kappa

    model, objective = autoencoder(digits, (48,), 6), Constrained(UnsquaredError(1.7))
    train(model, objective, digits, epochs=40)
    assert rate_and_distortion(model, digits)[1] != pytest.approx(1.7**2, rel=0.2)
