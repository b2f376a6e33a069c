"""The layers of torch that are affine in their weights: a matrix product or a convolution, and a bias."""

from torch import nn

__all__ = ["AFFINE", "Affine"]

Affine = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""A layer with a weight `(outputs, inputs, *kernel)` and perhaps a bias `(outputs,)`."""

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The same, for `isinstance`."""
