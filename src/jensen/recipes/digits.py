"""Experiments on scikit-learn's handwritten digits, 8x8: a minute each, and nothing to download."""

from jensen.recipes.architectures import Architecture
from jensen.recipes.measured import IWAE_DIGITS, VAE_DIGITS
from jensen.recipes.objectives import Objective
from jensen.recipes.papers import AEVB, IWAE
from jensen.recipes.recipe import Budget, Data, Optimizer, Recipe

__all__ = ["RECIPES"]

SMOKE = Budget(epochs=2, batch_size=32, evaluation_samples=20, images=64)
OPTIMIZER = Optimizer(learning_rate=3e-3, schedule="cosine", eps=1e-4)
SMALL = "The paper has 28x28 images and networks of 200-200-50; these digits are 8x8, 1,297 to train on."

RECIPES = (
    Recipe(
        name="iwae-digits",
        title="IWAE on 8x8 digits: the demo",
        paper=IWAE,
        data=Data("digits"),
        model=Architecture("iwae", hidden=((100, 100),), latent=(20,)),
        objective=Objective("iwae", samples=20),
        optimizer=OPTIMIZER,
        budget=Budget(epochs=250, batch_size=50),
        smoke=SMOKE,
        threads=1,
        differs=(SMALL, "A cosine schedule replaces the stages of 1, 3, 9, ... epochs."),
        measured=IWAE_DIGITS,
    ),
    Recipe(
        name="vae-digits",
        title="VAE on 8x8 digits, analytic KL",
        paper=AEVB,
        data=Data("digits"),
        model=Architecture("vae", hidden=((100, 100),), latent=(20,)),
        objective=Objective("sgvb_b", samples=1),
        optimizer=OPTIMIZER,
        budget=Budget(epochs=300, batch_size=50),
        smoke=SMOKE,
        threads=1,
        differs=(
            "Two hidden layers of 100 units; Adam in place of Adagrad.",
            "Grey levels are binarised on every use.",
        ),
        measured=VAE_DIGITS,
    ),
)
