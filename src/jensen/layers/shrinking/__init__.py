"""From a trained network with random layers to a plain one that is small enough to ship."""

from jensen.layers.shrinking.bits import BitFormat, bit_formats, bit_precision, cluster, round_to_bits
from jensen.layers.shrinking.chain import Select, architecture
from jensen.layers.shrinking.compact import load_compact, save_compact
from jensen.layers.shrinking.cost import Cost, cost
from jensen.layers.shrinking.export import export_onnx
from jensen.layers.shrinking.loss_thresholds import thresholds_by_loss
from jensen.layers.shrinking.masks import log_dropout_rates, masked
from jensen.layers.shrinking.report import CompressionReport, LayerCompression, compression_report
from jensen.layers.shrinking.shrink import shrink
from jensen.layers.shrinking.signal_to_noise import (
    Density,
    prune_by_signal_to_noise,
    signal_to_noise,
    signal_to_noise_density,
)
from jensen.layers.shrinking.thresholds import Threshold, propose_threshold, propose_thresholds

__all__ = [
    "BitFormat",
    "CompressionReport",
    "Cost",
    "Density",
    "LayerCompression",
    "Select",
    "Threshold",
    "architecture",
    "bit_formats",
    "bit_precision",
    "cluster",
    "compression_report",
    "cost",
    "export_onnx",
    "load_compact",
    "log_dropout_rates",
    "masked",
    "propose_threshold",
    "propose_thresholds",
    "prune_by_signal_to_noise",
    "round_to_bits",
    "save_compact",
    "shrink",
    "signal_to_noise",
    "signal_to_noise_density",
    "thresholds_by_loss",
]
