"""The baseline: a network trained as usual, and Laplace's approximation around what was found."""

from jensen.recipes.network_recipe import (
    LaplaceFit,
    Network,
    NetworkOptimizer,
    NetworkRecipe,
    Noise,
    Prior,
    Task,
    Weights,
)
from jensen.recipes.networks_measured import LAPLACE_DIGITS
from jensen.recipes.papers import LAPLACE_REDUX
from jensen.recipes.recipe import Budget

__all__ = ["RECIPES"]

WEIGHTS = Weights("laplace", prior=Prior("normal", scale=1.0), laplace=LaplaceFit("last_layer", "kron"))
SMOKE = Budget(epochs=2, batch_size=32, evaluation_samples=8, images=64)

RECIPES = (
    NetworkRecipe(
        name="laplace-digits",
        title="Laplace baseline on 8x8 digits",
        paper=LAPLACE_REDUX,
        data=Task("digits"),
        network=Network(hidden=(100, 100)),
        weights=WEIGHTS,
        noise=Noise("categorical"),
        optimizer=NetworkOptimizer(learning_rate=3e-3, schedule="cosine"),
        budget=Budget(epochs=100, batch_size=64, evaluation_samples=100),
        smoke=SMOKE,
        threads=1,
        outside="noise",
        differs=("The paper compares on larger images and networks; this is the baseline beside bbb-digits.",),
        measured=LAPLACE_DIGITS,
    ),
    NetworkRecipe(
        name="laplace-mnist",
        title="Laplace baseline, 400-400",
        paper=LAPLACE_REDUX,
        data=Task("mnist", scale=255 / 126),
        network=Network(hidden=(400, 400)),
        weights=WEIGHTS,
        noise=Noise("categorical"),
        optimizer=NetworkOptimizer(learning_rate=1e-3, schedule="cosine"),
        budget=Budget(epochs=30, batch_size=128, evaluation_samples=100),
        smoke=SMOKE,
        outside="fashion_mnist",
        differs=("The paper has a LeNet; this is the baseline beside bbb-mnist-400.",),
    ),
)
