r"""A control variate that learns: the cost of relaxed draws, scaled, and what a network adds to it."""

import math
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from jensen.layers.perceptrons import Activation, _apply, mlp
from jensen.layers.units import check_units

__all__ = ["ControlVariate"]

Cost = Callable[[Tensor], Tensor]


class ControlVariate(nn.Module):
    r"""The control of RELAX, or without a network that of REBAR, with a scale and a temperature that learn.

    $$c(z, x) = \eta f(z) + r(z, x)$$

    Its estimator is unbiased whatever the parameters are; they are there to make it vary less, and `training.Estimated`
    descends the variance in them. At the start $\eta = 1$ and $r = 0$, which is REBAR.

    Args:
        units: the event shape of $z$: `(N,)` for N bits, `(N, C)` for N rows of C entries.
        inputs: width of $x$; zero where the network does not see the datum.
        hidden: widths between $(z, x)$ and the number $r$; None for no network.
        tau: where the temperature starts.
        activation: makes the module between two linear layers; smooth, since the variance needs a second derivative.

    Raises:
        ValueError: if `units` is neither, or `tau` is not a positive number.

    Example:
        >>> control = ControlVariate((20, 10), inputs=784, hidden=(50,))
        >>> z, x = torch.rand(4, 3, 20, 10), torch.zeros(3, 784)
        >>> control(z, x=x, cost=lambda z: z.sum((-1, -2))).shape
        torch.Size([4, 3])

    References:
        | Backpropagation through the Void: Optimizing Control Variates (Grathwohl et al., 2018)
        | https://arxiv.org/abs/1711.00123v3
    """

    def __init__(
        self,
        units: Sequence[int],
        *,
        inputs: int = 0,
        hidden: Sequence[int] | None = None,
        tau: float = 0.5,
        activation: Activation = nn.Tanh,
    ) -> None:
        super().__init__()
        if not 0 < tau < math.inf:
            raise ValueError(f"tau must be a positive number, got {tau}")
        self.units, self.inputs = check_units(units), inputs
        self.eta = nn.Parameter(torch.ones(()))
        self.log_tau = nn.Parameter(torch.tensor(float(tau)).log())
        self.network = None if hidden is None else _from_zero([prod(self.units) + inputs, *hidden, 1], activation)

    @property
    def tau(self) -> Tensor:
        """The temperature of the relaxed draws, a positive scalar with a gradient."""
        return self.log_tau.exp()

    def forward(self, z: Tensor, *, x: Tensor, cost: Cost) -> Tensor:
        """The control at relaxed draws.

        Args:
            z: relaxed draws, `(K, B, *units)`.
            x: data, `(B, inputs)`.
            cost: $f$, from draws to `(K, B)`.

        Returns:
            $c(z, x)$, `(K, B)`.
        """
        scaled = self.eta * cost(z)
        if self.network is None:
            return scaled
        flat = z.flatten(-len(self.units))  # (K, B, N C)
        seen = torch.cat([flat, x.expand(*flat.shape[:-1], -1)], -1) if self.inputs else flat
        return scaled + _apply(self.network, seen, prod(self.units) + self.inputs).squeeze(-1)


def _from_zero(sizes: Sequence[int], activation: Activation) -> nn.Sequential:
    """A perceptron whose last layer starts at zero."""
    network = mlp(sizes, activation=activation)
    last = network[-1]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    return network
