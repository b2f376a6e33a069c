"""What a recipe of a network with uncertain weights is: every number of the experiment, none of its mathematics.

Nothing here imports torch.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from jensen.recipes._json import decode, encode
from jensen.recipes.recipe import Budget, Measured, Paper, Published

__all__ = ["Dropout", "LaplaceFit", "Network", "NetworkOptimizer", "NetworkRecipe", "Noise", "Prior", "Task", "Weights"]

SPARSE = ("sparse_dropout", "group_normal_jeffreys", "group_horseshoe")
RANDOM = ("gaussian", "variational_dropout", *SPARSE)


@dataclass(frozen=True)
class Task:
    """A supervised data set by its name in `jensen.datasets`.

    Attributes:
        name: a name of `datasets.supervised_names()`.
        split: `standard`, or another that the data set knows.
        scale: multiplies the grey levels of images, which lie in [0, 1]; 255 / 126 divides those of the file by 126.
    """

    name: str
    split: str = "standard"
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse to make every image black."""
        _positive("scale", self.scale)


@dataclass(frozen=True)
class Network:
    """A network's sizes.

    Attributes:
        kind: `mlp`, or `lenet5`: two 5x5 convolutions, each with 2x2 maximum pooling, and one hidden layer.
        hidden: widths of the hidden layers; of `lenet5` the two numbers of filters and the width.
        activation: between the layers; the convolutions of `lenet5` have none, as in Caffe.
        initial_scale: standard deviation of the initial weights, biases then at 0; torch's own initial values if None.

    Raises:
        ValueError: if a width is below one, or `lenet5` has not three.
    """

    kind: Literal["mlp", "lenet5"] = "mlp"
    hidden: tuple[int, ...] = (400, 400)
    activation: Literal["relu", "tanh"] = "relu"
    initial_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        if min(self.hidden, default=1) < 1:
            raise ValueError(f"widths must be positive, got {self.hidden}")
        if self.kind == "lenet5" and len(self.hidden) != 3:
            raise ValueError(f"lenet5 has two numbers of filters and one width, got hidden {self.hidden}")
        if self.initial_scale is not None:
            _positive("initial_scale", self.initial_scale)

    def __str__(self) -> str:
        """The sizes on one line."""
        return f"{'' if self.kind == 'mlp' else 'LeNet-5 '}{'-'.join(map(str, self.hidden)) or 'linear'}"


@dataclass(frozen=True)
class Prior:
    """The prior of every weight where the method is `gaussian`, of all weights together where it is `laplace`.

    Attributes:
        kind: `normal`, `laplace`, or `scale_mixture` of two centred Gaussians.
        scale: of the normal and of the Laplace density.
        mix: weight of the first Gaussian of the mixture.
        scale1: its standard deviation.
        scale2: that of the second.

    Raises:
        ValueError: if a scale is not positive, or the mixing weight is outside (0, 1).
    """

    kind: Literal["normal", "laplace", "scale_mixture"] = "normal"
    scale: float = 1.0
    mix: float = 0.5
    scale1: float = 1.0
    scale2: float = 0.0025

    def __post_init__(self) -> None:
        """Refuse a prior without spread."""
        for name in ("scale", "scale1", "scale2"):
            _positive(f"the prior's {name}", getattr(self, name))
        if not 0 < self.mix < 1:
            raise ValueError(f"the prior's mix must lie between 0 and 1, got {self.mix}")

    def __str__(self) -> str:
        """The density on one line."""
        if self.kind == "scale_mixture":
            return f"{self.mix:g} N(0, {self.scale1:.3g}²) + {1 - self.mix:g} N(0, {self.scale2:.3g}²)"
        return f"{'N(0, ' if self.kind == 'normal' else 'Laplace(0, '}{self.scale:g}{'²' * (self.kind == 'normal')})"


@dataclass(frozen=True)
class LaplaceFit:
    """What Laplace's approximation after training covers.

    Attributes:
        subset: the weights of the `last_layer`, or of `all`.
        structure: of the curvature: `full`, `kron` or `diagonal`.
    """

    subset: Literal["last_layer", "all"] = "last_layer"
    structure: Literal["full", "kron", "diagonal"] = "kron"


