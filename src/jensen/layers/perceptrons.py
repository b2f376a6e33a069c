"""Multilayer perceptrons, alone and as conditional distributions."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from jensen._math import logit
from jensen.distributions import DiagonalNormal, IndependentBernoulli, IndependentContinuousBernoulli

__all__ = ["BernoulliMLP", "ContinuousBernoulliMLP", "GaussianMLP", "initial_log_scale", "mlp"]

Activation = Callable[[], nn.Module]


def mlp(sizes: Sequence[int], *, activation: Activation = nn.Tanh) -> nn.Sequential:
    r"""A perceptron with the given layer sizes; the last layer is linear.

    Weights are Glorot-uniform, $U(-a, a)$ with $a = \sqrt{6 / (n_\mathrm{in} + n_\mathrm{out})}$, and biases zero.

    Args:
        sizes: widths from the input to the output, at least two.
        activation: makes the module between two linear layers.

    Returns:
        The perceptron, `(*batch, sizes[0])` to `(*batch, sizes[-1])`.

    Raises:
        ValueError: if there are fewer than two sizes, or one is below 1.

    Example:
        >>> mlp([784, 200, 50])(torch.zeros(3, 784)).shape
        torch.Size([3, 50])

    References:
        | Understanding the difficulty of training deep feedforward neural networks (Glorot & Bengio, 2010), eq. 16
        | https://proceedings.mlr.press/v9/glorot10a.html
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"a perceptron needs at least two sizes, all positive, got {list(sizes)}")
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


class GaussianMLP(nn.Module):
    r"""A perceptron whose output is a Gaussian, $\mathcal{N}(z; \mu(x), \mathrm{diag}(\sigma^2(x)))$.

    Args:
        inputs: width of $x$.
        hidden: widths between.
        outputs: width $D$ of $z$.
        activation: makes the module between two linear layers.
        scale: `"conditional"`, a $\sigma(x)$ from the network; `"learned"`, one free $\sigma$ for each entry, starting
            at one; or a positive number, held fixed.
        bounded_mean: squash the mean into $(0, 1)$ by a sigmoid, for pixels.
        mean: where given, the output bias starts so that the mean is this vector `(D,)`.

    Raises:
        ValueError: if `scale` is none of these, or `mean` has another shape.

    Example:
        >>> GaussianMLP(784, (200, 200), 50)(torch.zeros(3, 784)).event_shape
        torch.Size([50])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix C.2
        | https://arxiv.org/abs/1312.6114v11
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        activation: Activation = nn.Tanh,
        scale: str | float = "conditional",
        bounded_mean: bool = False,
        mean: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.bounded_mean, self.conditional = bounded_mean, scale == "conditional"
        self.inputs = inputs
        self.network = mlp([inputs, *hidden, 2 * outputs if self.conditional else outputs], activation=activation)
        if not self.conditional:
            self.log_scale = nn.Parameter(initial_log_scale(scale, outputs), requires_grad=scale == "learned")
        if mean is not None:
            _start_at(self.network, logit(mean) if bounded_mean else mean, outputs)

    def forward(self, x: Tensor) -> DiagonalNormal:
        """The Gaussian given `x`, `(*batch, inputs)`."""
        output = _apply(self.network, x, self.inputs)
        mean, log_scale = output.chunk(2, dim=-1) if self.conditional else (output, self.log_scale)
        return DiagonalNormal(torch.sigmoid(mean) if self.bounded_mean else mean, log_scale, validate_args=False)


class BernoulliMLP(nn.Module):
    r"""A perceptron whose output is a vector of independent binary pixels.

    $$p(x \mid z) = \prod_d \mathrm{Bernoulli}(x_d; \mathrm{sigmoid}(l_d(z)))$$

    Probabilities are kept as logits $l$, so that no pixel's log-density saturates. Grey pixels have no density under
    it: binarise them, or take `ContinuousBernoulliMLP`.

    Args:
        inputs: width of $z$.
        hidden: widths between.
        outputs: number $D$ of pixels.
        activation: makes the module between two linear layers.
        mean: the pixel means `(D,)`; the output bias starts as their logit, clipped to probabilities in [0.001, 0.999].

    Raises:
        ValueError: if `mean` has another shape.

    Example:
        >>> BernoulliMLP(50, (200, 200), 784)(torch.zeros(3, 50)).event_shape
        torch.Size([784])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix C.1
        | https://arxiv.org/abs/1312.6114v11
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        activation: Activation = nn.Tanh,
        mean: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.network = mlp([inputs, *hidden, outputs], activation=activation)
        if mean is not None:
            _start_at(self.network, logit(mean), outputs)

    def forward(self, z: Tensor) -> IndependentBernoulli:
        """The pixels given `z`, `(*batch, inputs)`."""
        return IndependentBernoulli(_apply(self.network, z, self.inputs), validate_args=False)


