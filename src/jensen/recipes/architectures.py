"""The sizes of every family of autoencoders, one frozen dataclass each; none of their mathematics.

Each has a `kind`, by which JSON tells them apart and `recipes.build` finds the builder, a `likelihood` of the pixels,
and a `discrete`, whether its units are bits or categories. Nothing here imports torch.
"""

from dataclasses import dataclass
from typing import Literal

from jensen.recipes._checks import check_at_least_one

__all__ = [
    "DISCRETIZED",
    "AnyArchitecture",
    "Architecture",
    "ConvolutionalArchitecture",
    "DrawArchitecture",
    "Flow",
    "LadderArchitecture",
    "Likelihood",
]

Likelihood = Literal[
    "bernoulli", "gaussian", "continuous_bernoulli", "discretized_logistic", "discretized_logistic_mixture"
]
"""The distribution of the pixels: zeros and ones, densities of grey levels, or probabilities of so many levels."""

DISCRETIZED = ("discretized_logistic", "discretized_logistic_mixture")
"""The likelihoods that give probability to each of so many grey levels $k / (L - 1)$."""

Scale = Literal["conditional", "learned"] | float
Activation = Literal["tanh", "leaky_relu", "elu", "relu"]


@dataclass(frozen=True)
class Architecture:
    """A perceptron's sizes, lowest stochastic layer first; the generative side mirrors the recognition side.

    Attributes:
        kind: `vae`, `iwae`; `discrete_vae` or `structured` (the lower half from the upper half), whose units are
            discrete.
        hidden: widths of the deterministic layers below each stochastic layer; `structured` has no mirror of them.
        latent: number of latent units in each stochastic layer.
        likelihood: the distribution of the pixels.
        scale: for Gaussian pixels: `conditional`, `learned`, or a fixed standard deviation.
        categories: values of a discrete unit, 2 for bits; 0 for Gaussian units.
        activation: between deterministic layers, `tanh` or `leaky_relu` (slope 0.1).

    Raises:
        ValueError: if the layers do not match, a size is below one, or the units are not of this kind of model.

    Example:
        >>> print(Architecture("iwae", hidden=((200, 200), (100, 100)), latent=(100, 50)))
        200-200-100 / 100-100-50
    """

    kind: Literal["vae", "iwae", "discrete_vae", "structured"]
    hidden: tuple[tuple[int, ...], ...]
    latent: tuple[int, ...]
    likelihood: Literal["bernoulli", "gaussian", "continuous_bernoulli"] = "bernoulli"
    scale: Scale = "learned"
    categories: int = 0
    activation: Activation = "tanh"

    @property
    def discrete(self) -> bool:
        """Whether the units are bits or categories."""
        return self.kind in ("discrete_vae", "structured")

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        _check_layers(self.hidden, self.latent)
        if self.kind in ("vae", "discrete_vae") and len(self.latent) != 1:
            raise ValueError(f"a {self.kind} has one stochastic layer, got {len(self.latent)}; take kind 'iwae'")
        if self.categories < 2 if self.discrete else self.categories != 0:
            need = "at least 2 categories, 2 for bits" if self.discrete else "no categories"
            raise ValueError(f"the units of a {self.kind} have {need}, got {self.categories}")

    def __str__(self) -> str:
        """The sizes on one line, as papers write them."""
        return _layers(self.hidden, self.latent, times=f"x{self.categories}" if self.categories > 2 else "")


@dataclass(frozen=True)
class DrawArchitecture:
    """A recurrent writer's sizes: `glimpses` steps, each with latents of its own, on one canvas.

    Attributes:
        glimpses: number $T$ of steps.
        hidden: units of the encoder's cell and of the decoder's.
        latent: latent units of a step.
        read: side $N$ of the patch that the encoder reads; the whole image where None.
        write: side of the patch that the decoder writes; the whole canvas where None.
        cell: `lstm` or `gru`.
        likelihood: the distribution of the pixels.
        scale: for Gaussian pixels: `conditional`, `learned`, or a fixed standard deviation.

    Raises:
        ValueError: if a size is below one.

    Example:
        >>> print(DrawArchitecture(64, 256, 100, read=2, write=5))
        64 glimpses of 256-100, read 2x2, write 5x5, lstm
    """

    glimpses: int
    hidden: int
    latent: int
    read: int | None = None
    write: int | None = None
    cell: Literal["lstm", "gru"] = "lstm"
    likelihood: Literal["bernoulli", "gaussian", "continuous_bernoulli"] = "bernoulli"
    scale: Scale = "learned"
    kind: Literal["draw"] = "draw"

    @property
    def discrete(self) -> bool:
        """Whether the units are bits or categories: no."""
        return False

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        for name in ("glimpses", "hidden", "latent"):
            check_at_least_one(name, getattr(self, name))
        for name in ("read", "write"):
            if getattr(self, name) is not None:
                check_at_least_one(name, getattr(self, name))

    def __str__(self) -> str:
        """The sizes on one line."""
        patches = [f"{name} {side}x{side}" for name, side in (("read", self.read), ("write", self.write)) if side]
        steps = "1 glimpse" if self.glimpses == 1 else f"{self.glimpses} glimpses"
        return ", ".join([f"{steps} of {self.hidden}-{self.latent}", *(patches or ["no attention"]), self.cell])


