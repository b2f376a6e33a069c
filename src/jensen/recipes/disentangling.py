"""What the label says of a digit in one code, its hand in another: small digits in a minute, MNIST in ten."""

from dataclasses import replace

from jensen.recipes.factor_recipe import FactorLosses, FactorNetworks, FactorRecipe
from jensen.recipes.generative_measured import (
    FACTORS_DIGITS,
    FACTORS_DIGITS_LOOSE,
    FACTORS_MNIST,
    FACTORS_MNIST_LOOSE,
)
from jensen.recipes.network_recipe import Task
from jensen.recipes.papers import MATHIEU
from jensen.recipes.recipe import Budget, Measured, Optimizer

__all__ = ["RECIPES"]

SMOKE = Budget(epochs=2, batch_size=32, images=64)
DIFFERS = (
    "Both players move in the same step; the discriminator's layers have spectral norm one; no batch normalisation.",
    "Partners of the same class and the images whose s is taken come from the minibatch.",
    "Images from the prior's z count as much as those from another image's z; the authors' code leaves them out.",
    "The swap weighs ten times the reconstruction, so that s holds what a class has in common.",
    "Evaluated at a moving average of the parameters.",
)
NARROW = "z is narrow."
ABLATED = "Without the adversary, and with a z that is wide and costs a tenth: what the label test is held against."

DIGITS = FactorRecipe(
    name="factors-digits",
    title="Class and hand of 8x8 digits apart",
    paper=MATHIEU,
    data=Task("digits"),
    model=FactorNetworks(hidden=(128, 128), discriminator=(128, 128), specified=16, unspecified=6),
    losses=FactorLosses(reconstruction=0.1, swap=1.0, kl=0.12, transfer=3.0, sample=3.0),
    optimizer=Optimizer(learning_rate=1e-3, schedule="cosine", betas=(0.5, 0.999), ema=0.999),
    budget=Budget(epochs=300, batch_size=64),
    smoke=SMOKE,
    threads=1,
    differs=(
        "The paper has MNIST and larger images and convolutions; here perceptrons on 8x8 digits.",
        *DIFFERS,
        NARROW,
    ),
    measured=FACTORS_DIGITS,
)

MNIST = FactorRecipe(
    name="factors-mnist",
    title="Class and hand of MNIST apart",
    paper=MATHIEU,
    data=Task("mnist"),
    model=FactorNetworks(hidden=(256, 256), discriminator=(256, 256), specified=16, unspecified=16),
    losses=FactorLosses(reconstruction=0.1, swap=1.0, kl=1.0, transfer=15.0, sample=15.0),
    optimizer=Optimizer(learning_rate=1e-3, schedule="cosine", betas=(0.5, 0.999), ema=0.999),
    budget=Budget(epochs=24, batch_size=64),
    smoke=SMOKE,
    threads=1,
    differs=("Perceptrons in place of convolutions, s of 16 in place of 64.", *DIFFERS, NARROW),
    measured=FACTORS_MNIST,
)


def _ablated(recipe: FactorRecipe, measured: tuple[Measured, ...]) -> FactorRecipe:
    """Without the adversary, and with room in z for all that s holds."""
    return replace(
        recipe,
        name=f"{recipe.name}-no-adversary",
        title="The same: no adversary, a loose z",
        model=replace(recipe.model, unspecified=max(16, 2 * recipe.model.unspecified)),
        losses=replace(recipe.losses, kl=recipe.losses.kl / 10, transfer=0.0, sample=0.0),
        differs=(*(each for each in recipe.differs if each != NARROW), ABLATED),
        measured=measured,
    )


RECIPES = (DIGITS, _ablated(DIGITS, FACTORS_DIGITS_LOOSE), MNIST, _ablated(MNIST, FACTORS_MNIST_LOOSE))
