"""Perceptrons whose output is discrete: bits, or one-hot rows."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical

from jensen.layers.perceptrons import Activation, _apply, mlp

__all__ = ["DiscreteMLP", "check_units", "discrete"]


class DiscreteMLP(nn.Module):
    r"""A perceptron whose output is a product of independent bits or of independent one-hot rows.

    $$q(z \mid x) = \prod_n \mathrm{Bernoulli}(z_n; \mathrm{sigmoid}(l_n(x))) \qquad \text{or} \qquad
    q(z \mid x) = \prod_n \mathrm{Cat}(z_n; \mathrm{softmax}(l_n(x)))$$

    Args:
        inputs: width of $x$.
        hidden: widths between.
        units: the event shape of $z$: `(N,)` for N bits, `(N, C)` for N one-hot rows of C categories.
        activation: makes the module between two linear layers.

    Raises:
        ValueError: if `units` is neither.

    Example:
        >>> q = DiscreteMLP(784, (512, 256), (20, 10))(torch.zeros(3, 784))
        >>> q.batch_shape, q.event_shape
        (torch.Size([3]), torch.Size([20, 10]))
        >>> DiscreteMLP(784, (), (200,))(torch.zeros(3, 784)).event_shape
        torch.Size([200])

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), section 4
        | https://arxiv.org/abs/1611.01144v5
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], units: Sequence[int], *, activation: Activation = nn.Tanh
    ) -> None:
        super().__init__()
        self.units = check_units(units)
        self.inputs = inputs
        self.network = mlp([inputs, *hidden, prod(self.units)], activation=activation)

    def forward(self, x: Tensor) -> Distribution:
        """The units given `x`, `(*batch, inputs)`."""
        logits = _apply(self.network, x, self.inputs)
        return discrete(logits.reshape(*x.shape[:-1], *self.units), units=self.units)


def discrete(logits: Tensor, *, units: Sequence[int]) -> Distribution:
    """Independent bits or one-hot rows with the given logits.

    Args:
        logits: log-odds `(*batch, N)`, or log-probabilities up to a constant, `(*batch, N, C)`.
        units: the event shape, `(N,)` or `(N, C)`.

    Example:
        >>> discrete(torch.zeros(3, 4, 5), units=(4, 5)).base_dist
        OneHotCategorical()
    """
    family = Bernoulli if len(units) == 1 else OneHotCategorical
    return Independent(family(logits=logits, validate_args=False), 1, validate_args=False)


def check_units(units: Sequence[int]) -> tuple[int, ...]:
    """The event shape of discrete units, as a tuple.

    Raises:
        ValueError: if it is neither `(N,)` nor `(N, C)` with at least one unit and two categories.

    Example:
        >>> check_units((20, 1))
        Traceback (most recent call last):
        ValueError: units must be (N,) for N bits or (N, C) for N rows of C >= 2 categories, got (20, 1)
    """
    shape = tuple(units)
    if len(shape) not in (1, 2) or shape[0] < 1 or (len(shape) == 2 and shape[1] < 2):
        raise ValueError(f"units must be (N,) for N bits or (N, C) for N rows of C >= 2 categories, got {shape}")
    return shape
