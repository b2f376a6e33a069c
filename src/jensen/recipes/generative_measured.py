"""What our own runs of the deep generative recipes and of the rate-distortion studies gave."""

from collections.abc import Iterable

from jensen.recipes.recipe import Measured

__all__ = [
    "CIFAR10_SUBSET",
    "CONV_DIGITS",
    "CONV_DIGITS_LEVELS",
    "CONV_IWAE_MNIST",
    "DRAW_DIGITS",
    "DRAW_DIGITS_ATTENTION",
    "DRAW_SMALL",
    "DRAW_SMALL_ATTENTION",
    "DRAW_SMALL_T1",
    "DRAW_SMALL_VAE",
    "FACTORS_DIGITS",
    "FACTORS_DIGITS_LOOSE",
    "FACTORS_MNIST",
    "FACTORS_MNIST_LOOSE",
    "FLOW_DIGITS",
    "GECO_DIGITS",
    "GECO_MNIST",
    "LADDER_DIGITS",
    "LADDER_DIGITS_FREE_BITS",
    "LADDER_MNIST",
    "RATES_DIGITS",
    "RATES_MNIST",
]

HARDWARE = "one thread of an AMD EPYC (Zen 4), torch 2.13 CPU"
BINARIZED = "10,000 test images of binarised MNIST"

Row = tuple[str, float, float] | tuple[str, float, float, str]


def _rows(
    data: str, budget: str, rows: Iterable[Row], *, seed: int = 0, date: str = "2026-11-21"
) -> tuple[Measured, ...]:
    """What, value and standard error of each, and its unit where it is not nats."""
    return tuple(
        Measured(what, value, error, data, budget, HARDWARE, seed, date, unit=unit[0] if unit else "nats")
        for what, value, error, *unit in rows
    )


DRAW_SMALL = _rows(
    f"{BINARIZED}, 20 draws each",
    "45 epochs, 25 min of CPU time",
    [("ELBO", -93.29, 0.26), ("IWAE, k = 20", -89.52, 0.25)],
)
DRAW_SMALL_ATTENTION = _rows(
    f"{BINARIZED}, 20 draws each",
    "45 epochs, 28 min of CPU time",
    [("ELBO", -88.28, 0.24), ("IWAE, k = 20", -85.41, 0.23)],
    date="2026-11-22",
)
DRAW_SMALL_T1 = _rows(
    f"{BINARIZED}, 50 draws each",
    "45 epochs, 5 min of CPU time",
    [("ELBO", -109.48, 0.36), ("IWAE, k = 50", -105.73, 0.34)],
)
DRAW_SMALL_VAE = (
    *_rows(
        f"{BINARIZED}, 50 draws each",
        "480 epochs, 25 min of CPU time",
        [("ELBO", -94.37, 0.26), ("IWAE, k = 50", -90.25, 0.24)],
        date="2026-11-22",
    ),
    *_rows(f"{BINARIZED}, 50 draws each", "150 epochs, 7 min of CPU time", [("ELBO, 150 epochs", -95.82, 0.26)]),
    *_rows(f"{BINARIZED}, 50 draws each", "45 epochs, 2 min of CPU time", [("ELBO, 45 epochs", -99.13, 0.26)]),
)
TEST_DIGITS = "300 test digits, 500 draws each"


def _digits_of(budget: str, elbo: tuple[float, float], iwae: tuple[float, float]) -> tuple[Measured, ...]:
    """Both bounds on the test digits."""
    return _rows(TEST_DIGITS, budget, [("ELBO", *elbo), ("IWAE, k = 500", *iwae)], date="2026-11-22")


def _rates(data: str, budget: str, rows: Iterable[tuple[str, float, float]], *, date: str) -> tuple[Measured, ...]:
    """Rates in nats; squared errors, shares of the tolerance and multipliers have no unit."""
    return _rows(data, budget, [(*row, "nats" if row[0].endswith("rate") else "") for row in rows], date=date)


