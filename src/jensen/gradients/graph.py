"""What an autograd graph leads to."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from jensen.gradients._parts import UnsupportedError

__all__ = ["check_differentiable", "leaves", "reaches"]

STEPS = ("Sign", "Round", "Floor", "Ceil", "Trunc")
"""Functions that autograd takes for differentiable and whose derivative is zero wherever there is one."""


def check_differentiable(cost: Tensor, z: Tensor) -> Tensor:
    """The cost, refused if no gradient would flow from it to samples that have one.

    Raises:
        UnsupportedError: saying which estimators would do.
    """
    if z.requires_grad and not reaches(cost, [z]):
        raise UnsupportedError("f is not differentiable in its sample; use score_function, or measure_valued")
    return cost


def reaches(output: Tensor, targets: Iterable[Tensor], *, without: Sequence[Tensor] = ()) -> bool:
    """Whether a gradient flows from `output` to one of `targets` on a way that avoids the tensors `without`.

    None flows through a sign or a rounding.

    Example:
        >>> a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        >>> middle = 2 * a
        >>> reaches(middle + b, [a]), reaches(middle + b, [a], without=[middle])
        (True, False)
    """
    wanted = {id(target) for target in targets}
    ends = {target.grad_fn for target in targets if target.grad_fn is not None}
    if id(output) in wanted:
        return True
    return any(node in ends or id(getattr(node, "variable", None)) in wanted for node in _nodes([output], without))


def leaves(outputs: Iterable[Tensor]) -> list[Tensor]:
    """The tensors that were made by hand and from which `outputs` were computed, nearest first.

    Example:
        >>> a = torch.ones(2, requires_grad=True)
        >>> leaves([2 * a.exp()])
        [tensor([1., 1.], requires_grad=True)]
    """
    outputs = list(outputs)
    found = {id(each): each for each in outputs if each.is_leaf and each.requires_grad}
    for node in _nodes(outputs, ()):
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.setdefault(id(variable), variable)
    return list(found.values())


def _nodes(outputs: Iterable[Tensor], without: Sequence[Tensor]) -> Iterator[Any]:
    """The nodes behind `outputs`, breadth first, without those behind the tensors `without`."""
    seen: set[Any] = {tensor.grad_fn for tensor in without}
    front = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while front:
        behind = []
        for node in front:
            if node not in seen:
                seen.add(node)
                if node.name().startswith(STEPS) or node.name().endswith("NotImplemented"):
                    continue
                yield node
                behind += [each for each, _ in node.next_functions if each is not None]
        front = behind
