"""What our own runs of networks with random weights gave: `jensen fit RECIPE --seed 0`, then `jensen evaluate RUN`."""

from jensen.recipes.recipe import Measured

__all__ = [
    "BBB_DIABETES",
    "BBB_DIGITS",
    "BBB_MNIST",
    "BBB_UCI",
    "COMPRESSION_DIGITS",
    "GHS_LENET5",
    "GHS_MNIST",
    "GNJ_LENET5",
    "GNJ_MNIST",
    "LAPLACE_DIGITS",
    "SPARSE_VD_DIGITS",
    "SPARSE_VD_LENET5",
    "SPARSE_VD_MNIST",
    "VARIATIONAL_DROPOUT_DIGITS",
]

HARDWARE = "one thread of an AMD EPYC (Zen 4), torch 2.13 CPU"
MNIST = "10,000 MNIST test images, 100 draws of the weights"
DIGITS = "300 test digits, 100 draws of the weights"

Rows = tuple[Measured, ...]
Row = tuple[str, float, float, str] | tuple[str, float, float, str, str]


def _rows(data: str, budget: str, *rows: Row) -> Rows:
    """What, value, standard error and unit of each, and where more is to be said the network that it is of."""
    return tuple(
        Measured(what, value, error, data, budget, HARDWARE, 0, "2026-11-21", "".join(network), unit)
        for what, value, error, unit, *network in rows
    )


NONE = 0.0

BBB_DIGITS = _rows(
    DIGITS,
    "150 epochs, 19 s",
    ("error", 3.33, 1.04, "%"),
    ("NLL", 0.1544, 0.0149, "nats"),
    ("error, 75 % of weights pruned", 3.00, 0.99, "%"),
)
BBB_MNIST = _rows(
    MNIST,
    "100 epochs, 15 min of CPU time",
    ("error", 1.44, 0.12, "%"),
    ("NLL", 0.0468, 0.0037, "nats"),
    ("error, 50 % of weights pruned", 1.42, 0.12, "%"),
    ("error, 75 % of weights pruned", 1.69, 0.13, "%"),
    ("error, 95 % of weights pruned", 5.86, 0.23, "%"),
    ("error, 98 % of weights pruned", 17.24, 0.38, "%"),
)
BBB_DIABETES = _rows(
    "88 held-out patients, 500 draws of the weights",
    "300 epochs, 4 s",
    ("RMSE", 51.76, 3.68, ""),
    ("log-likelihood", -5.441, 0.042, "nats"),
)
BBB_UCI = tuple(
    row
    for name, rmse, log_likelihood in (
        ("yacht", (0.838, 0.083), (-1.307, 0.041)),
        ("energy", (1.170, 0.165), (-1.503, 0.164)),
        ("concrete", (5.661, 0.083), (-3.156, 0.014)),
    )
    for row in _rows(
        "mean of the first 10 splits, 500 draws of the weights each",
        "1,000 epochs a split, about 10 s",
        (f"RMSE, {name}", *rmse, ""),
        (f"log-likelihood, {name}", *log_likelihood, "nats"),
    )
)
SPARSE_VD_DIGITS = _rows(
    DIGITS,
    "300 epochs, 43 s",
    ("error, shrunk", 4.33, 1.18, "%", "47-23-28 of 64-100-50"),
    ("weights, all over kept", 39.8, NONE, "x"),
)
SPARSE_VD_MNIST = _rows(
    MNIST,
    "200 epochs, 21 min of CPU time",
    ("error, shrunk", 1.76, 0.13, "%", "98.5-97.7-77.8 % of each layer dropped"),
    ("weights, all over kept", 58.5, NONE, "x"),
    ("error", 1.66, 0.13, "%"),
)
SPARSE_VD_LENET5 = _rows(
    "10,000 MNIST test images, 5 draws of the weights",
    "24 of 200 epochs, 21 min of CPU time",
    ("error, shrunk", 0.82, 0.09, "%", "48.8-94.1-99.0-82.9 % of each layer dropped"),
    ("weights, all over kept", 65.8, NONE, "x"),
    ("error", 0.94, 0.10, "%"),
)
COMPRESSION_DIGITS = _rows(
    DIGITS,
    "300 epochs, 50 s",
    ("error, shrunk", 3.67, 1.09, "%", "35-18-13 of 64-100-50"),
    ("pruning rate", 12.0, NONE, "x"),
    ("fast prediction rate", 71.0, NONE, "x", "rounded to 6-4-5 bits, error 3.67 %"),
    ("maximum compression rate", 71.0, NONE, "x", "rounded to 6-4-5 bits, error 3.67 %"),
    ("error, shrunk at its bits", 3.67, 1.09, "%", "35-18-13; 6-4-5 bits"),
)
GNJ_MNIST = _rows(
    MNIST,
    "100 epochs, 11 min of CPU time",
    ("error, shrunk", 1.86, 0.14, "%", "343-94-16"),
    ("pruning rate", 7.9, NONE, "x"),
    ("fast prediction rate", 50.6, NONE, "x", "rounded to 5-4-6 bits, error 2.63 %"),
    ("error, shrunk at its bits", 2.63, 0.16, "%", "343-94-16; 5-4-6 bits"),
    ("error", 1.62, 0.13, "%"),
)
GNJ_LENET5 = _rows(
    "10,000 MNIST test images, 2 draws of the weights",
    "8 of 200 epochs, 7 min of CPU time",
    ("error, shrunk", 1.10, 0.10, "%", "14-34-436-333"),
    ("pruning rate", 2.7, NONE, "x"),
)
GHS_LENET5 = _rows(
    "10,000 MNIST test images, 2 draws of the weights",
    "8 of 200 epochs, 7 min of CPU time",
    ("error, shrunk", 1.03, 0.10, "%", "14-36-439-375"),
    ("pruning rate", 2.4, NONE, "x"),
)
GHS_MNIST = _rows(
    MNIST,
    "100 epochs, 12 min of CPU time",
    ("error, shrunk", 1.90, 0.14, "%", "403-112-18"),
    ("pruning rate", 5.6, NONE, "x"),
    ("fast prediction rate", 36.3, NONE, "x", "rounded to 5-4-6 bits, error 2.05 %"),
    ("error, shrunk at its bits", 2.05, 0.14, "%", "403-112-18; 5-4-6 bits"),
    ("error", 1.62, 0.13, "%"),
)
VARIATIONAL_DROPOUT_DIGITS = _rows(
    DIGITS,
    "100 epochs, 12 s",
    ("error", 2.00, 0.81, "%", "dropout probabilities of the layers 0.19-0.22-0.25"),
    ("NLL", 0.0598, 0.0096, "nats"),
    ("error, at the means", 1.67, 0.74, "%"),
    ("NLL, at the means", 0.0334, 0.0103, "nats"),
)
LAPLACE_DIGITS = _rows(
    DIGITS,
    "100 epochs, 1 s",
    ("error", 2.33, 0.87, "%"),
    ("NLL", 0.0823, 0.0119, "nats"),
    ("NLL, at the means", 0.0533, 0.0139, "nats"),
)