class ContinuousBernoulliMLP(nn.Module):
    r"""A perceptron whose output is a vector of independent grey pixels in $[0, 1]$, each continuous Bernoulli.

    $$p(x_d \mid z) = C(\lambda_d) \lambda_d^{x_d} (1 - \lambda_d)^{1 - x_d}, \qquad
    \lambda_d = \mathrm{sigmoid}(l_d(z))$$

    The normaliser $C$ is what the binary cross-entropy of grey pixels lacks to be a log-likelihood.

    Args:
        inputs: width of $z$.
        hidden: widths between.
        outputs: number $D$ of pixels.
        activation: makes the module between two linear layers.

    Example:
        >>> ContinuousBernoulliMLP(50, (200, 200), 784)(torch.zeros(3, 50)).event_shape
        torch.Size([784])

    References:
        | The continuous Bernoulli: fixing a pervasive error in VAEs (Loaiza-Ganem & Cunningham, 2019)
        | https://arxiv.org/abs/1907.06845v5
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, *, activation: Activation = nn.Tanh) -> None:
        super().__init__()
        self.inputs = inputs
        self.network = mlp([inputs, *hidden, outputs], activation=activation)

    def forward(self, z: Tensor) -> IndependentContinuousBernoulli:
        """The pixels given `z`, `(*batch, inputs)`."""
        return IndependentContinuousBernoulli(_apply(self.network, z, self.inputs), validate_args=False)


def _apply(network: nn.Sequential, x: Tensor, inputs: int) -> Tensor:
    """The network's output in the precision of its input, also where autocast multiplies in a lower one."""
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"the input has shape {tuple(x.shape)}; this network expects (*batch, {inputs})")
    output: Tensor = network(x)
    return output.to(x.dtype)


def initial_log_scale(scale: str | float, outputs: int) -> Tensor:
    r"""Where the $\log \sigma$ of Gaussian outputs begins, `(outputs,)`: zero if `learned`, else fixed.

    Args:
        scale: `"learned"`, or a positive number.
        outputs: how many there are.

    Raises:
        ValueError: if `scale` is neither.

    Example:
        >>> initial_log_scale(1.0, 2)
        tensor([0., 0.])
    """
    if scale == "learned":
        return torch.zeros(outputs)
    if isinstance(scale, str) or not 0 < scale < math.inf:
        raise ValueError(f"scale is {scale!r}; give 'conditional', 'learned' or a positive number")
    return torch.full((outputs,), float(scale)).log()


def _start_at(network: nn.Sequential, bias: Tensor, outputs: int) -> None:
    """Let the last layer's output begin at `bias`, its first `outputs` entries."""
    if bias.shape != (outputs,):
        raise ValueError(f"mean has shape {tuple(bias.shape)}; expected ({outputs},), one entry for each output")
    final_bias = list(network.parameters())[-1]
    with torch.no_grad():
        final_bias[:outputs] = bias.to(final_bias)
