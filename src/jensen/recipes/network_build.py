"""From the numbers of a network's recipe to a model, an objective and data. Importing this imports torch."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import nn

from jensen.datasets import Supervised, load_supervised
from jensen.layers import (
    CategoricalLikelihood,
    GaussianLikelihood,
    bayesianize,
    compressible,
    sparsify,
    variational,
    variational_dropout,
)
from jensen.models.bayesian_network import BayesianNetwork
from jensen.recipes.network_recipe import Network, NetworkRecipe, Noise, Prior, Task, Weights
from jensen.recipes.plain_network import LogLikelihood, PlainNetwork
from jensen.training import FreeEnergy, Variational

__all__ = [
    "NetworkExperiment",
    "build",
    "make_data",
    "make_model",
    "make_network",
    "make_objective",
    "make_prior",
    "make_random",
]

CLASSES = 10
"""Every data set with classes that a recipe can name has ten."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True, eq=False)
class NetworkExperiment:
    """What a run of a network needs.

    Attributes:
        model: an untrained model: `models.BayesianNetwork`, or `PlainNetwork` where no weight is random.
        data: the three splits.
    """

    model: nn.Module
    data: Supervised

    @property
    def shape(self) -> tuple[int, ...]:
        """`(height, width)` of an image, `(D,)` of an input that is none."""
        return self.data.shape


def build(recipe: NetworkRecipe, *, seed: int = 0) -> NetworkExperiment:
    """The model and the data of a recipe; the global random state is left as it was.

    Args:
        recipe: the numbers.
        seed: where the weights start.

    Raises:
        ValueError: if the data set is unknown, fails its checksum, or does not fit network and noise.
        DownloadError: if the data are neither at hand nor to be had.

    Example:
        >>> from jensen import recipes
        >>> build(recipes.get("bbb-digits")).data
        Supervised('digits', train=1297, validation=200, test=300, inputs=(64,), classes=10)
    """
    data = make_data(recipe)
    if (data.classes is None) != (recipe.noise.kind == "gaussian"):
        kind = "a regression" if data.classes is None else f"{data.classes} classes"
        raise ValueError(f"{recipe.name}: {data.name} has {kind}, its noise cannot be {recipe.noise.kind}")
    return NetworkExperiment(make_model(recipe, data.shape, seed=seed), data)


def make_data(recipe: NetworkRecipe, *, task: Task | None = None) -> Supervised:
    """The data of a recipe, or of another task prepared as its network needs them, cut where the budget says so.

    Raises:
        ValueError: if the data set or the split is unknown.
    """
    task = task or recipe.data
    data = load_supervised(task.name, split=task.split, scale=task.scale, channels=recipe.network.kind == "lenet5")
    return data if recipe.budget.images is None else data.first(recipe.budget.images)


def make_model(recipe: NetworkRecipe, shape: tuple[int, ...], *, seed: int = 0) -> nn.Module:
    """An untrained model.

    Args:
        recipe: the numbers.
        shape: of an input.
        seed: where the weights start.

    Raises:
        ValueError: if the network is too deep for so small an image.

    Example:
        >>> from jensen import recipes
        >>> type(make_model(recipes.get("sparse-vd-digits"), (8, 8))).__name__
        'BayesianNetwork'
    """
    conditional = recipe.noise.scale == "conditional"
    outputs = CLASSES if recipe.noise.kind == "categorical" else 1 + conditional
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make_network(recipe.network, shape, outputs)
        likelihood = _likelihood(recipe.noise)
        if not recipe.weights.random:
            return PlainNetwork(network, likelihood=likelihood)
        return BayesianNetwork(make_random(network, recipe.weights), likelihood=likelihood)


