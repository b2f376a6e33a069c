"""Convolutional, ladder and flow recipes: what they build, and that each of them trains."""

from dataclasses import replace
from importlib.util import find_spec
from math import prod

import pytest
import torch

from jensen import recipes
from jensen.layers import FlowPosterior
from jensen.models import VAE, LadderVAE
from jensen.recipes.architectures import ConvolutionalArchitecture, Flow, LadderArchitecture
from jensen.recipes.build import make_model
from jensen.recipes.convolutional import RECIPES
from jensen.recipes.running import make_objective
from jensen.training import BalancedKL, FreeBits

NUMBERS = {
    "bernoulli": {},
    "gaussian": {},
    "continuous_bernoulli": {},
    "discretized_logistic": {"levels": 17},
    "discretized_logistic_mixture": {"levels": 17, "mixtures": 2},
}


@pytest.mark.parametrize("shape", [(8, 8), (6, 5, 3)])
@pytest.mark.parametrize("likelihood", NUMBERS)
@pytest.mark.parametrize("kind", ["convolutional", "ladder"])
def test_every_likelihood_has_a_model_of_either_kind(kind, likelihood, shape):
    numbers = {"likelihood": likelihood, **NUMBERS[likelihood]}
    if kind == "convolutional":
        sizes = ConvolutionalArchitecture((4, 4), hidden=8, latent=3, **numbers)
    else:
        sizes = LadderArchitecture(hidden=((8,), (8, 6)), latent=(3, 2), **numbers)
    model = make_model(sizes, shape, mean=torch.full((prod(shape),), 0.3))
    assert isinstance(model, VAE if kind == "convolutional" else LadderVAE)
    x = torch.bernoulli(torch.full((4, prod(shape)), 0.3))
    model.check(x)
    model.log_weights(x, 2).total.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.sample(2).shape == (2, prod(shape))


def test_a_flow_stands_behind_the_encoder():
    if find_spec("zuko") is None:
        pytest.skip("no zuko, which has the flows")
    sizes = ConvolutionalArchitecture((4,), hidden=8, latent=3, flow=Flow("nsf", transforms=2, hidden=(8,)))
    model = make_model(sizes, (8, 8))
    assert isinstance(model.encoder, FlowPosterior)
    assert len(model.encoder.transform.transforms) == 2


def test_objectives_against_collapse_are_made_of_their_numbers():
    found = make_objective(recipes.get("ladder-digits-free-bits").objective)
    assert found == FreeBits(0.25, samples=1)
    assert make_objective(recipes.get("ladder-mnist").objective) == BalancedKL(1)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_step_of_every_recipe_has_a_finite_gradient(recipe):
    if getattr(recipe.model, "flow", None) and find_spec("zuko") is None:
        pytest.skip("no zuko, which has the flows")
    shape = {"digits": (8, 8), "mnist": (28, 28), "cifar10": (32, 32, 3)}[recipe.data.name]
    torch.manual_seed(0)
    model = make_model(recipe.model, shape, objective=recipe.objective)
    levels = getattr(recipe.model, "levels", 0) or 2
    x = torch.randint(0, levels, (3, prod(shape))) / (levels - 1)
    objective = make_objective(replace(recipe.objective, samples=2))
    value = objective(model, x, kl_weight=0.5)
    value.mean().backward()
    assert value.shape == (3,)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