@dataclass(frozen=True)
class Dropout:
    """The dropout rates of `variational_dropout`.

    Attributes:
        rate: one for the `layer`, for each input `neuron`, or, of independent noise, for each `weight`.
        noise: `independent` for each weight, or `correlated`: one for each input.
        initial_alpha: where the rates start.
        maximum_alpha: their limit, or none.
    """

    rate: Literal["layer", "neuron", "weight"] = "layer"
    noise: Literal["independent", "correlated"] = "independent"
    initial_alpha: float = 0.25
    maximum_alpha: float | None = 1.0

    def __post_init__(self) -> None:
        """Refuse rates that no posterior has."""
        _positive("initial_alpha", self.initial_alpha)
        if self.maximum_alpha is not None and not self.initial_alpha < self.maximum_alpha:
            raise ValueError(f"maximum_alpha is {self.maximum_alpha}, not above initial_alpha {self.initial_alpha}")
        if (self.rate, self.noise) == ("weight", "correlated"):
            raise ValueError("correlated noise is the same for all weights of an input; take rate neuron or layer")


@dataclass(frozen=True)
class Weights:
    """What is uncertain about the weights, and what training does about it.

    Attributes:
        method: `gaussian` (a factorised Gaussian posterior), `variational_dropout`, `sparse_dropout`,
            `group_normal_jeffreys`, `group_horseshoe`; `laplace` (found after training) or `deterministic`.
        estimator: of `gaussian`: `sampled` weights, one draw for the whole batch; `local`, activations drawn for each
            datum; `flipout`.
        samples: draws in a training step.
        prior: of `gaussian` and `laplace`; the others have priors of their own.
        initial_deviation: standard deviation of the initial posterior of `gaussian`.
        initial_log_variance: logarithm of the initial variances of the sparse posteriors.
        maximum_first_variance: of the two with groups: a limit of the variances in the first layer, or none.
        global_scale: of `group_horseshoe`: the median of the global scale.
        threshold: of the sparse ones: what has a larger log alpha is dropped; None takes the lowest of each layer that
            the training data bear.
        laplace: of `laplace`: which weights, which curvature.
        dropout: of `variational_dropout`: its rates.

    Raises:
        ValueError: if a number is out of range, or an estimator is asked of a method that has none.
    """

    method: Literal[
        "gaussian",
        "variational_dropout",
        "sparse_dropout",
        "group_normal_jeffreys",
        "group_horseshoe",
        "laplace",
        "deterministic",
    ] = "gaussian"
    estimator: Literal["sampled", "local", "flipout"] = "local"
    samples: int = 1
    prior: Prior = field(default_factory=Prior)
    initial_deviation: float = 0.05
    initial_log_variance: float = -10.0
    maximum_first_variance: float | None = None
    global_scale: float = 1e-5
    threshold: float | None = None
    laplace: LaplaceFit = field(default_factory=LaplaceFit)
    dropout: Dropout = field(default_factory=Dropout)

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        _positive("initial_deviation", self.initial_deviation)
        if self.method == "gaussian" and self.prior.kind == "scale_mixture" and self.estimator != "sampled":
            advice = "take estimator 'sampled'"
            raise ValueError(f"a scale mixture has no closed-form KL, which {self.estimator!r} needs; {advice}")
        if self.method == "laplace" and self.prior.kind != "normal":
            raise ValueError(f"Laplace's approximation takes a normal prior, got {self.prior.kind}")

    @property
    def random(self) -> bool:
        """Whether training itself has a distribution over weights."""
        return self.method in RANDOM

    @property
    def sparse(self) -> bool:
        """Whether training decides which weights or units go."""
        return self.method in SPARSE

    def __str__(self) -> str:
        """The method and its prior on one line."""
        words = self.method.replace("_", " ")
        if self.method == "gaussian":
            return f"{words} weights, prior {self.prior}, {self.estimator}"
        if self.method == "variational_dropout":
            limit = "" if self.dropout.maximum_alpha is None else f", alpha below {self.dropout.maximum_alpha:g}"
            return f"{words}, {self.dropout.noise} noise, a rate for each {self.dropout.rate}{limit}"
        if self.method == "laplace":
            return f"Laplace ({self.laplace.subset.replace('_', ' ')}, {self.laplace.structure}), prior {self.prior}"
        return words


