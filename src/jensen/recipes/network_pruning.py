"""What of a trained network can go: weights by their signal-to-noise ratio, units by their dropout rates."""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from jensen._contracts import Pairs
from jensen.evaluation import error_rate
from jensen.layers.shrinking import (
    CompressionReport,
    LayerCompression,
    bit_formats,
    compression_report,
    cost,
    log_dropout_rates,
    masked,
    prune_by_signal_to_noise,
    round_to_bits,
    shrink,
    signal_to_noise_density,
    thresholds_by_loss,
)
from jensen.layers.variational import VariationalDropout, random_layers
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.network_results import Curve, Findings, LayerRow, Quantity

__all__ = ["Compressed", "compress", "pruned"]

SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)
"""Of the weights that are removed by their signal-to-noise ratio."""

TOLERANCE, SHOWN = 0.01, 10_000
"""Nats per datum that the thresholds may cost, and how many training data tell."""


class Compressed(NamedTuple):
    """A network without what training found to be noise.

    Attributes:
        thresholds: of log alpha, by layer; infinite where nothing goes.
        full: the plain network of the same size, pruned weights at zero.
        small: the smaller one with the same outputs.
        rounded: the smaller one with its weights in the bits that their posterior deserves.
    """

    thresholds: dict[str, float]
    full: nn.Module
    small: nn.Sequential
    rounded: nn.Sequential


def compress(network: nn.Module, *, threshold: float | None, data: Pairs) -> Compressed:
    """Cut a network with dropout rates at a threshold, or at those at which its likelihood hardly suffers.

    Args:
        network: with dropout rates, a chain of layers.
        threshold: of every layer's log alpha; by default the lowest at which the loss on `data` grows by no more than
            `TOLERANCE` nats in all.
        data: what it was trained on.

    Raises:
        ValueError: if it has no dropout rates, or is no chain of layers.
    """
    if threshold is None:
        shown = data[:SHOWN].to(next(network.parameters()).device)
        cuts = thresholds_by_loss(network, partial(_loss, data=shown), tolerance=TOLERANCE)
    else:
        cuts = dict.fromkeys(log_dropout_rates(network), threshold)
    full = masked(network, thresholds=cuts)
    return Compressed(cuts, full, shrink(full), shrink(round_to_bits(full, bit_formats(network, full))))


def pruned(recipe: NetworkRecipe, model: nn.Module, test: Pairs, *, train: Pairs) -> Findings:
    """What the weights say about themselves: the layers of a sparse method, the ratios of a Gaussian one."""
    network = cast(nn.Module, model.network)
    if recipe.weights.sparse:
        return _compressed(recipe, network, test, train)
    if recipe.weights.method == "gaussian":
        return _by_ratio(network, test if recipe.noise.kind == "categorical" else None)
    if recipe.weights.method == "variational_dropout":
        return Findings(tuple(_dropout_probabilities(network)))
    return Findings()


def _loss(network: nn.Module, *, data: Pairs) -> Tensor:
    """In nats: minus the mean log-likelihood of classes, or half the mean squared error of standardised numbers."""
    outputs: Tensor = network(data.inputs)
    if data.targets.is_floating_point():
        return 0.5 * (outputs - data.targets.reshape(outputs.shape)).square().mean()
    return nn.functional.cross_entropy(outputs, data.targets)


def _by_ratio(network: nn.Module, test: Pairs | None) -> Findings:
    """The density of the ratios, and the error as more and more weights go."""
    density = signal_to_noise_density(network, bins=60)
    histogram = _curve("signal-to-noise density", density.decibels, density.density)
    cumulative = _curve("signal-to-noise distribution", density.decibels, density.cumulative)
    if test is None:
        return Findings(curves=(histogram, cumulative))
    rates = [_error(prune_by_signal_to_noise(network, share), test) for share in SHARES]
    rows = tuple(
        Quantity(f"error, {100 * share:g} % of weights pruned", error.value, error.error, "%")
        for share, error in zip(SHARES, rates, strict=True)
    )
    errors = Curve(
        "error by share pruned",
        tuple(100 * share for share in SHARES),
        tuple(each.value for each in rates),
        tuple(each.error for each in rates),
    )
    return Findings(rows, curves=(histogram, cumulative, errors))


def _dropout_probabilities(network: nn.Module) -> Iterator[Quantity]:
    r"""The mean of a layer's $p = \alpha / (1 + \alpha)$, of binary dropout with noise of the same variance."""
    for name, layer in random_layers(network).items():
        share = float(cast(VariationalDropout, layer).log_alpha().detach().sigmoid().mean())
        yield Quantity(f"dropout of {name or 'the network'}", 100 * share, math.nan, "%")


