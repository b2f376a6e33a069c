"""What our own runs of the deep generative recipes and of the rate-distortion studies gave."""

from collections.abc import Iterable

from jensen.recipes.recipe import Measured

__all__ = [
    "CONV_DIGITS_LEVELS",
    "DRAW_SMALL",
    "DRAW_SMALL_T1",
    "DRAW_SMALL_VAE",
    "FACTORS_DIGITS",
    "FACTORS_DIGITS_LOOSE",
    "FACTORS_MNIST",
    "FACTORS_MNIST_LOOSE",
    "RATES_DIGITS",
    "RATES_MNIST",
]

HARDWARE = "one thread of an AMD EPYC (Zen 4), torch 2.13 CPU"
BINARIZED = "10,000 test images of binarised MNIST"

Row = tuple[str, float, float] | tuple[str, float, float, str]


def _rows(data: str, budget: str, rows: Iterable[Row], *, seed: int = 0) -> tuple[Measured, ...]:
    """What, value and standard error of each, and its unit where it is not nats."""
    return tuple(
        Measured(what, value, error, data, budget, HARDWARE, seed, "2026-11-21", unit=unit[0] if unit else "nats")
        for what, value, error, *unit in rows
    )


DRAW_SMALL = _rows(
    f"{BINARIZED}, 20 draws each",
    "45 epochs, 25 min of CPU time",
    [("ELBO", -93.29, 0.26), ("IWAE, k = 20", -89.52, 0.25)],
)
DRAW_SMALL_T1 = _rows(
    f"{BINARIZED}, 50 draws each",
    "45 epochs, 5 min of CPU time",
    [("ELBO", -109.48, 0.36), ("IWAE, k = 50", -105.73, 0.34)],
)
DRAW_SMALL_VAE = (
    *_rows(
        f"{BINARIZED}, 50 draws each",
        "150 epochs, 7 min of CPU time",
        [("ELBO", -95.82, 0.26), ("IWAE, k = 50", -91.88, 0.25)],
    ),
    *_rows(f"{BINARIZED}, 50 draws each", "45 epochs, 2 min of CPU time", [("ELBO, 45 epochs", -99.13, 0.26)]),
)
CONV_DIGITS_LEVELS = _rows(
    "300 test digits of 17 levels, 500 draws each",
    "80 epochs, half a minute of CPU time",
    [("ELBO", -86.66, 0.74), ("IWAE, k = 500", -84.30, 0.74)],
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
FACTORS_MNIST = _rows(
    "10,000 MNIST test images",
    "24 epochs, 7 min of CPU time",
    [
        ("label error from s, mlp probe", 1.92, 0.14, "%"),
        ("label error from z, mlp probe", 81.88, 0.39, "%"),
        ("label error from the mean of z, mlp probe", 31.93, 0.47, "%"),
        ("squared error, z = 0 over own codes", 4.45, 0.02, ""),
    ],
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
RATES_MNIST_ROWS: tuple[Row, ...] = (
    ("GECO, 200-200-20, kappa = 5: rate", 6.861, 0),
    ("GECO, 200-200-20, kappa = 5: distortion", 24.97, 0),
    ("GECO, 200-200-20, kappa = 5: violation", -0.003071, 0),
    ("GECO, 200-200-20, kappa = 5: lambda", 0.5365, 0),
    ("at 1/lambda, 200-200-20, kappa = 5: rate", 6.472, 0),
    ("at 1/lambda, 200-200-20, kappa = 5: distortion", 25.45, 0),
    ("GECO, 200-200-20, kappa = 4: rate", 14.86, 0),
    ("GECO, 200-200-20, kappa = 4: distortion", 15.97, 0),
    ("GECO, 200-200-20, kappa = 4: violation", -0.00305, 0),
    ("GECO, 200-200-20, kappa = 4: lambda", 1.411, 0),
    ("at 1/lambda, 200-200-20, kappa = 4: rate", 13.95, 0),
    ("at 1/lambda, 200-200-20, kappa = 4: distortion", 16.58, 0),
    ("GECO, 200-200-20, kappa = 3.5: rate", 21.96, 0),
    ("GECO, 200-200-20, kappa = 3.5: distortion", 12.24, 0),
    ("GECO, 200-200-20, kappa = 3.5: violation", -0.003107, 0),
    ("GECO, 200-200-20, kappa = 3.5: lambda", 2.599, 0),
    ("at 1/lambda, 200-200-20, kappa = 3.5: rate", 21.14, 0),
    ("at 1/lambda, 200-200-20, kappa = 3.5: distortion", 12.63, 0),
    ("GECO, 300-16, kappa = 5: rate", 7.957, 0),
    ("GECO, 300-16, kappa = 5: distortion", 24.95, 0),
    ("GECO, 300-16, kappa = 5: violation", -0.003951, 0),
    ("GECO, 300-16, kappa = 5: lambda", 0.648, 0),
    ("at 1/lambda, 300-16, kappa = 5: rate", 7.527, 0),
    ("at 1/lambda, 300-16, kappa = 5: distortion", 25.56, 0),
    ("GECO, 300-16, kappa = 4: rate", 16.83, 0),
    ("GECO, 300-16, kappa = 4: distortion", 15.97, 0),
    ("GECO, 300-16, kappa = 4: violation", -0.004114, 0),
    ("GECO, 300-16, kappa = 4: lambda", 1.579, 0),
    ("at 1/lambda, 300-16, kappa = 4: rate", 16.09, 0),
    ("at 1/lambda, 300-16, kappa = 4: distortion", 16.48, 0),
    ("GECO, 300-16, kappa = 3.5: rate", 24.97, 0),
    ("GECO, 300-16, kappa = 3.5: distortion", 12.23, 0),
    ("GECO, 300-16, kappa = 3.5: violation", -0.004949, 0),
    ("GECO, 300-16, kappa = 3.5: lambda", 3.324, 0),
    ("at 1/lambda, 300-16, kappa = 3.5: rate", 23.87, 0),
    ("at 1/lambda, 300-16, kappa = 3.5: distortion", 12.64, 0),
)
RATES_MNIST = _rows("MNIST training images", "15 epochs each, 16 min of CPU time for all", RATES_MNIST_ROWS)
RATES_DIGITS_ROWS: tuple[Row, ...] = (
    ("GECO, 64-8, kappa = 1.6: rate", 3.014, 0.0088),
    ("GECO, 64-8, kappa = 1.6: distortion", 2.568, 0.0018),
    ("GECO, 64-8, kappa = 1.6: violation", -0.002113, 0.00042),
    ("GECO, 64-8, kappa = 1.6: lambda", 2.579, 0.0023),
    ("at 1/lambda, 64-8, kappa = 1.6: rate", 2.841, 0.032),
    ("at 1/lambda, 64-8, kappa = 1.6: distortion", 2.597, 0.00038),
    ("GECO, 64-8, kappa = 1.3: rate", 6.08, 0.013),
    ("GECO, 64-8, kappa = 1.3: distortion", 1.685, 0.0027),
    ("GECO, 64-8, kappa = 1.3: violation", -0.001544, 0.00046),
    ("GECO, 64-8, kappa = 1.3: lambda", 5.495, 0.08),
    ("at 1/lambda, 64-8, kappa = 1.3: rate", 5.799, 0.0025),
    ("at 1/lambda, 64-8, kappa = 1.3: distortion", 1.751, 0.006),
    ("GECO, 64-8, kappa = 1: rate", 11.93, 0.088),
    ("GECO, 64-8, kappa = 1: distortion", 0.9995, 0.0018),
    ("GECO, 64-8, kappa = 1: violation", -1.643e-05, 9.9e-05),
    ("GECO, 64-8, kappa = 1: lambda", 18.25, 0.33),
    ("at 1/lambda, 64-8, kappa = 1: rate", 11.19, 0.03),
    ("at 1/lambda, 64-8, kappa = 1: distortion", 1.111, 0.0055),
    ("GECO, 100-50-16, kappa = 1.6: rate", 2.62, 0.0028),
    ("GECO, 100-50-16, kappa = 1.6: distortion", 2.548, 0.0067),
    ("GECO, 100-50-16, kappa = 1.6: violation", -0.006222, 0.0054),
    ("GECO, 100-50-16, kappa = 1.6: lambda", 2.019, 0.034),
    ("at 1/lambda, 100-50-16, kappa = 1.6: rate", 2.378, 0.079),
    ("at 1/lambda, 100-50-16, kappa = 1.6: distortion", 2.642, 0.051),
    ("GECO, 100-50-16, kappa = 1.3: rate", 5.272, 0.016),
    ("GECO, 100-50-16, kappa = 1.3: distortion", 1.683, 0.0011),
    ("GECO, 100-50-16, kappa = 1.3: violation", -0.0009065, 0.0022),
    ("GECO, 100-50-16, kappa = 1.3: lambda", 4.177, 0.046),
    ("at 1/lambda, 100-50-16, kappa = 1.3: rate", 4.754, 0.022),
    ("at 1/lambda, 100-50-16, kappa = 1.3: distortion", 1.768, 0.0019),
    ("GECO, 100-50-16, kappa = 1: rate", 9.929, 0.083),
    ("GECO, 100-50-16, kappa = 1: distortion", 1.002, 0.0025),
    ("GECO, 100-50-16, kappa = 1: violation", -0.000277, 0.0026),
    ("GECO, 100-50-16, kappa = 1: lambda", 10.24, 0.019),
    ("at 1/lambda, 100-50-16, kappa = 1: rate", 9.171, 0.1),
    ("at 1/lambda, 100-50-16, kappa = 1: distortion", 1.056, 0.0085),
)
RATES_DIGITS = _rows("training digits, two runs", "100 epochs each, 4 min of CPU time for all", RATES_DIGITS_ROWS)
