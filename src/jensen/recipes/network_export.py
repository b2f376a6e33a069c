"""What a trained network ships as: one small plain network in a compact file, as ONNX where that can be written."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from jensen._contracts import Pairs
from jensen.layers.shrinking import (
    bit_formats,
    export_onnx,
    masked,
    prune_by_signal_to_noise,
    round_to_bits,
    save_compact,
    shrink,
)
from jensen.layers.shrinking.cost import file_bytes
from jensen.recipes.config import SHIPPED
from jensen.recipes.network_build import make_data
from jensen.recipes.network_pruning import compress
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.network_running import load_model

__all__ = ["Shipped", "export", "shipped_network"]

FILE, ONNX, ABOUT = "network.safetensors", "network.onnx", "about.json"


class Shipped(NamedTuple):
    """What was written.

    Attributes:
        paths: the files.
        bytes_before: of the plain network of the same size as a safetensors file.
        bytes_after: of the compact file.
        difference: the largest difference of its outputs from the masked network's, over the test data.
        notes: what was left out and why.
    """

    paths: tuple[Path, ...]
    bytes_before: int
    bytes_after: int
    difference: float
    notes: tuple[str, ...]


def export(run: Path, *, out: Path | None = None, rounded: bool = False, prune: float = 0.0) -> Shipped:
    """Write the network that a run ships: pruned, shrunk, plain.

    `network.safetensors` is the compact file, which `layers.shrinking.load_compact` reads; `network.onnx` is there if
    the extra `onnx` is installed; `about.json` says what goes in and comes out.

    Args:
        run: the run folder.
        out: the folder to write; `shipped` in the run folder where None.
        rounded: with weights in the bits that their posterior deserves, in place of 32.
        prune: the share of weights to remove by their signal-to-noise ratio, where the posterior is Gaussian.

    Raises:
        ValueError: if the run cannot be loaded, or has no posterior to round or to prune by.
        OSError: if a file cannot be written.
    """
    config, model = load_model(run)
    data = make_data(config.recipe)
    network = cast(nn.Module, model.network)
    full, small = shipped_network(config.recipe, network, train=data.train, rounded=rounded, prune=prune)
    folder = run / SHIPPED if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        difference = float((full(data.test.inputs) - small(data.test.inputs)).abs().max())
    size = save_compact(small, folder / FILE)
    paths, notes = [folder / FILE], []
    if all(find_spec(package) for package in ("onnx", "onnxscript")):
        export_onnx(small, folder / ONNX, data.test.inputs[:2])
        paths.append(folder / ONNX)
    else:
        notes.append("no ONNX file: it needs `pip install jensen[onnx]`")
    about = _about(config.recipe, data, small)
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return Shipped((*paths, folder / ABOUT), file_bytes(full), size, difference, tuple(notes))


def shipped_network(
    recipe: NetworkRecipe, network: nn.Module, *, train: Pairs, rounded: bool = False, prune: float = 0.0
) -> tuple[nn.Module, nn.Sequential]:
    """The plain network of the full size, pruned weights at zero, and the smaller one with equal outputs.

    Raises:
        ValueError: if there is no posterior to round or to prune by.

    Example:
        >>> from jensen import recipes
        >>> train = Pairs(torch.zeros(1, 3), torch.zeros(1).long())
        >>> full, small = shipped_network(recipes.get("laplace-digits"), nn.Sequential(nn.Linear(3, 2)), train=train)
        >>> small
        Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)
        )
    """
    weights = recipe.weights
    if prune and weights.method != "gaussian":
        raise ValueError(f"only a Gaussian posterior is pruned by a share; the weights are {weights.method}")
    if rounded and not weights.random:
        raise ValueError(f"only a posterior says how many bits a weight deserves; the weights are {weights.method}")
    if weights.sparse:
        full = compress(network, threshold=weights.threshold, data=train).full
    elif weights.method == "gaussian":
        full = prune_by_signal_to_noise(network, prune)
    else:
        full = masked(network)
    plain = round_to_bits(full, bit_formats(network, full)) if rounded else full
    return plain, shrink(plain)


def _about(recipe: NetworkRecipe, data: Any, small: nn.Sequential) -> dict[str, Any]:
    """What goes in and comes out, in plain JSON."""
    numbers: dict[str, Any] = {
        "recipe": recipe.name,
        "data": data.name,
        "input_shape": list(data.train.inputs.shape[1:]),
        "grey_levels_times": recipe.data.scale,
        "output": f"log-odds of {data.classes} classes" if data.classes else "the mean of the target, standardised",
        "layers": [str(module) for module in small],
    }
    for name in ("inputs", "targets"):
        if (units := getattr(data, name)) is not None:
            numbers[f"{name}_mean"], numbers[f"{name}_scale"] = units.mean.tolist(), units.scale.tolist()
    return numbers
