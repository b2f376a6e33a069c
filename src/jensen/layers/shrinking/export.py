"""A plain network as an ONNX file."""

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from jensen.layers.modes import evaluating
from jensen.layers.variational import is_random_layer

__all__ = ["export_onnx"]


def export_onnx(net: nn.Module, path: Path | str, example: Tensor) -> None:
    """Write a plain network to an ONNX file, weights included, for batches of any size.

    Args:
        net: a network without random layers, such as `shrink` returns; it is exported as it predicts.
        path: the file.
        example: an input, `(B, *event)`.

    Raises:
        ValueError: if a layer of `net` is random.
        ModuleNotFoundError: if `onnx` or `onnxscript` is absent.
    """
    random = [name for name, module in net.named_modules() if is_random_layer(module)]
    if random:
        raise ValueError(f"{random[0] or 'the network'} is random; export masked(net), or shrink(masked(net))")
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ModuleNotFoundError(f"export_onnx needs the package {package}: pip install jensen[onnx]") from error
    batch = example if len(example) > 1 else example.expand(2, *example.shape[1:])
    with evaluating(net):
        torch.onnx.export(
            net,
            (batch,),
            str(path),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
