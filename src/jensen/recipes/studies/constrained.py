"""The parts of the rate-distortion study: every autoencoder trained anew. Importing this imports torch."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from jensen.evaluation.rate_distortion import gaussian_rate
from jensen.recipes.architectures import Architecture
from jensen.recipes.build import make_data, make_model
from jensen.recipes.recipe import Data
from jensen.recipes.studies.rate_distortion import RateDistortion, sizes_of
from jensen.training import Constrained, Cosine, Linear, ReconstructionError, Variational, fit
from jensen.training.schedules import Schedule

__all__ = ["parts"]

Values = dict[str, list[float]]
SCALE = 0.5**0.5
"""Of the pixels, at which minus the log-likelihood is the squared error and a constant."""

CHUNK = 1000
DRAWS = 4


def parts(settings: RateDistortion, *, seed: int) -> dict[str, Callable[[], Values]]:
    """A part for each training, or for the two of a tolerance.

    Args:
        settings: the study's numbers.
        seed: of the first run; each of the others has the next.
    """
    found: dict[str, Callable[[], Values]] = {"Gaussian": partial(_gaussian, settings)}
    for sizes in settings.architectures:
        for run in range(settings.runs):
            counted = f", run {run + 1}" if settings.runs > 1 else ""
            own = partial(_Training, settings, sizes, seed + run)
            found[f"KL warm-up, {sizes}{counted}"] = partial(_warmed, own)
            for beta in settings.betas:
                found[f"beta-VAE, {sizes}, beta = {beta:g}{counted}"] = partial(_weighted, own, beta)
            for kappa in settings.kappas:
                found[f"GECO, {sizes}, kappa = {kappa:g}{counted}"] = partial(_constrained, own, kappa)
    return found


class _Training:
    """The images and an autoencoder that has not seen them yet."""

    def __init__(self, settings: RateDistortion, sizes: str, seed: int) -> None:
        self.settings, self.sizes, self.seed = settings, sizes, seed
        images = _images(settings)
        hidden, latent = sizes_of(sizes)
        architecture = Architecture("vae", hidden=(hidden,), latent=(latent,), likelihood="gaussian", scale=SCALE)
        self.x = images.train
        self.model = make_model(architecture, images.shape, mean=self.x.mean(0), seed=seed)

    def fit(self, objective: nn.Module | Variational, *, kl_weight: float | Schedule = 1.0) -> tuple[float, float]:
        """Train, then measure rate and distortion."""
        settings, rate = self.settings, self.settings.learning_rate
        fit(
            self.model,
            objective,
            self.x,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=Cosine(rate, epochs=settings.epochs, final=rate / 10),
            kl_weight=kl_weight,
            seed=self.seed,
            accelerator="cpu",
            progress=False,
        )
        return rate_and_distortion(self.model.eval(), self.x)

    def weigh(self, beta: float, *, warmup: float = 0.0) -> tuple[float, float]:
        """Train a beta-VAE whose weight rises from 0 in this part of the epochs, then measure rate and distortion."""
        weight = Linear(0.0, beta, warmup * self.settings.epochs)
        return self.fit(Variational(1, analytic_kl=True), kl_weight=weight)


Fresh = Callable[[], _Training]


def _images(settings: RateDistortion) -> Any:
    return make_data(Data(settings.data, binarization="grey"), limit=settings.images or None)


@torch.no_grad()
def rate_and_distortion(model: nn.Module, x: Tensor) -> tuple[float, float]:
    """Mean divergence in nats and mean squared error of a model on images `(N, pixels)`."""
    error = ReconstructionError(kappa=1.0)
    rate, distortion = 0.0, 0.0
    for batch in torch.split(x, CHUNK):
        inference = cast(Any, model).infer(batch, DRAWS)
        rate += float(inference.kl.mean(0).sum())
        distortion += float((error(batch, inference) + error.scale).sum())
    return rate / len(x), distortion / len(x)


def _gaussian(settings: RateDistortion) -> Values:
    variances = torch.linalg.eigvalsh(_images(settings).train.double().T.cov())
    return {
        f"Gaussian, distortion {kappa**2:.4g}: rate": [gaussian_rate(variances.clamp_min(0), kappa**2).rate]
        for kappa in settings.kappas
    }


def _warmed(own: Fresh) -> Values:
    training = own()
    return _point(f"KL warm-up, {training.sizes}", training.weigh(1.0, warmup=training.settings.warmup))


def _weighted(own: Fresh, beta: float) -> Values:
    training = own()
    return _point(f"beta-VAE, {training.sizes}, beta = {beta:g}", training.weigh(beta))


def _constrained(own: Fresh, kappa: float) -> Values:
    """The constrained model, and the beta-VAE of its multiplier."""
    training = own()
    name = f"GECO, {training.sizes}, kappa = {kappa:g}"
    objective = Constrained(ReconstructionError(kappa))
    values = _point(name, training.fit(objective))
    found = objective.monitor()
    values |= {f"{name}: violation": [found["violation"]], f"{name}: lambda": [found["multiplier"]]}
    again = own().weigh(1 / found["multiplier"], warmup=training.settings.warmup)
    return values | _point(f"at 1/lambda, {training.sizes}, kappa = {kappa:g}", again)


def _point(name: str, found: tuple[float, float]) -> Values:
    rate, distortion = found
    return {f"{name}: rate": [rate], f"{name}: distortion": [distortion]}
