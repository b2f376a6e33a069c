"""The default optimizer as a value, and any optimizer's state as tensors and JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

__all__ = ["Adam", "OptimizerFactory", "optimizer_state", "restore_optimizer_state", "set_learning_rate"]

OptimizerFactory = Callable[..., Optimizer]
"""`factory(parameters, lr=...)`: `Adam(...)`, or a class of `torch.optim`."""

FUSED_DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Adam:
    """Adam, one fused kernel for a whole step where the device has it.

    Attributes:
        betas: decay of the two moments.
        eps: added to the root of the second moment.
        weight_decay: strength of the L2 penalty in the gradient.

    Example:
        >>> optimizer = Adam(eps=1e-4)([Parameter(torch.zeros(2))], lr=1e-3)
        >>> optimizer.defaults["fused"], optimizer.defaults["eps"]
        (True, 0.0001)

    References:
        | Adam: A Method for Stochastic Optimization (Kingma & Ba, 2015), algorithm 1
        | https://arxiv.org/abs/1412.6980v9
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __call__(self, parameters: Sequence[Parameter], *, lr: float) -> Optimizer:
        """The optimizer of these parameters."""
        fused = all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in parameters)
        return torch.optim.Adam(
            parameters, lr=lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused or None
        )


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set it in every group of parameters."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state as tensors by the name `index/key`, and the rest as what JSON can hold.

    Raises:
        ValueError: if the state holds anything but tensors, numbers, strings and None.

    Example:
        >>> optimizer = torch.optim.SGD([Parameter(torch.zeros(2))], lr=0.1)
        >>> tensors, rest = optimizer_state(optimizer)
        >>> tensors, rest["groups"][0]["lr"]
        ({}, 0.1)
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = _plain(value, key)
    groups = [{key: _plain(value, key) for key, value in group.items()} for group in state["param_groups"]]
    return tensors, {"groups": groups, "scalars": scalars}


def restore_optimizer_state(optimizer: Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Put back what `optimizer_state` took, to the bit."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value.clone()
    for index, entries in rest["scalars"].items():
        state.setdefault(int(index), {}).update(entries)
    current = optimizer.state_dict()["param_groups"]
    groups = [
        {key: tuple(value) if isinstance(now.get(key), tuple) else value for key, value in group.items()}
        for now, group in zip(current, rest["groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"the optimizer's {key!r} is a {type(value).__name__}, which a checkpoint cannot hold; use another optimizer"
    )