CONV_DIGITS = _digits_of("80 epochs, half a minute of CPU time", (-23.24, 0.23), (-22.91, 0.22))
FLOW_DIGITS = _digits_of("80 epochs, half a minute of CPU time", (-23.11, 0.22), (-22.73, 0.22))
LADDER_DIGITS = _digits_of("200 epochs, half a minute of CPU time", (-22.96, 0.23), (-22.54, 0.22))
LADDER_DIGITS_FREE_BITS = _digits_of("200 epochs, half a minute of CPU time", (-23.77, 0.22), (-22.54, 0.22))
DRAW_DIGITS = _digits_of("100 epochs, 40 s of CPU time", (-23.03, 0.23), (-22.70, 0.23))
DRAW_DIGITS_ATTENTION = _digits_of("100 epochs, 2 min of CPU time", (-24.25, 0.22), (-23.85, 0.22))
GECO_DIGITS = _rates(
    "training digits, moving averages",
    "100 epochs, 10 s of CPU time",
    [("rate", 5.240, 0), ("violation", -0.0015, 0), ("lambda", 4.185, 0)],
    date="2026-11-22",
)
GECO_MNIST = _rates(
    "MNIST training images, moving averages",
    "20 epochs, 76 s of CPU time",
    [("rate", 14.03, 0), ("violation", -0.0020, 0), ("lambda", 1.262, 0)],
    date="2026-11-22",
)
CIFAR10_SUBSET = _rows(
    "200 test images after training on 3,500, 50 draws each",
    "10 epochs of `--data cifar10_subset`, 4 min of CPU time",
    [("ELBO of the subset", -13978.0, 88.3), ("IWAE of the subset, k = 50", -13894.0, 88.0)],
    date="2026-11-22",
)
CONV_IWAE_MNIST = _rows(
    "2,000 MNIST test images, evenly spaced, 500 draws each",
    "10 epochs, 15 min of CPU time",
    [("ELBO", -94.71, 0.52), ("IWAE, k = 5", -89.93, 0.51), ("IWAE, k = 500", -86.45, 0.49)],
    date="2026-11-22",
)
CONV_DIGITS_LEVELS = _rows(
    "300 test digits of 17 levels, 500 draws each",
    "80 epochs, half a minute of CPU time",
    [("ELBO", -86.66, 0.74), ("IWAE, k = 500", -84.30, 0.72)],
)
LADDER_MNIST = _rows(
    "2,000 MNIST test images, evenly spaced, 500 draws each",
    "40 epochs, 7 min of CPU time",
    [("ELBO", -90.85, 0.56), ("IWAE, k = 500", -87.01, 0.53)],
    date="2026-11-22",
)
FACTOR_ROWS = (
    "label error from s, mlp probe",
    "label error from z, mlp probe",
    "label error from the mean of z, mlp probe",
    "images with the s of another, misread",
    "squared error, z = 0 over own codes",
)


def _digits(budget: str, *seeds: tuple[tuple[float, float], ...]) -> tuple[Measured, ...]:
    """`FACTOR_ROWS` for each seed from 0."""
    units = ("%", "%", "%", "%", "")
    rows = (
        _rows("300 test digits", budget, [(FACTOR_ROWS[i], *numbers[i], units[i])], seed=seed)
        for i in range(len(FACTOR_ROWS))
        for seed, numbers in enumerate(seeds)
    )
    return tuple(row for each in rows for row in each)


