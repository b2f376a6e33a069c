"""What our own runs of the recipes gave: `jensen fit RECIPE --seed 0`, then `jensen evaluate RUN`."""

from jensen.recipes.recipe import Measured

__all__ = ["FREY_VAE", "IWAE_DIGITS", "MNIST_IWAE", "MNIST_VAE", "VAE_DIGITS"]

TEST_IMAGES = "10,000 MNIST test images, binarised once, 5,000 draws each"
DIGITS = "300 test digits, binarised once, 5,000 draws each"


def _measured(what: str, value: float, error: float, active: str, *, data: str, budget: str) -> Measured:
    hardware = "one thread of an AMD EPYC (Zen 4), torch 2.13 CPU"
    return Measured(what, value, error, data, budget, hardware, seed=0, date="2026-11-21", active=active)


MNIST_IWAE = (
    _measured("NLL, k = 1", 92.02, 0.25, "19", data=TEST_IMAGES, budget="40 of 3,280 epochs, 3 min 20 s"),
    _measured("NLL, k = 5", 90.53, 0.24, "23", data=TEST_IMAGES, budget="40 of 3,280 epochs, 6 min 32 s"),
    _measured(
        "NLL, k = 50",
        89.65,
        0.24,
        "27",
        data=TEST_IMAGES,
        budget="40 of 3,280 epochs, 39 min 37 s (on two threads an epoch takes 34 s, 40 of them 23 min)",
    ),
)
IWAE_DIGITS = (_measured("NLL, k = 20", 22.22, 0.22, "18", data=DIGITS, budget="250 epochs, 44 s"),)
VAE_DIGITS = (_measured("NLL, k = 1", 22.57, 0.22, "11", data=DIGITS, budget="300 epochs, 18 s"),)
FREY_VAE = (
    _measured(
        "NLL", -1080.48, 51.68, "10", data="200 held-out faces, 5,000 draws each", budget="1,000 epochs, 2 min 27 s"
    ),
)
MNIST_VAE = (_measured("ELBO", -97.56, 0.25, "20", data=TEST_IMAGES, budget="100 epochs, 17 min, machine shared"),)
