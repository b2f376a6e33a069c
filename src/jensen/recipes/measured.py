"""What our own runs of the recipes gave: `jensen fit RECIPE --seed 0`, then `jensen evaluate RUN`."""

from jensen.recipes.recipe import Measured

__all__ = [
    "DISCRETE_DIGITS",
    "DISCRETE_MNIST",
    "FREY_VAE",
    "IWAE_DIGITS",
    "MNIST_IWAE",
    "MNIST_VAE",
    "STRUCTURED_DIGITS",
    "STRUCTURED_MNIST",
    "VAE_DIGITS",
]

TEST_IMAGES = "10,000 MNIST test images, binarised once, 5,000 draws each"
DIGITS = "300 test digits, binarised once, 5,000 draws each"


def _measured(
    what: str, value: float, error: float, active: str, *, data: str, budget: str, threads: str = "one thread"
) -> Measured:
    hardware = f"{threads} of an AMD EPYC (Zen 4), torch 2.13 CPU"
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
        budget="40 of 3,280 epochs, 28 min 35 s",
        threads="two threads",
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
DISCRETE_DIGITS = (
    _measured("NLL, leave_one_out, k = 4", 22.55, 0.22, "9", data=DIGITS, budget="300 epochs, 55 s, machine shared"),
    _measured("NLL, unordered_set, k = 4", 22.56, 0.22, "10", data=DIGITS, budget="300 epochs, 90 s, machine shared"),
    _measured("NLL, vimco, k = 4", 22.34, 0.22, "10", data=DIGITS, budget="300 epochs, 24 s, machine shared"),
    _measured("NLL, gumbel_softmax, k = 1", 23.13, 0.23, "10", data=DIGITS, budget="300 epochs, 51 s, machine shared"),
)
DISCRETE_MNIST = (
    _measured(
        "NLL, unordered_set, k = 4",
        102.49,
        0.27,
        "20",
        data="10,000 test images of binarised MNIST, 5,000 draws each",
        budget="20 epochs, 4 min 34 s",
    ),
)
HALVES = "lower halves of 300 test digits, binarised once, 1,000 draws each"
STRUCTURED_DIGITS = (
    _measured("NLL, leave_one_out, k = 2", 12.69, 0.15, "", data=HALVES, budget="300 epochs, 35 s, machine shared"),
    _measured("NLL, vimco, k = 5", 11.83, 0.15, "", data=HALVES, budget="300 epochs, 50 s, machine shared"),
    _measured("NLL, gumbel_softmax, k = 1", 12.06, 0.17, "", data=HALVES, budget="300 epochs, 34 s, machine shared"),
)
STRUCTURED_MNIST = (
    _measured(
        "NLL, vimco, k = 5",
        66.13,
        0.22,
        "",
        data="lower halves of the 10,000 test images of binarised MNIST, 1,000 draws each, most of them with too few",
        budget="20 epochs, 3 min 25 s, machine shared",
    ),
)