@dataclass(frozen=True)
class Flow:
    """A normalising flow of `zuko` behind the encoder, in place of the Gaussian posterior.

    Attributes:
        name: of the flow: `maf`, `nsf` (rational-quadratic splines) or `naf` (neural autoregressive).
        transforms: how many.
        hidden: widths of the networks in each.

    Raises:
        ValueError: if a size is below one.

    Example:
        >>> print(Flow("nsf", transforms=2))
        nsf flow 2x(64-64)
    """

    name: Literal["maf", "nsf", "naf"]
    transforms: int = 3
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        for name, value in (("transforms", self.transforms), *(("hidden", width) for width in self.hidden)):
            check_at_least_one(name, value)

    def __str__(self) -> str:
        """The sizes on one line."""
        return f"{self.name} flow {self.transforms}x({'-'.join(map(str, self.hidden))})"


@dataclass(frozen=True)
class ConvolutionalArchitecture:
    """A convolutional autoencoder's sizes; the decoder mirrors the encoder.

    Attributes:
        channels: of each stage; every stage halves height and width.
        hidden: width of the dense layer between the last stage and the latents.
        latent: number of latent units.
        likelihood: the distribution of the pixels.
        scale: for Gaussian pixels: `conditional`, `learned`, or a fixed standard deviation.
        levels: for discretised pixels how many levels the data have, 256, or 17 of `digits`; otherwise 0.
        mixtures: logistics in a discretised mixture; otherwise 0.
        activation: between layers.
        flow: of the posterior; a diagonal Gaussian where None.

    Raises:
        ValueError: if a size is below one, or there are levels or mixtures where none can be, or none where some must.

    Example:
        >>> sizes = ConvolutionalArchitecture((32, 64), hidden=256, latent=32)
        >>> print(sizes)
        conv 32-64, 256-32
    """

    channels: tuple[int, ...]
    hidden: int
    latent: int
    likelihood: Likelihood = "bernoulli"
    scale: Scale = "learned"
    levels: int = 0
    mixtures: int = 0
    activation: Activation = "elu"
    flow: Flow | None = None
    kind: Literal["convolutional"] = "convolutional"

    @property
    def discrete(self) -> bool:
        """Whether the units are bits or categories: no."""
        return False

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        check_at_least_one("the number of stages", len(self.channels))
        for name, value in (
            *(("channels", width) for width in self.channels),
            ("hidden", self.hidden),
            ("latent", self.latent),
        ):
            check_at_least_one(name, value)
        _check_levels(self.likelihood, self.levels, self.mixtures)

    def __str__(self) -> str:
        """The sizes on one line."""
        stages = "-".join(map(str, self.channels))
        return f"conv {stages}, {self.hidden}-{self.latent}{f', {self.flow}' if self.flow else ''}"


@dataclass(frozen=True)
class LadderArchitecture:
    """A ladder's sizes, lowest stochastic layer first: a deterministic way up, and one way down that is shared.

    Attributes:
        hidden: widths of the deterministic layers below each stochastic layer.
        latent: number of latent units in each stochastic layer.
        likelihood: the distribution of the pixels.
        scale: for Gaussian pixels: `conditional`, `learned`, or a fixed standard deviation.
        levels: for discretised pixels how many levels the data have, 256, or 17 of `digits`; otherwise 0.
        mixtures: logistics in a discretised mixture; otherwise 0.
        activation: between deterministic layers.

    Raises:
        ValueError: if the layers do not match or a size is below one; as for `ConvolutionalArchitecture` of levels.

    Example:
        >>> print(LadderArchitecture(hidden=((512,), (256,)), latent=(64, 32)))
        512-64 / 256-32
    """

    hidden: tuple[tuple[int, ...], ...]
    latent: tuple[int, ...]
    likelihood: Likelihood = "bernoulli"
    scale: Scale = "learned"
    levels: int = 0
    mixtures: int = 0
    activation: Activation = "leaky_relu"
    kind: Literal["ladder"] = "ladder"

    @property
    def discrete(self) -> bool:
        """Whether the units are bits or categories: no."""
        return False

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        _check_layers(self.hidden, self.latent)
        _check_levels(self.likelihood, self.levels, self.mixtures)

    def __str__(self) -> str:
        """The sizes on one line, as papers write them."""
        return _layers(self.hidden, self.latent)


AnyArchitecture = Architecture | DrawArchitecture | ConvolutionalArchitecture | LadderArchitecture
"""What a recipe's `model` is."""


def _layers(hidden: tuple[tuple[int, ...], ...], latent: tuple[int, ...], times: str = "") -> str:
    return " / ".join("-".join([*map(str, h), f"{z}{times}"]) for h, z in zip(hidden, latent, strict=True))


def _check_layers(hidden: tuple[tuple[int, ...], ...], latent: tuple[int, ...]) -> None:
    if not 1 <= len(hidden) == len(latent):
        counts = f"{len(hidden)} hidden, {len(latent)} latent"
        raise ValueError(
            f"an architecture needs hidden widths and latent units for each stochastic layer, got {counts}"
        )
    if min([*(width for widths in hidden for width in widths), *latent]) < 1:
        raise ValueError(f"sizes must be positive, got hidden {hidden} and latent {latent}")


def _check_levels(likelihood: str, levels: int, mixtures: int) -> None:
    if levels < 2 if likelihood in DISCRETIZED else levels != 0:
        need = "at least 2 levels, 256 of most images" if likelihood in DISCRETIZED else "no levels"
        raise ValueError(f"{likelihood} pixels have {need}, got {levels}")
    if mixtures < 1 if likelihood.endswith("mixture") else mixtures != 0:
        need = "at least 1 of mixtures" if likelihood.endswith("mixture") else "no mixtures"
        raise ValueError(f"{likelihood} pixels have {need}, got {mixtures}")