def make_network(sizes: Network, shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """An untrained plain network, a chain of layers.

    Raises:
        ValueError: if the input is no picture, or too small a one, for convolutions.

    Example:
        >>> make_network(Network(hidden=(5,)), (8, 8), 10)
        Sequential(
          (fc1): Linear(in_features=64, out_features=5, bias=True)
          (relu1): ReLU()
          (fc2): Linear(in_features=5, out_features=10, bias=True)
        )
    """
    network = _lenet5(sizes, shape, outputs) if sizes.kind == "lenet5" else _mlp(sizes, prod(shape), outputs)
    if sizes.initial_scale is not None:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.zero_() if name.endswith("bias") else parameter.normal_(0, sizes.initial_scale)
    return network


def make_random(network: nn.Module, weights: Weights) -> nn.Module:
    """The network with random layers in place of plain ones, as the method has them.

    Raises:
        ValueError: if the method has no random layers.

    Example:
        >>> make_random(nn.Sequential(nn.Linear(2, 1)), Weights("sparse_dropout"))
        Sequential(
          (0): SparseDropout(
            threshold=3
            (layer): Linear(in_features=2, out_features=1, bias=True)
          )
        )
    """
    if weights.method == "gaussian":
        posterior = variational.MeanField(initial_scale=weights.initial_deviation)
        prior = make_prior(weights.prior)
        return bayesianize(network, prior=prior, posterior=posterior, estimator=weights.estimator)
    if weights.method == "variational_dropout":
        return variational_dropout(network, **asdict(weights.dropout))
    numbers: dict[str, Any] = {"initial_log_variance": weights.initial_log_variance}
    if weights.threshold is not None:
        numbers["threshold"] = weights.threshold
    if weights.method == "sparse_dropout":
        return sparsify(network, **numbers)
    if weights.method in ("group_normal_jeffreys", "group_horseshoe"):
        return compressible(
            network,
            prior=weights.method.removeprefix("group_"),
            maximum_first_variance=weights.maximum_first_variance,
            global_scale=weights.global_scale,
            **numbers,
        )
    raise ValueError(f"the weights of method {weights.method!r} are not random while the network trains")


def make_prior(prior: Prior) -> variational.Prior:
    """The prior of one weight.

    Example:
        >>> make_prior(Prior("laplace", scale=0.5))
        LaplacePrior(scale=0.5)
    """
    if prior.kind == "scale_mixture":
        return variational.ScaleMixturePrior(prior.mix, prior.scale1, prior.scale2)
    return (variational.NormalPrior if prior.kind == "normal" else variational.LaplacePrior)(prior.scale)


def make_objective(recipe: NetworkRecipe, *, data: int) -> FreeEnergy | LogLikelihood:
    """The callable that training ascends, for so many data.

    Example:
        >>> from jensen import recipes
        >>> make_objective(recipes.get("bbb-digits"), data=1297)
        FreeEnergy(data=1297, bound=Variational(samples=1, analytic_kl=False))
    """
    weights = recipe.weights
    if not weights.random:
        return LogLikelihood()
    drawn = weights.method == "gaussian" and weights.prior.kind == "scale_mixture"
    return FreeEnergy(data, bound=Variational(weights.samples, analytic_kl=not drawn))


def _likelihood(noise: Noise) -> nn.Module:
    return CategoricalLikelihood() if noise.kind == "categorical" else GaussianLikelihood(scale=noise.scale)


def _mlp(sizes: Network, inputs: int, outputs: int) -> nn.Sequential:
    widths = (inputs, *sizes.hidden, outputs)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise(widths), start=1):
        layers[f"fc{i}"] = nn.Linear(before, after)
        if i <= len(sizes.hidden):
            layers[f"{sizes.activation}{i}"] = ACTIVATIONS[sizes.activation]()
    return nn.Sequential(layers)


def _lenet5(sizes: Network, shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    first, second, width = sizes.hidden
    sides = [((side - 4) // 2 - 4) // 2 for side in shape]
    if len(shape) != 2 or min(sides) < 1:
        raise ValueError(f"lenet5 needs images of at least 16x16, got inputs of shape {shape}; take an mlp")
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, first, 5),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(first, second, 5),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(second * prod(sides), width),
        f"{sizes.activation}1": ACTIVATIONS[sizes.activation](),
        "fc2": nn.Linear(width, outputs),
    }
    return nn.Sequential(OrderedDict(layers))
