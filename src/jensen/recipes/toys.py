"""Small expectations that estimators are compared on, by name; torch is imported when one is made."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from jensen._names import pick

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

    Problem = tuple[Callable[[Tensor], Tensor], Distribution]

__all__ = ["TOYS", "Toy", "get_toy"]

W = (1.0, -2.0, 3.0, 0.5)


class Toy(NamedTuple):
    """An expectation without data.

    Attributes:
        name: what the command line calls it.
        title: one line for a table.
        make: the cost f and the distribution q, in double precision, with parameters that require a gradient.
    """

    name: str
    title: str
    make: "Callable[[], Problem]"


def get_toy(name: str) -> Toy:
    """A toy by its name.

    Raises:
        ValueError: if there is none; the message suggests the nearest name.

    Example:
        >>> get_toy("toy-for")
        Traceback (most recent call last):
        ValueError: unknown toy 'toy-for'; did you mean 'toy-four'? `jensen audit --help` names all
    """
    return pick(TOYS, name, "toy", rest="`jensen audit --help` names all")


def _bernoulli() -> "Problem":
    import torch
    from torch.distributions import Bernoulli, Independent

    eta = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    p0 = torch.tensor([0.6, 0.51, 0.48], dtype=torch.float64)
    q = Independent(Bernoulli(logits=eta.expand(3), validate_args=False), 1, validate_args=False)
    return lambda z: (z - p0).square().sum(-1), q


def _bits() -> "Problem":
    import torch
    from torch.distributions import Bernoulli, Independent

    logits = torch.tensor([0.3, -0.6, 0.9], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([0.9, -0.5, 0.7], dtype=torch.float64)
    p0 = torch.tensor([0.6, 0.51, 0.48], dtype=torch.float64)
    q = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)
    return lambda z: (z @ w - 0.4).square() + (z - p0).square().sum(-1), q


def _four() -> "Problem":
    import torch
    from torch.distributions import OneHotCategorical

    logits = torch.tensor([0.6, -0.4, 0.1, -0.9], dtype=torch.float64, requires_grad=True)
    w = torch.tensor(W, dtype=torch.float64)
    return lambda z: (z @ w - 0.3).square(), OneHotCategorical(logits=logits, validate_args=False)


def _tucker() -> "Problem":
    import torch
    from torch.distributions import Bernoulli

    phi = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    return lambda z: (z - 0.45).square(), Bernoulli(logits=phi, validate_args=False)


TOYS = {
    toy.name: toy
    for toy in (
        Toy("toy-bernoulli", "three bits that share one logit, of Liu et al. 2019 and Kool et al. 2020", _bernoulli),
        Toy("toy-bits", "three bits, asymmetric, a cost that couples them", _bits),
        Toy("toy-four", "four categories, asymmetric", _four),
        Toy("toy-tucker", "one bit close to its optimum, of Tucker et al. 2017", _tucker),
    )
}
