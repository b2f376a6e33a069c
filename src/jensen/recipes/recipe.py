"""What a recipe is: every number that an experiment needs, and none of its mathematics.

Nothing here imports torch, so that recipes can be listed and read in no time.
"""

from dataclasses import dataclass
from typing import Any, Literal

from jensen.recipes._checks import check_at_least_one
from jensen.recipes._json import decode, encode
from jensen.recipes.architectures import DISCRETIZED, AnyArchitecture
from jensen.recipes.objectives import Objective

__all__ = ["Budget", "Data", "Measured", "Optimizer", "Paper", "Published", "Recipe"]


@dataclass(frozen=True)
class Paper:
    """A source: its title, its authors, its year and where to read it."""

    title: str
    authors: str
    year: int
    url: str

    def __str__(self) -> str:
        """The reference on one line, without the address."""
        return f"{self.title} ({self.authors}, {self.year})"


@dataclass(frozen=True)
class Published:
    """A number from the literature: what it measures, its value, its source, what is left active, and its unit."""

    what: str
    value: float
    source: str
    active: str = ""
    unit: str = "nats"


@dataclass(frozen=True)
class Measured:
    """A number of ours: what it measures, its value and standard error, all that went into it, and its unit."""

    what: str
    value: float
    error: float
    data: str
    budget: str
    hardware: str
    seed: int
    date: str
    active: str = ""
    unit: str = "nats"


@dataclass(frozen=True)
class Data:
    """A data set by its name in `jensen.datasets`, its split, and how grey levels become pixels.

    Attributes:
        name: a name of `datasets.names()`.
        split: `standard`, or another that the data set knows.
        binarization: `dynamic` (a new draw on every use), `fixed` (one draw for all), `grey` (left as they are, for
            densities) or `levels` (left as they are, for probabilities of the levels $k / (L - 1)$ that they must be).
    """

    name: str
    split: str = "standard"
    binarization: Literal["dynamic", "fixed", "grey", "levels"] = "dynamic"

    @property
    def pixels(self) -> str:
        """What the likelihood sees, in words."""
        left = {"grey": "left grey", "levels": "left grey, of so many levels"}
        return left.get(self.binarization, f"binarised ({self.binarization})")


@dataclass(frozen=True)
class Optimizer:
    """Adam's numbers and the course of its learning rate.

    Attributes:
        learning_rate: where the schedule starts.
        schedule: `constant`, `burda` (stages of 1, 3, 9, ... epochs) or `cosine`.
        betas: decay of the two moments.
        eps: added to the root of the second moment.
        kl_warmup: epochs in which the weight of the KL terms rises from 0 to 1; 0 for none.
        clip_norm: largest gradient norm, or none.
        ema: decay of the averaged weights, or none.
        floor: the part of the learning rate at which a cosine ends; 0 for the others, which have no end.

    Raises:
        ValueError: if the learning rate is not positive, or the floor is no part of it or goes to no cosine.
    """

    learning_rate: float = 1e-3
    schedule: Literal["constant", "burda", "cosine"] = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    kl_warmup: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a step that goes nowhere or up, and a floor that goes to nobody."""
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be a positive number, got {self.learning_rate}")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is a part of the learning rate, between 0 and 1, got {self.floor:g}")
        if self.floor and self.schedule != "cosine":
            pair = f"schedule {self.schedule!r} with floor {self.floor:g}"
            raise ValueError(f"{pair}; a floor above 0 is for 'cosine' and only for it")

    @property
    def course(self) -> str:
        """The schedule, and where it ends, in words."""
        return f"{self.schedule} schedule" + (f" down to {self.floor:g} of it" if self.floor else "")


@dataclass(frozen=True)
class Budget:
    """How long to train and how carefully to evaluate.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a step.
        evaluation_samples: draws for each test image, 5000 in the literature.
        images: use only the first so many of every split; all of them where None.

    Raises:
        ValueError: if a number is below one.
    """

    epochs: int
    batch_size: int
    evaluation_samples: int = 5000
    images: int | None = None

    def __post_init__(self) -> None:
        """Refuse an empty experiment."""
        for name in ("epochs", "batch_size", "evaluation_samples"):
            check_at_least_one(name, getattr(self, name))
        if self.images is not None:
            check_at_least_one("images", self.images)


@dataclass(frozen=True)
class Recipe:
    """An experiment in numbers: data, model, objective, optimizer, budget, and what others and we got from it.

    Attributes:
        name: what the command line calls it.
        title: one line for a table.
        paper: where the experiment comes from.
        data: what it is fitted to.
        model: the networks' sizes.
        objective: the bound that training ascends.
        optimizer: Adam's numbers.
        budget: epochs, batch size and evaluation samples.
        smoke: a budget of seconds, for tests.
        compile: fuse the training step with `torch.compile`; worth its start-up time on a GPU.
        precision: a precision of Lightning Fabric, `32-true` or `bf16-mixed`.
        threads: CPU threads of a run, torch's own number where None; where the products are small, one is as fast as
            many, and on a machine that is busy much faster.
        seeds: the seeds to run; the first is the default.
        differs: what the paper did otherwise, one sentence each.
        published: numbers from the literature.
        measured: our numbers.

    Example:
        >>> from jensen import recipes
        >>> recipes.get("iwae-mnist").budget.epochs
        40
    """

    name: str
    title: str
    paper: Paper
    data: Data
    model: AnyArchitecture
    objective: Objective
    optimizer: Optimizer
    budget: Budget
    smoke: Budget
    compile: bool = False
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    threads: int | None = None
    seeds: tuple[int, ...] = (0,)
    differs: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a likelihood that the pixels have no density under, a wrong gradient, and a run without a thread."""
        likelihood, pixels = self.model.likelihood, self.data.binarization
        kind = "levels" if likelihood in DISCRETIZED else "binarised" if likelihood == "bernoulli" else "grey"
        if kind != (pixels if pixels in ("grey", "levels") else "binarised"):
            pair = f"{pixels} pixels under a {likelihood} likelihood"
            raise ValueError(
                f"{self.name}: {pair}; Bernoulli takes binarised pixels, discretised ones take levels, the others grey"
            )
        if self.model.discrete != (self.objective.name == "estimated"):
            pair = f"objective {self.objective.name!r} for a {self.model.kind}"
            raise ValueError(f"{self.name}: {pair}; models with discrete units take 'estimated', the others do not")
        if self.objective.name == "geco" and self.optimizer.kl_warmup:
            pair = f"objective 'geco' with kl_warmup {self.optimizer.kl_warmup:g}"
            raise ValueError(f"{self.name}: {pair}; it finds the weight of its KL itself, so let kl_warmup be 0")
        if self.threads is not None:
            check_at_least_one("threads", self.threads)

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain lists, dicts, numbers and strings."""
        return dict(encode(self))

    @staticmethod
    def from_json(value: object) -> "Recipe":
        """The recipe that `to_json` wrote.

        Raises:
            ValueError: naming the entry that is missing, unknown or of another type.

        Example:
            >>> from jensen import recipes
            >>> recipe = recipes.get("vae-frey")
            >>> Recipe.from_json(recipe.to_json()) == recipe
            True
            >>> Recipe.from_json({**recipe.to_json(), "seeds": "zero"})
            Traceback (most recent call last):
            ValueError: recipe.seeds must be a list, got 'zero'
        """
        recipe: Recipe = decode(Recipe, value, "recipe")
        return recipe
