"""jensen: the gradient of an expectation, bounds on its logarithm, and its logarithm itself, on PyTorch."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jensen import (
        bounds,
        datasets,
        distributions,
        evaluation,
        gradients,
        layers,
        models,
        recipes,
        report,
        training,
    )

__version__ = "0.1.0"

__all__ = [
    "bounds",
    "datasets",
    "distributions",
    "evaluation",
    "gradients",
    "layers",
    "models",
    "recipes",
    "report",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
