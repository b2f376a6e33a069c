"""DRAW's experiment on binarised MNIST, at the paper's size and at sizes for a CPU, and the same on 8x8 digits."""

from dataclasses import replace

from jensen.recipes.architectures import Architecture, DrawArchitecture
from jensen.recipes.generative_measured import (
    DRAW_DIGITS,
    DRAW_DIGITS_ATTENTION,
    DRAW_SMALL,
    DRAW_SMALL_ATTENTION,
    DRAW_SMALL_T1,
    DRAW_SMALL_VAE,
)
from jensen.recipes.objectives import Objective
from jensen.recipes.papers import AEVB, DRAW
from jensen.recipes.recipe import Budget, Data, Optimizer, Published, Recipe

__all__ = ["RECIPES"]

TABLE = "Gregor et al. 2015, Table 2: at most this NLL"
SMOKE = Budget(epochs=1, batch_size=20, evaluation_samples=3, images=40)

OURS = "A learning rate of {} with a cosine schedule; no gradient of a norm above {}."
SMALL = "The paper has 64 glimpses of 256 units and 100 latents."
TWIN = "What draw-mnist-small is measured against: the same pixels, {}."

DRAW_MNIST = Recipe(
    name="draw-mnist",
    title="DRAW without attention, for a GPU",
    paper=DRAW,
    data=Data("binarized_mnist", binarization="fixed"),
    model=DrawArchitecture(glimpses=64, hidden=256, latent=100),
    objective=Objective("sgvb_b"),
    optimizer=Optimizer(learning_rate=1e-3, schedule="cosine", clip_norm=20.0),
    budget=Budget(epochs=100, batch_size=100, evaluation_samples=50),
    smoke=SMOKE,
    differs=(OURS.format("1e-3", 20),),
    published=(Published("ELBO", -87.40, TABLE),),
)
DRAW_MNIST_ATTENTION = replace(
    DRAW_MNIST,
    name="draw-mnist-attention",
    title="DRAW with attention, for a GPU",
    model=DrawArchitecture(glimpses=64, hidden=256, latent=100, read=2, write=5),
    published=(Published("ELBO", -80.97, TABLE),),
)
DRAW_MNIST_SMALL = replace(
    DRAW_MNIST,
    name="draw-mnist-small",
    title="DRAW without attention, 8 glimpses",
    model=DrawArchitecture(glimpses=8, hidden=128, latent=8),
    optimizer=Optimizer(learning_rate=3e-3, schedule="cosine", clip_norm=20.0),
    budget=Budget(epochs=45, batch_size=100, evaluation_samples=50),
    threads=1,
    differs=(SMALL, OURS.format("3e-3", 20)),
    measured=DRAW_SMALL,
)
DIGITS = replace(
    DRAW_MNIST_SMALL,
    name="draw-digits",
    title="DRAW on 8x8 digits, no attention",
    data=Data("digits"),
    model=DrawArchitecture(glimpses=8, hidden=64, latent=5),
    budget=Budget(epochs=100, batch_size=50, evaluation_samples=500),
    differs=("The paper has 28x28 images, 64 glimpses of 256 units and 100 latents.", OURS.format("3e-3", 20)),
    published=(),
    measured=DRAW_DIGITS,
)

RECIPES = (
    DRAW_MNIST,
    DRAW_MNIST_ATTENTION,
    DRAW_MNIST_SMALL,
    replace(
        DRAW_MNIST_SMALL,
        name="draw-mnist-small-attention",
        title="DRAW with attention, 10 glimpses",
        model=DrawArchitecture(glimpses=10, hidden=128, latent=8, read=5, write=5),
        differs=(SMALL, "Patches read are 5x5 in place of 2x2.", OURS.format("3e-3", 20)),
        published=DRAW_MNIST_ATTENTION.published,
        measured=DRAW_SMALL_ATTENTION,
    ),
    replace(
        DRAW_MNIST_SMALL,
        name="draw-mnist-small-t1",
        title="DRAW with a single glimpse",
        model=DrawArchitecture(glimpses=1, hidden=128, latent=8),
        differs=(TWIN.format("one step"),),
        published=(),
        measured=DRAW_SMALL_T1,
    ),
    replace(
        DRAW_MNIST_SMALL,
        name="draw-mnist-small-vae",
        title="VAE, 200-200-20, beside DRAW",
        paper=AEVB,
        model=Architecture("vae", hidden=((200, 200),), latent=(20,)),
        optimizer=Optimizer(learning_rate=1e-3, schedule="cosine"),
        budget=Budget(epochs=480, batch_size=100, evaluation_samples=500),
        differs=(TWIN.format("a perceptron, as much time"),),
        published=(),
        measured=DRAW_SMALL_VAE,
    ),
    DIGITS,
    replace(
        DIGITS,
        name="draw-digits-attention",
        title="DRAW on 8x8 digits, attention",
        model=DrawArchitecture(glimpses=10, hidden=64, latent=5, read=3, write=3),
        measured=DRAW_DIGITS_ATTENTION,
    ),
)
