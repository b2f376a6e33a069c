"""The numbers of a run, checked before anything starts."""

import functools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from jensen.training.devices import PRECISIONS
from jensen.training.optimizers import OptimizerFactory
from jensen.training.schedules import Schedule

__all__ = ["Settings", "describe"]

AT_LEAST_ONE = ("epochs", "batch_size", "validate_every", "checkpoint_every", "keep", "num_nodes")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `fit` that are neither model nor data; the names and meanings are the same.

    Raises:
        ValueError: if a number is out of range; the message names it.
    """

    objective: Callable[..., Tensor]
    epochs: int
    batch_size: int
    learning_rate: Schedule
    kl_weight: Schedule
    optimizer: OptimizerFactory
    clip_norm: float | None
    ema: float | None
    seed: int
    precision: str
    num_nodes: int
    compile: bool
    validate_every: int
    checkpoint_every: int
    checkpoint_seconds: float | None
    keep: int

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be positive, got {self.clip_norm}; None does not clip")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema is a decay between 0 and 1, got {self.ema}; None keeps no average")
        if self.checkpoint_seconds is not None and not self.checkpoint_seconds >= 0:
            raise ValueError(f"checkpoint_seconds must not be negative, got {self.checkpoint_seconds}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")

    def fingerprint(self, *, data: int, processes: int) -> dict[str, Any]:
        """All that a resumed run must have in common with its beginning, as plain JSON."""
        free = ("epochs", "validate_every", "checkpoint_every", "checkpoint_seconds", "keep", "num_nodes", "compile")
        own = {field.name: describe(getattr(self, field.name)) for field in fields(self) if field.name not in free}
        plain: dict[str, Any] = json.loads(json.dumps({**own, "data": data, "processes": processes}, default=str))
        return plain


def describe(value: Any) -> Any:
    """A schedule, an objective or an optimizer as plain JSON: the name of its class and its numbers.

    Example:
        >>> from jensen.training.schedules import Constant, Product
        >>> describe(Constant(0.5))
        {'name': 'Constant', 'value': 0.5}
        >>> describe(Product(Constant(0.5), Constant(2.0)))["second"]
        {'name': 'Constant', 'value': 2.0}
        >>> describe(max)
        'max'
    """
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        nested = {name: describe(each) for name, each in named.items() if is_dataclass(each)}
        return {"name": type(value).__name__, **asdict(value), **nested}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, nn.Module):
        return " ".join(repr(value).split())
    if isinstance(value, functools.partial):
        return {"name": describe(value.func), "arguments": [*value.args], **value.keywords}
    return getattr(value, "__qualname__", type(value).__name__)
