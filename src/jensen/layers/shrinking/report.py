r"""How much a network shrank, layer by layer and in the rates of the literature.

All rates divide 32 bits for each weight of the network as it was by the bits of the weights that are left; biases are
counted in neither.

| rate | bits of a layer's weights that are left |
|---|---|
| pruning | float32 without the removed units; or compressed sparse rows with 32-bit indices, if that is less |
| fast prediction | the same weights rounded to the layer's precision; the places of zeros as in a compact file |
| maximum compression | k-means with 32 centres: an index for each weight and the codebook; or rounded, if less |

Louizos et al. store single pruned weights in compressed sparse columns in the first rate, and leave open how
places are stored in the others. Files hold biases and names besides; `file_before / file_after` is the rate that
was measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jensen.layers.affine import Affine
from jensen.layers.shrinking.bits import BitFormat, bit_formats, round_to_bits
from jensen.layers.shrinking.chain import affine_layers, architecture
from jensen.layers.shrinking.compact import compact
from jensen.layers.shrinking.cost import file_bytes
from jensen.layers.shrinking.masks import masked
from jensen.layers.shrinking.packing import place_bits
from jensen.layers.shrinking.shrink import shrink
from jensen.layers.shrinking.thresholds import Threshold
from jensen.layers.variational import is_random_layer

__all__ = ["CompressionReport", "LayerCompression", "compression_report"]

WHOLE = 32


@dataclass(frozen=True)
class LayerCompression:
    """What is left of one layer's weight.

    Attributes:
        name: of the layer in the network.
        weights: their number as it was.
        nonzero: how many are not pruned.
        shape: `(outputs, inputs, *kernel)` as it was.
        left: the same in the smaller network.
        left_nonzero: nonzero weights in the smaller network; fewer than `nonzero` where those only moved constants.
        bits: of a rounded weight; 32 where the layer has no posterior.
    """

    name: str
    weights: int
    nonzero: int
    shape: tuple[int, ...]
    left: tuple[int, ...]
    left_nonzero: int
    bits: int

    @property
    def sparsity(self) -> float:
        """The share of weights that are pruned."""
        return 1 - self.nonzero / self.weights


@dataclass(frozen=True)
class CompressionReport:
    r"""How much a network shrank.

    Attributes:
        layers: what is left of each layer, first to last.
        before: widths as `architecture` names them.
        after: widths of the smaller network.
        sparsity_rate: $|W| / |W \ne 0|$ over all layers; infinite where nothing is left.
        pruning: see this module's table, as for the next two.
        fast_prediction: with rounded weights.
        maximum_compression: with clustered weights.
        file_before: bytes of the safetensors file of the plain network.
        file_after: bytes of the compact file of the smaller network with rounded weights.
    """

    layers: tuple[LayerCompression, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    sparsity_rate: float
    pruning: float
    fast_prediction: float
    maximum_compression: float
    file_before: int
    file_after: int

    def __str__(self) -> str:
        """A table."""
        rows = [("layer", "weights", "sparsity %", "left", "bits")]
        rows += [
            (each.name, str(each.weights), f"{100 * each.sparsity:.1f}", "x".join(map(str, each.left)), str(each.bits))
            for each in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        widest = [" - ".join(map(str, each)) for each in (self.before, self.after)]
        return "\n".join([
            *lines,
            f"architecture {widest[0]}, now {widest[1]}",
            f"|W| / |W != 0| {self.sparsity_rate:.1f}; pruning {self.pruning:.1f}, "
            f"fast prediction {self.fast_prediction:.1f}, maximum compression {self.maximum_compression:.1f}",
            f"file {self.file_before} bytes, now {self.file_after}, {self.file_before / self.file_after:.1f} to one",
        ])  # fmt: skip


def compression_report(
    net: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    *,
    thresholds: Mapping[str, float | Threshold] | None = None,
    exponent: int = 1,
    tolerance: float = 0.5,
    clusters: int = 32,
) -> CompressionReport:
    """Mask a trained network, shrink it, and say what is left.

    Args:
        net: a chain with random layers, or a plain one with zeros.
        masks: as for `masked`, as are the thresholds.
        thresholds: of log dropout rates.
        exponent: exponent bits of a rounded weight, as for `bit_precision`.
        tolerance: how far rounding may move a weight, in posterior standard deviations.
        clusters: centres of the k-means of the third rate.

    Returns:
        The report; `str` of it is a table.

    Raises:
        ValueError: if `net` is no chain, or as `masked` and `bit_precision`.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
        >>> report = compression_report(net, {"0": torch.arange(784) < 196})
        >>> report.after, f"{report.pruning:.2f}"
        ((196, 300), '3.85')

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 5, tables 1 and 2
        | https://arxiv.org/abs/1705.08665v4
        | Variational Dropout Sparsifies Deep Neural Networks (Molchanov, Ashukha & Vetrov, 2017), table 1
        | https://arxiv.org/abs/1701.05369v3
    """
    plain = masked(net, masks, thresholds=thresholds)
    random = any(is_random_layer(module) for module in net.modules())
    formats = bit_formats(net, plain, exponent=exponent, tolerance=tolerance) if random else {}
    small = shrink(plain)
    layers = tuple(_layers(plain, small, formats))
    before = WHOLE * sum(each.weights for each in layers)
    nonzero = sum(each.nonzero for each in layers)
    return CompressionReport(
        layers=layers,
        before=architecture(plain),
        after=architecture(small),
        sparsity_rate=before / WHOLE / nonzero if nonzero else math.inf,
        pruning=before / sum(_pruned_bits(each) for each in layers),
        fast_prediction=before / sum(_stored_bits(each, each.bits) for each in layers),
        maximum_compression=before / sum(_clustered_bits(each, clusters) for each in layers),
        file_before=file_bytes(plain),
        file_after=len(compact(shrink(round_to_bits(plain, formats)))),
    )


def _layers(plain: nn.Module, small: nn.Module, formats: Mapping[str, BitFormat]) -> list[LayerCompression]:
    pairs = zip(affine_layers(plain), affine_layers(small), strict=True)
    return [
        LayerCompression(
            name=name,
            weights=layer.weight.numel(),
            nonzero=_nonzero(layer),
            shape=tuple(layer.weight.shape),
            left=tuple(smaller.weight.shape),
            left_nonzero=_nonzero(smaller),
            bits=formats[name].bits if name in formats else WHOLE,
        )
        for (name, layer), (_, smaller) in pairs
    ]


def _nonzero(layer: Affine) -> int:
    return int(torch.count_nonzero(layer.weight))


def _pruned_bits(layer: LayerCompression) -> int:
    rows = WHOLE * (2 * layer.left_nonzero + layer.left[0] + 1)
    return min(WHOLE * math.prod(layer.left), rows)


def _stored_bits(layer: LayerCompression, bits: int) -> int:
    """Bits of weights of a fixed width, dense or with the places of those that are not zero."""
    size, count = math.prod(layer.left), layer.left_nonzero
    return min(size * bits, count * bits + _sparse_places(size, count))


def _clustered_bits(layer: LayerCompression, clusters: int) -> int:
    size, count = math.prod(layer.left), layer.left_nonzero
    centres = min(clusters, count)
    values = centres + (count < size)
    sparse = WHOLE * centres + count * _index_bits(centres) + _sparse_places(size, count)
    return min(WHOLE * values + size * _index_bits(values), sparse, _stored_bits(layer, layer.bits))


def _sparse_places(size: int, count: int) -> int:
    return min(place_bits(places, size, count) for places in ("bitmap", "elias-fano"))


def _index_bits(values: int) -> int:
    return max(values - 1, 0).bit_length()