@dataclass(frozen=True)
class Noise:
    """The distribution of a target given the network's output.

    Attributes:
        kind: `categorical` for classes, `gaussian` for numbers.
        scale: of Gaussian targets, after standardisation: `learned`, `conditional` on the input, or a fixed number.
    """

    kind: Literal["categorical", "gaussian"] = "categorical"
    scale: Literal["learned", "conditional"] | float = "learned"

    def __post_init__(self) -> None:
        """Refuse a density without spread."""
        if not isinstance(self.scale, str):
            _positive("the noise's scale", self.scale)


@dataclass(frozen=True)
class NetworkOptimizer:
    """Adam's numbers, the course of its learning rate and of the KL term's weight.

    Attributes:
        learning_rate: where the schedule starts.
        schedule: `constant`, `cosine`, or `linear`: constant for `flat` epochs, then down to 0 in the last.
        flat: epochs before the linear way down.
        betas: decay of the two moments.
        eps: added to the root of the second moment.
        kl_start: the KL term has weight 0 until this epoch,
        kl_end: rises linearly, and has its whole weight from this epoch on; 0 for no warm-up.
        kl_weights: how an epoch's KL is shared among its minibatches: `uniform`, or `blundell`: 2^(M-i) / (2^M - 1).
        clip_norm: largest gradient norm, or none.
        ema: decay of the averaged weights, or none.

    Raises:
        ValueError: if the learning rate is not positive or an epoch is negative or before another it must follow.
    """

    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    flat: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    kl_start: float = 0.0
    kl_end: float = 0.0
    kl_weights: Literal["uniform", "blundell"] = "uniform"
    clip_norm: float | None = None
    ema: float | None = None

    def __post_init__(self) -> None:
        """Refuse a step that goes nowhere, and a schedule that runs backwards."""
        _positive("learning_rate", self.learning_rate)
        if self.flat < 0 or not 0 <= self.kl_start <= self.kl_end:
            epochs = f"flat={self.flat:g}, kl_start={self.kl_start:g}, kl_end={self.kl_end:g}"
            raise ValueError(f"epochs must not be negative, and kl_start not after kl_end, got {epochs}")

    @property
    def course(self) -> str:
        """The schedule of the learning rate, in words."""
        return f"{self.schedule} schedule"


@dataclass(frozen=True)
class NetworkRecipe:
    """An experiment with a supervised network in numbers, and what others and we got from it.

    Attributes:
        name: what the command line calls it.
        title: one line for a table.
        paper: where the experiment comes from.
        data: what it is fitted to.
        network: its sizes.
        weights: what is uncertain about them.
        noise: of the targets.
        optimizer: Adam's numbers and the schedules.
        budget: epochs, batch size, and draws of the weights at test time.
        smoke: a budget of seconds, for tests.
        compile: fuse the training step with `torch.compile`.
        precision: a precision of Lightning Fabric.
        threads: CPU threads of a run, torch's own number where None.
        seeds: the seeds to run; the first is the default.
        outside: the data set that is out of distribution, by name; `noise` and `rotated` are made of the test images,
            which also serve where the named one is not at hand. Empty for a regression.
        differs: what the paper did otherwise, one sentence each.
        published: numbers from the literature.
        measured: our numbers.

    Raises:
        ValueError: if classes are to be out of distribution in a regression.

    Example:
        >>> from jensen import recipes
        >>> recipes.get("sparse-vd-mnist").weights.method
        'sparse_dropout'
    """

    name: str
    title: str
    paper: Paper
    data: Task
    network: Network
    weights: Weights
    noise: Noise
    optimizer: NetworkOptimizer
    budget: Budget
    smoke: Budget
    compile: bool = False
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    threads: int | None = None
    seeds: tuple[int, ...] = (0,)
    outside: str = ""
    differs: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a run without a thread."""
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        if self.noise.kind == "gaussian" and self.outside:
            raise ValueError(f"{self.name}: {self.outside!r} is out of distribution for classes, not for a regression")

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain lists, dicts, numbers and strings."""
        return dict(encode(self))

    @staticmethod
    def from_json(value: object) -> "NetworkRecipe":
        """The recipe that `to_json` wrote.

        Raises:
            ValueError: naming the entry that is missing, unknown or of another type.

        Example:
            >>> from jensen import recipes
            >>> recipe = recipes.get("bbb-digits")
            >>> NetworkRecipe.from_json(recipe.to_json()) == recipe
            True
        """
        recipe: NetworkRecipe = decode(NetworkRecipe, value, "recipe")
        return recipe


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive number, got {value}")
