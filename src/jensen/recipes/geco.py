"""Training under a constraint: the least KL at which reconstructions are as near as asked."""

from dataclasses import replace

from jensen.recipes.architectures import Architecture
from jensen.recipes.generative_measured import GECO_DIGITS, GECO_MNIST
from jensen.recipes.objectives import Constraint, Objective
from jensen.recipes.papers import GECO
from jensen.recipes.recipe import Budget, Data, Optimizer, Recipe

__all__ = ["RECIPES"]

SCALE = 0.5**0.5
"""Of Gaussian pixels: minus the log-likelihood is the squared error and a constant, and 1/lambda the weight of the KL
with which a beta-VAE lands on the same point."""

DIGITS = Recipe(
    name="geco-digits",
    title="GECO on 8x8 digits, error 1.69",
    paper=GECO,
    data=Data("digits", binarization="grey"),
    model=Architecture("vae", hidden=((100, 50),), latent=(16,), likelihood="gaussian", scale=SCALE),
    objective=Objective("geco", constraint=Constraint(kappa=1.3)),
    optimizer=Optimizer(learning_rate=3e-3, schedule="cosine", floor=0.1),
    budget=Budget(epochs=100, batch_size=50),
    smoke=Budget(epochs=2, batch_size=32, evaluation_samples=20, images=64),
    threads=1,
    differs=(
        "The paper has convolutional networks and larger images.",
        "The multiplier moves by the violation in units of kappa^2, clipped at a tenth; the paper's moves by the sum of"
        " squares itself.",
    ),
    measured=GECO_DIGITS,
)
MNIST = replace(
    DIGITS,
    name="geco-mnist",
    title="GECO, error 16",
    data=Data("mnist", binarization="grey"),
    model=Architecture("vae", hidden=((200, 200),), latent=(20,), likelihood="gaussian", scale=SCALE),
    objective=Objective("geco", constraint=Constraint(kappa=4.0)),
    optimizer=Optimizer(learning_rate=1e-3, schedule="cosine", floor=0.1),
    budget=Budget(epochs=20, batch_size=100, evaluation_samples=500),
    measured=GECO_MNIST,
)
RECIPES = (DIGITS, MNIST)
