"""jensen: the gradient of an expectation, bounds on its logarithm, and its logarithm itself, on PyTorch."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jensen import (
        asymptotics,
        bounds,
        datasets,
        distributions,
        evaluation,
        evidence,
        gradients,
        layers,
        models,
        recipes,
        report,
        samplers,
        training,
    )

__version__ = "0.1.0"

__all__ = [
    "asymptotics",
    "bounds",
    "datasets",
    "distributions",
    "evaluation",
    "evidence",
    "gradients",
    "layers",
    "models",
    "recipes",
    "report",
    "samplers",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
