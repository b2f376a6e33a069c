"""The default optimizer as a value, and any optimizer's state as tensors and JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.adam import adam

__all__ = [
    "Adam",
    "OptimizerFactory",
    "lean_step",
    "optimizer_state",
    "restore_optimizer_state",
    "set_learning_rate",
]

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


def lean_step(optimizer: Optimizer) -> Callable[[], object]:
    """`optimizer.step`; for a fused Adam on a CPU the same kernel on the same state, without profiling and hooks.

    What torch does around the kernel (a profiler's record, hooks, finding and grouping the state) takes longer than the
    arithmetic of a small network.

    Example:
        >>> parameter = Parameter(torch.ones(1))
        >>> step = lean_step(Adam()([parameter], lr=0.5))
        >>> parameter.grad = torch.ones(1)
        >>> _ = step()
        >>> parameter.data
        tensor([0.5000])
    """
    group, *others = optimizer.param_groups
    ours = type(optimizer) is torch.optim.Adam and not others and group["fused"]
    on_cpu = all(parameter.device.type == "cpu" for parameter in group["params"])
    return _LeanAdam(optimizer) if ours and on_cpu and not group.get("decoupled_weight_decay") else optimizer.step


class _LeanAdam:
    """Takes torch's own step where the state is not the one it remembers, or a gradient is missing."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.first: object = None
        self.state: list[list[Tensor]] = []

    @torch.no_grad()
    def __call__(self) -> None:
        group, state = self.optimizer.param_groups[0], self.optimizer.state
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        if any(gradient is None for gradient in gradients) or state.get(parameters[0], self) is not self.first:
            self.optimizer.step()
            self._remember(parameters, state)
            return
        beta1, beta2 = group["betas"]
        first, second, largest, step = self.state
        options = {name: group[name] for name in ("amsgrad", "lr", "weight_decay", "eps", "maximize")}
        options["found_inf"] = getattr(self.optimizer, "found_inf", None)
        adam(parameters, gradients, first, second, largest, step, fused=True, beta1=beta1, beta2=beta2, **options)

    def _remember(self, parameters: list[Tensor], state: Mapping[Tensor, Any]) -> None:
        if all(parameter in state for parameter in parameters):
            names = "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"
            self.first = state[parameters[0]]
            self.state = [[state[p][name] for p in parameters if name in state[p]] for name in names]


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
