"""Rate against distortion: KL warm-up, beta-VAEs and training under a constraint on one picture."""

from dataclasses import dataclass, replace

from jensen.recipes.generative_measured import RATES_DIGITS, RATES_MNIST
from jensen.recipes.papers import BETA_VAE, GECO
from jensen.recipes.study import Study, require_positive

__all__ = ["STUDIES", "RateDistortion"]


@dataclass(frozen=True)
class RateDistortion:
    """The numbers of the comparison.

    Attributes:
        data: a data set of `jensen.datasets`; its grey levels are left as they are.
        architectures: widths of the encoder's layers and then the number of latent units, such as `100-50-16`; the
            decoder mirrors the encoder.
        kappas: tolerances of the constraint, |x - g(z)| <= kappa in mean square.
        betas: weights of the KL of the beta-VAEs.
        warmup: part of the epochs in which the KL's weight rises from 0, to 1 for the VAE with KL warm-up, to
            1 / lambda for the beta-VAE at GECO's multiplier, which is large in the beginning too.
        epochs: passes over the training images.
        batch_size: images in a step.
        learning_rate: of Adam at the start; half a cosine takes it to a tenth, so that the networks follow the
            multiplier to the end.
        runs: repetitions, each from other weights and with other noise.
        images: use only the first so many training images; 0 for all.
    """

    data: str = "digits"
    architectures: tuple[str, ...] = ("64-8", "100-50-16")
    kappas: tuple[float, ...] = (1.6, 1.3, 1.0)
    betas: tuple[float, ...] = (0.8, 0.4, 0.2, 0.1, 0.05)
    warmup: float = 0.2
    epochs: int = 400
    batch_size: int = 50
    learning_rate: float = 3e-3
    runs: int = 2
    images: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no experiment."""
        require_positive(self, zero=("images",))
        for each in self.architectures:
            sizes_of(each)
        if self.warmup > 1 or self.images < 0:
            raise ValueError(f"warmup is a part of the epochs and images a number, got {self.warmup}, {self.images}")


def sizes_of(architecture: str) -> tuple[tuple[int, ...], int]:
    """The widths of the hidden layers and the number of latent units.

    Raises:
        ValueError: if they are not at least two positive numbers.

    Example:
        >>> sizes_of("100-50-16")
        ((100, 50), 16)
    """
    sizes = architecture.split("-")
    if len(sizes) < 2 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ValueError(f"an architecture is written as sizes such as 100-50-16, got {architecture!r}")
    *hidden, latent = map(int, sizes)
    return tuple(hidden), latent


ABOUT = (
    "Rate is the mean KL of the posterior from the prior in nats, distortion the mean squared error |x - g(z)|^2 summed"
    " over the pixels; both on the training images, by the posterior's draws. Pixels are grey under a Gaussian of"
    " variance 1/2, whose log-likelihood is minus the distortion up to a constant. GECO: trained to a distortion of"
    " kappa^2 at the least rate; violation is the last moving average of the constraint over kappa^2, lambda the"
    " multiplier that it found. At 1/lambda: a beta-VAE trained anew, whose weight rises to that number in the first"
    " fifth of training and which should land on the same point. Gaussian: the rate-distortion function of a Gaussian"
    " with the covariance of the images, which is what linear networks can reach at best."
)
DIGITS = Study(
    name="rate-distortion",
    title="Rate and distortion of VAEs, 8x8 digits",
    papers=(GECO, BETA_VAE),
    about=ABOUT,
    function="jensen.recipes.studies.constrained:parts",
    settings=RateDistortion(),
    smoke=RateDistortion(architectures=("10-3",), kappas=(2.0,), betas=(1.0,), epochs=2, runs=1, images=100),
    form=".4g",
    differs=("The papers have larger images and convolutional networks.",),
    measured=RATES_DIGITS,
)
MNIST = replace(
    DIGITS,
    name="rate-distortion-mnist",
    title="Rate and distortion of VAEs, MNIST",
    settings=RateDistortion(
        data="mnist",
        architectures=("200-200-20", "300-16"),
        kappas=(5.0, 4.0, 3.5),
        betas=(2.0, 0.5, 0.2),
        epochs=40,
        batch_size=100,
        learning_rate=1e-3,
        runs=1,
    ),
    smoke=DIGITS.smoke,
    measured=RATES_MNIST,
)
STUDIES = (DIGITS, MNIST)