def _compressed(recipe: NetworkRecipe, network: nn.Module, test: Pairs, train: Pairs) -> Findings:
    """The masked, the shrunk and the rounded network beside each other, the rates, and what a prediction costs."""
    found = compress(network, threshold=recipe.weights.threshold, data=train)
    table = compression_report(network, thresholds=found.thresholds)
    notes = [f"left of {'-'.join(map(str, table.before))}: {'-'.join(map(str, table.after))}"]
    if whole := [name for name, threshold in found.thresholds.items() if math.isinf(threshold)]:
        notes.append(f"nothing can be cut of {', '.join(whole)} without a worse likelihood")
    errors = _errors(recipe, found, test)
    notes += _of_rates(table, errors)
    return Findings(
        quantities=(*errors, *_rates(table), *_costs(found, test)),
        layers=tuple(_layer(row, found.thresholds) for row in table.layers),
        curves=tuple(_histogram(name, rates) for name, rates in log_dropout_rates(network).items()),
        notes=tuple(notes),
    )


def _errors(recipe: NetworkRecipe, found: Compressed, test: Pairs) -> list[Quantity]:
    """Of the three plain networks, and how far two of them, which should be equal, lie apart."""
    with torch.no_grad():
        gap = float((found.full(test.inputs) - found.small(test.inputs)).abs().max())
    apart = Quantity("masked and shrunk differ by", gap, math.nan, "")
    if recipe.noise.kind != "categorical":
        return [apart]
    names = {"error, masked": found.full, "error, shrunk": found.small, "error, shrunk at its bits": found.rounded}
    return [*(_error(each, test, name) for name, each in names.items()), apart]


def _of_rates(table: CompressionReport, errors: list[Quantity]) -> Iterator[str]:
    """Which networks the rates are of, so that no rate is read beside the error of another network."""
    bits = "-".join(str(layer.bits) for layer in table.layers)
    wrong = "".join(f", error {each.value:.2f} %" for each in errors if each.what == "error, shrunk at its bits")
    most = table.maximum_compression > table.fast_prediction
    rates = "fast prediction" if most else "fast prediction and maximum compression"
    yield f"{rates}: of weights rounded to {bits} bits{wrong}"
    if most:
        yield "maximum compression: of weights in clusters, whose error is not measured"


def _rates(table: CompressionReport) -> list[Quantity]:
    rates = {
        "weights, all over kept": table.sparsity_rate,
        "pruning rate": table.pruning,
        "fast prediction rate": table.fast_prediction,
        "maximum compression rate": table.maximum_compression,
        "file, before over after": table.file_before / table.file_after,
    }
    sizes = {"file before": table.file_before, "file after": table.file_after}
    return [
        *(Quantity(name, rate, math.nan, "x") for name, rate in rates.items()),
        *(Quantity(name, float(size), math.nan, "bytes") for name, size in sizes.items()),
    ]


def _costs(found: Compressed, test: Pairs) -> Iterator[Quantity]:
    """Of one prediction for one input, before and after."""
    networks = {"before": found.full, "after": found.small}
    measured = {when: cost(network, test.inputs[:1]) for when, network in networks.items()}
    for when, each in measured.items():
        yield Quantity(f"operations {when}", float(each.flops), math.nan, "FLOP")
    for when, each in measured.items():
        yield Quantity(f"latency {when}", 1e6 * each.latency, math.nan, "µs")


def _layer(row: LayerCompression, thresholds: dict[str, float]) -> LayerRow:
    outputs, inputs = row.left[:2]
    return LayerRow(row.name, row.shape, row.nonzero, inputs, outputs, row.bits, thresholds.get(row.name, math.inf))


def _histogram(name: str, rates: Tensor) -> Curve:
    """A histogram of a layer's log dropout rates."""
    values = rates.double().flatten().cpu()
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1.0
    counts = torch.histc(values, 40, low, high)
    width = (high - low) / 40
    middles = low + width * (torch.arange(40, dtype=torch.float64) + 0.5)
    return _curve(f"log dropout rates, {name}", middles, counts)


def _error(network: nn.Module, test: Pairs, name: str = "error") -> Quantity:
    with torch.no_grad():
        error = error_rate(network(test.inputs).softmax(-1), test.targets)
    return Quantity(name, 100 * error.value, 100 * error.std_error, "%")


def _curve(name: str, x: Tensor, y: Tensor) -> Curve:
    return Curve(name, tuple(x.tolist()), tuple(y.tolist()))
