"""What a recipe that separates what a label says from all the rest is: every number of the experiment.

Nothing here imports torch.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from jensen.recipes._checks import check_at_least_one
from jensen.recipes._json import decode, encode
from jensen.recipes.network_recipe import Task
from jensen.recipes.recipe import Budget, Measured, Optimizer, Paper, Published

__all__ = ["FactorLosses", "FactorNetworks", "FactorRecipe"]


@dataclass(frozen=True)
class FactorNetworks:
    """The sizes of encoder, decoder and discriminator.

    Attributes:
        kind: `mlp`, or `convolutional`: 4x4 convolutions of stride 2, and transposed ones in the decoder.
        hidden: widths of the encoder's hidden layers, or its numbers of filters; the decoder mirrors them.
        discriminator: likewise of the discriminator.
        specified: width of the code s.
        unspecified: width of the code z.

    Raises:
        ValueError: if a width is below one, or there is no hidden layer.

    Example:
        >>> print(FactorNetworks(hidden=(128, 128), discriminator=(128, 128), unspecified=6))
        mlp 128-128, s of 16, z of 6, discriminator 128-128
    """

    kind: Literal["mlp", "convolutional"] = "mlp"
    hidden: tuple[int, ...] = (128, 128)
    discriminator: tuple[int, ...] = (128, 128)
    specified: int = 16
    unspecified: int = 6

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        if not self.hidden or not self.discriminator or min(*self.hidden, *self.discriminator) < 1:
            raise ValueError(f"give hidden widths of at least 1, got {self.hidden} and {self.discriminator}")
        check_at_least_one("specified", self.specified)
        check_at_least_one("unspecified", self.unspecified)

    def __str__(self) -> str:
        """The sizes on one line."""
        hidden, critic = ("-".join(map(str, widths)) for widths in (self.hidden, self.discriminator))
        return f"{self.kind} {hidden}, s of {self.specified}, z of {self.unspecified}, discriminator {critic}"


@dataclass(frozen=True)
class FactorLosses:
    """What each loss weighs; errors are squared and summed over the pixels, all others are in nats.

    Attributes:
        reconstruction: of an image from its own codes.
        swap: of an image from its own z and the s of another of its class.
        kl: the divergence of z from its prior.
        transfer: of z with the s of any image, as the discriminator sees it.
        sample: of a z from the prior with the s of any image, likewise.
        real: the probability that the discriminator is to give to real images.

    Raises:
        ValueError: if a weight is negative, or `real` is no probability above a half.

    Example:
        >>> FactorLosses(transfer=0, sample=0).adversarial
        False
    """

    reconstruction: float = 0.1
    swap: float = 1.0
    kl: float = 0.1
    transfer: float = 3.0
    sample: float = 3.0
    real: float = 0.95

    def __post_init__(self) -> None:
        """Refuse weights that reward an error."""
        if wrong := [name for name, weight in self.weights.items() if not 0 <= weight < float("inf")]:
            raise ValueError(f"the weight of {wrong[0]} must be a number of at least 0, got {self.weights[wrong[0]]}")
        if not 0.5 < self.real <= 1:
            raise ValueError(f"real must be a probability above a half, got {self.real}")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss by its name."""
        return {name: getattr(self, name) for name in ("reconstruction", "swap", "kl", "transfer", "sample")}

    @property
    def adversarial(self) -> bool:
        """Whether the discriminator's opinion counts."""
        return self.transfer > 0 or self.sample > 0

    def __str__(self) -> str:
        """The weights on one line."""
        return ", ".join(f"{name} {weight:g}" for name, weight in self.weights.items())


@dataclass(frozen=True)
class FactorRecipe:
    """An experiment that separates the factors of labelled images, in numbers, and what others and we got from it.

    Attributes:
        name: what the command line calls it.
        title: one line for a table.
        paper: where the experiment comes from.
        data: labelled images.
        model: the networks' sizes.
        losses: what each loss weighs.
        optimizer: Adam's numbers, for both players.
        budget: epochs and batch size; nothing is drawn at test time.
        smoke: a budget of seconds, for tests.
        compile: fuse the training step with `torch.compile`.
        precision: a precision of Lightning Fabric.
        threads: CPU threads of a run, torch's own number where None.
        seeds: the seeds to run; the first is the default.
        differs: what the paper did otherwise, one sentence each.
        published: numbers from the literature.
        measured: our numbers.

    Raises:
        ValueError: if a run would have no thread.

    Example:
        >>> from jensen import recipes
        >>> recipes.get("factors-digits").model.unspecified
        6
    """

    name: str
    title: str
    paper: Paper
    data: Task
    model: FactorNetworks
    losses: FactorLosses
    budget: Budget
    smoke: Budget
    optimizer: Optimizer = field(default_factory=Optimizer)
    compile: bool = False
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    threads: int | None = None
    seeds: tuple[int, ...] = (0,)
    differs: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a run without a thread."""
        if self.threads is not None:
            check_at_least_one("threads", self.threads)

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain lists, dicts, numbers and strings."""
        return dict(encode(self))

    @staticmethod
    def from_json(value: object) -> "FactorRecipe":
        """The recipe that `to_json` wrote.

        Raises:
            ValueError: naming the entry that is missing, unknown or of another type.

        Example:
            >>> from jensen import recipes
            >>> recipe = recipes.get("factors-digits")
            >>> FactorRecipe.from_json(recipe.to_json()) == recipe
            True
        """
        recipe: FactorRecipe = decode(FactorRecipe, value, "recipe")
        return recipe