FACTORS_DIGITS = _digits(
    "300 epochs, a minute of CPU time",
    ((1.67, 0.74), (81.33, 2.25), (60.33, 2.83), (3.67, 1.09), (3.52, 0.13)),
    ((1.33, 0.66), (75.67, 2.48), (64.33, 2.77), (3.33, 1.04), (3.41, 0.13)),
    ((1.00, 0.58), (79.00, 2.36), (59.67, 2.84), (5.00, 1.26), (3.28, 0.12)),
)
FACTORS_DIGITS_LOOSE = _digits(
    "300 epochs, a minute of CPU time",
    ((2.33, 0.87), (2.33, 0.87), (1.67, 0.74), (91.00, 1.66), (13.27, 0.45)),
    ((4.33, 1.18), (1.67, 0.74), (1.00, 0.58), (90.33, 1.71), (13.36, 0.46)),
    ((3.33, 1.04), (3.67, 1.09), (2.33, 0.87), (90.33, 1.71), (13.26, 0.49)),
)
FACTORS_MNIST = (
    *_rows(
        "10,000 MNIST test images",
        "24 epochs, 7 min of CPU time",
        [
            ("label error from s, mlp probe", 1.92, 0.14, "%"),
            ("label error from z, mlp probe", 81.88, 0.39, "%"),
            ("label error from the mean of z, mlp probe", 31.93, 0.47, "%"),
            ("squared error, z = 0 over own codes", 4.45, 0.02, ""),
        ],
    ),
    *_rows(
        "10,000 MNIST test images",
        "24 epochs, 7 min of CPU time",
        [
            ("label error from s, mlp probe", 1.8, 0.1, "%"),
            ("label error from z, mlp probe", 79.4, 0.4, "%"),
            ("label error from the mean of z, mlp probe", 27.7, 0.4, "%"),
            ("squared error, z = 0 over own codes", 4.54, 0.02, ""),
        ],
        seed=1,
        date="2026-11-22",
    ),
)
FACTORS_MNIST_LOOSE = _rows(
    "10,000 MNIST test images",
    "24 epochs, 4 min of CPU time",
    [
        ("label error from s, mlp probe", 5.7, 0.2, "%"),
        ("label error from z, mlp probe", 3.6, 0.2, "%"),
        ("label error from the mean of z, mlp probe", 3.4, 0.2, "%"),
        ("squared error, z = 0 over own codes", 11.73, 0.07, ""),
    ],
)
RATES_MNIST_ROWS: tuple[tuple[str, float, float], ...] = (
    ("GECO, 200-200-20, kappa = 5: rate", 6.196, 0),
    ("GECO, 200-200-20, kappa = 5: distortion", 24.98, 0),
    ("GECO, 200-200-20, kappa = 5: violation", 0.001645, 0),
    ("GECO, 200-200-20, kappa = 5: lambda", 0.4459, 0),
    ("at 1/lambda, 200-200-20, kappa = 5: rate", 6.221, 0),
    ("at 1/lambda, 200-200-20, kappa = 5: distortion", 25.06, 0),
    ("GECO, 200-200-20, kappa = 4: rate", 12.73, 0),
    ("GECO, 200-200-20, kappa = 4: distortion", 15.85, 0),
    ("GECO, 200-200-20, kappa = 4: violation", 0.0022, 0),
    ("GECO, 200-200-20, kappa = 4: lambda", 1.059, 0),
    ("at 1/lambda, 200-200-20, kappa = 4: rate", 12.62, 0),
    ("at 1/lambda, 200-200-20, kappa = 4: distortion", 16.13, 0),
    ("GECO, 200-200-20, kappa = 3.5: rate", 18.4, 0),
    ("GECO, 200-200-20, kappa = 3.5: distortion", 12.14, 0),
    ("GECO, 200-200-20, kappa = 3.5: violation", 0.00313, 0),
    ("GECO, 200-200-20, kappa = 3.5: lambda", 1.821, 0),
    ("at 1/lambda, 200-200-20, kappa = 3.5: rate", 18.31, 0),
    ("at 1/lambda, 200-200-20, kappa = 3.5: distortion", 12.38, 0),
    ("GECO, 300-16, kappa = 5: rate", 6.552, 0),
    ("GECO, 300-16, kappa = 5: distortion", 25.15, 0),
    ("GECO, 300-16, kappa = 5: violation", 0.001894, 0),
    ("GECO, 300-16, kappa = 5: lambda", 0.4928, 0),
    ("at 1/lambda, 300-16, kappa = 5: rate", 6.538, 0),
    ("at 1/lambda, 300-16, kappa = 5: distortion", 25.41, 0),
    ("GECO, 300-16, kappa = 4: rate", 13.81, 0),
    ("GECO, 300-16, kappa = 4: distortion", 16.04, 0),
    ("GECO, 300-16, kappa = 4: violation", 0.002691, 0),
    ("GECO, 300-16, kappa = 4: lambda", 1.139, 0),
    ("at 1/lambda, 300-16, kappa = 4: rate", 13.9, 0),
    ("at 1/lambda, 300-16, kappa = 4: distortion", 16.2, 0),
    ("GECO, 300-16, kappa = 3.5: rate", 19.7, 0),
    ("GECO, 300-16, kappa = 3.5: distortion", 12.24, 0),
    ("GECO, 300-16, kappa = 3.5: violation", 0.00294, 0),
    ("GECO, 300-16, kappa = 3.5: lambda", 2.005, 0),
    ("at 1/lambda, 300-16, kappa = 3.5: rate", 19.58, 0),
    ("at 1/lambda, 300-16, kappa = 3.5: distortion", 12.38, 0),
)
RATES_MNIST = _rates(
    "MNIST training images", "40 epochs each, 43 min of CPU time for all", RATES_MNIST_ROWS, date="2026-11-22"
)
RATES_DIGITS_ROWS: tuple[tuple[str, float, float], ...] = (
    ("GECO, 64-8, kappa = 1.6: rate", 2.506, 0.037),
    ("GECO, 64-8, kappa = 1.6: distortion", 2.549, 0.017),
    ("GECO, 64-8, kappa = 1.6: violation", -0.0009378, 0.00066),
    ("GECO, 64-8, kappa = 1.6: lambda", 1.867, 0.0081),
    ("at 1/lambda, 64-8, kappa = 1.6: rate", 2.508, 0.044),
    ("at 1/lambda, 64-8, kappa = 1.6: distortion", 2.511, 0.031),
    ("GECO, 64-8, kappa = 1.3: rate", 4.932, 0.017),
    ("GECO, 64-8, kappa = 1.3: distortion", 1.679, 0.0028),
    ("GECO, 64-8, kappa = 1.3: violation", -0.0002477, 0.00017),
    ("GECO, 64-8, kappa = 1.3: lambda", 3.966, 0.032),
    ("at 1/lambda, 64-8, kappa = 1.3: rate", 4.844, 0.048),
    ("at 1/lambda, 64-8, kappa = 1.3: distortion", 1.69, 0.015),
    ("GECO, 64-8, kappa = 1: rate", 9.422, 0.012),
    ("GECO, 64-8, kappa = 1: distortion", 0.9953, 0.0043),
    ("GECO, 64-8, kappa = 1: violation", 0.001639, 0.00081),
    ("GECO, 64-8, kappa = 1: lambda", 10.68, 0.089),
    ("at 1/lambda, 64-8, kappa = 1: rate", 9.247, 0.049),
    ("at 1/lambda, 64-8, kappa = 1: distortion", 1.008, 0.015),
    ("GECO, 100-50-16, kappa = 1.6: rate", 2.327, 0.034),
    ("GECO, 100-50-16, kappa = 1.6: distortion", 2.561, 0.031),
    ("GECO, 100-50-16, kappa = 1.6: violation", 0.0009203, 0.0016),
    ("GECO, 100-50-16, kappa = 1.6: lambda", 1.632, 0.015),
    ("at 1/lambda, 100-50-16, kappa = 1.6: rate", 2.267, 0.027),
    ("at 1/lambda, 100-50-16, kappa = 1.6: distortion", 2.606, 0.00027),
    ("GECO, 100-50-16, kappa = 1.3: rate", 4.393, 0.042),
    ("GECO, 100-50-16, kappa = 1.3: distortion", 1.678, 0.00083),
    ("GECO, 100-50-16, kappa = 1.3: violation", 0.001528, 0.0018),
    ("GECO, 100-50-16, kappa = 1.3: lambda", 3.183, 0.069),
    ("at 1/lambda, 100-50-16, kappa = 1.3: rate", 4.313, 0.047),
    ("at 1/lambda, 100-50-16, kappa = 1.3: distortion", 1.683, 0.007),
    ("GECO, 100-50-16, kappa = 1: rate", 8.176, 0.042),
    ("GECO, 100-50-16, kappa = 1: distortion", 0.9991, 0.016),
    ("GECO, 100-50-16, kappa = 1: violation", -0.00205, 0.00045),
    ("GECO, 100-50-16, kappa = 1: lambda", 7.751, 0.087),
    ("at 1/lambda, 100-50-16, kappa = 1: rate", 7.974, 0.062),
    ("at 1/lambda, 100-50-16, kappa = 1: distortion", 1.011, 0.011),
)
RATES_DIGITS = _rates(
    "training digits, two runs", "400 epochs each, 9 min of CPU time for all", RATES_DIGITS_ROWS, date="2026-11-22"
)
