"""What of a trained network is shown as a picture: the images that it doubts, the weights that are left."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from jensen.layers.shrinking import masked
from jensen.recipes.config import Config
from jensen.recipes.network_build import make_data
from jensen.recipes.network_measuring import Draw, make_predictor, seeded
from jensen.recipes.network_pruning import compress
from jensen.recipes.network_recipe import NetworkRecipe

__all__ = ["doubted", "layer_masks"]

SHOWN, SAMPLES, ROWS = 40, 20, 5000


def doubted(config: Config[NetworkRecipe], model: nn.Module, *, seed: int = 0) -> NDArray[np.float32]:
    """The test images whose prediction has the largest entropy, `(N, height, width)` in [0, 1], most doubtful first."""
    recipe = config.recipe
    data = make_data(recipe)
    place = next(model.parameters()).device
    with seeded(seed):
        predictor = make_predictor(recipe, model, data, device=str(place))
        entropy = Draw(predictor, SAMPLES, ROWS)(data.test.inputs.to(place)).total
    count = min(SHOWN, len(data.test))
    chosen = data.test.inputs[entropy.topk(count).indices.cpu()] / recipe.data.scale
    images: NDArray[np.float32] = chosen.reshape(count, *config.shape).numpy()
    return images


def layer_masks(
    config: Config[NetworkRecipe], model: nn.Module
) -> tuple[NDArray[np.float32] | None, dict[str, NDArray[np.float32]]]:
    """Which weights are left, and of the pixels that an mlp reads, how many weights each has left.

    Returns:
        A picture `(height, width)`, or None where the first layer reads no pixels one by one; and for each layer ones
        and zeros `(outputs, inputs)`.
    """
    weights, network = config.recipe.weights, cast(nn.Module, model.network)
    if weights.sparse:
        full = compress(network, threshold=weights.threshold, data=make_data(config.recipe).train).full
    else:
        full = masked(network)
    matrices = {
        name.removesuffix(".weight"): (parameter.detach() != 0).flatten(1).float().cpu().numpy()
        for name, parameter in full.named_parameters()
        if parameter.ndim > 1
    }
    first: Any = next(iter(matrices.values()))
    read = (
        first.mean(0).reshape(config.shape) if len(config.shape) == 2 and config.recipe.network.kind == "mlp" else None
    )
    return read, matrices
