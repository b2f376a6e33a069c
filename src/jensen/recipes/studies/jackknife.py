"""The bias of jackknife-corrected bounds, measured where log p(x) is known and on a trained model."""

from dataclasses import dataclass

from jensen.recipes.papers import DEBIASING, IWAE
from jensen.recipes.recipe import Measured, Published
from jensen.recipes.study import Study, require_positive

__all__ = ["STUDIES", "Biases"]


@dataclass(frozen=True)
class Biases:
    """The numbers of the biases.

    Attributes:
        samples: the numbers K of weights in a bound.
        orders: of the jackknife; 0 is the bound itself. Order m needs K above m.
        batches: means of the Gaussian model's replicates, each a repetition.
        work: log-sum-exps of one weight that a cell of the table may cost, for each batch or image.
        replicates: bounds in a batch, or groups of an image's weights, at most.
        epochs: of training on the digits.
        images: digits that are measured.
        reference: weights of each digit, from which its log p(x) is taken.
    """

    samples: tuple[int, ...] = (4, 8, 16, 32, 64)
    orders: tuple[int, ...] = (0, 1, 2, 3, 4)
    batches: int = 20
    work: int = 1_000_000
    replicates: int = 8_000
    epochs: int = 40
    images: int = 20
    reference: int = 20_000

    def __post_init__(self) -> None:
        """Refuse what makes no experiment."""
        require_positive(self, zero=("orders",))
        if not self.orders or min(self.orders) < 0 or self.reference < max(self.samples):
            numbers = f"orders={self.orders}, samples={self.samples}, reference={self.reference}"
            raise ValueError(f"orders start at 0 and the reference has no fewer weights than a bound; got {numbers}")


EXACT = {
    0: {4: -0.10755, 8: -0.047356, 16: -0.022368, 32: -0.010894, 64: -0.0053788},
    1: {4: 0.038004, 8: 0.006626, 16: 0.0012932, 32: 2.8763e-4, 64: 6.804e-5},
    2: {4: 0.0011913, 8: -0.0012678, 16: -1.2211e-4, 32: -1.198e-5, 64: -1.327e-6},
    3: {4: -0.0069992, 8: -3.4874e-4, 16: 1.0777e-5, 32: 6.02e-7, 64: 3.23e-8},
    4: {8: 2.5271e-4, 16: 2.951e-6},
}
FOUND: dict[str, dict[int, tuple[float, float]]] = {
    "Gaussian, predicted": {
        4: (-0.085, 0.0),
        8: (-0.0425, 0.0),
        16: (-0.0213, 0.0),
        32: (-0.0106, 0.0),
        64: (-0.00531, 0.0),
    },
    "Gaussian, order 0": {
        4: (-0.108, 0.00046),
        8: (-0.0475, 0.0003),
        16: (-0.0223, 9.7e-05),
        32: (-0.0109, 4.4e-05),
        64: (-0.00535, 1.5e-05),
    },
    "Gaussian, order 1": {
        4: (0.0387, 0.00067),
        8: (0.00654, 0.00021),
        16: (0.00135, 0.0001),
        32: (0.000259, 3.8e-05),
        64: (8.24e-05, 1.6e-05),
    },
    "Gaussian, order 2": {
        4: (0.001, 0.00084),
        8: (-0.00135, 0.00019),
        16: (-0.000232, 0.00012),
        32: (-0.000267, 9.7e-05),
        64: (-4.77e-05, 9.4e-05),
    },
    "Gaussian, order 3": {
        4: (-0.00633, 0.001),
        8: (-2.77e-05, 0.00035),
        16: (0.000102, 0.0003),
        32: (-0.000218, 0.00035),
        64: (0.000428, 0.00054),
    },
    "Gaussian, order 4": {
        8: (0.00023, 0.00052),
        16: (-4.37e-06, 0.00055),
        32: (0.000548, 0.001),
        64: (0.000679, 0.0011),
    },
    "digits, predicted": {
        4: (-1.22, 0.41),
        8: (-0.609, 0.21),
        16: (-0.305, 0.1),
        32: (-0.152, 0.051),
        64: (-0.0761, 0.026),
    },
    "digits, order 0": {
        4: (-0.534, 0.022),
        8: (-0.288, 0.014),
        16: (-0.155, 0.0092),
        32: (-0.0857, 0.0066),
        64: (-0.047, 0.0048),
    },
    "digits, order 1": {
        4: (-0.0346, 0.019),
        8: (-0.0333, 0.0087),
        16: (-0.0184, 0.0059),
        32: (-0.0115, 0.0043),
        64: (-0.00648, 0.0033),
    },
    "digits, order 2": {
        4: (-0.0449, 0.011),
        8: (-0.0241, 0.0069),
        16: (-0.0104, 0.0051),
        32: (-0.00693, 0.0036),
        64: (-0.00361, 0.0028),
    },
    "digits, order 3": {
        4: (-0.0439, 0.0098),
        8: (-0.0161, 0.0071),
        16: (-0.0127, 0.0081),
        32: (-0.00263, 0.0046),
        64: (-0.00385, 0.0083),
    },
    "digits, order 4": {8: (-0.0128, 0.006), 16: (-0.00738, 0.0096), 32: (-0.0232, 0.021), 64: (-0.0265, 0.043)},
}


def _measured() -> tuple[Measured, ...]:
    return tuple(
        Measured(
            f"{what}, K = {K}",
            value,
            error,
            data="20 digits" if what.startswith("digits") else "20 batches",
            budget="7 min in all, machine shared",
            hardware="one thread of an AMD EPYC (Zen 4), torch 2.13 CPU",
            seed=0,
            date="2026-11-21",
        )
        for what, row in FOUND.items()
        for K, (value, error) in row.items()
    )


STUDIES = (
    Study(
        name="jackknife-bounds",
        title="The bias of jackknife-corrected bounds",
        papers=(DEBIASING, IWAE),
        about=(
            "The bias of the jackknife of importance-weighted bounds in nats, nearer to 0 is better; order 0 is the"
            " bound itself. Gaussian: z ~ N(0, 1), x | z ~ N(z, 1), x = 1.5, weights of draws of the prior, against the"
            " exact log p(x). Digits: the first test images under recipe iwae-digits after 40 epochs, against the bound"
            " of 20,000 weights, from which the K are taken. From every estimate the relative error of its own mean"
            " weight is subtracted, whose expectation is 0 and which is most of its noise. Predicted: the first term of"
            " the expansion in 1/K, -Var[w] / (2 K E[w]^2)."
        ),
        function="jensen.recipes.studies.debiasing:parts",
        settings=Biases(),
        smoke=Biases(
            samples=(4, 8), orders=(0, 1, 2), batches=2, work=20_000, replicates=50, epochs=1, images=2, reference=200
        ),
        form=".3g",
        published=tuple(
            Published(f"Gaussian, order {order}, K = {K}", bias, "exact, by quadrature")
            for order, row in EXACT.items()
            for K, bias in row.items()
        ),
        measured=_measured(),
    ),
)
