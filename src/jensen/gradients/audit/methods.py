"""What to audit: estimators by name, with options, or a user's own."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients.registry import ESTIMATORS, Cost, get

__all__ = ["Method", "MethodLike", "resolve"]

MethodLike = str | tuple[str, Callable[..., Tensor]] | tuple[str, Mapping[str, object]]
"""A name of the registry, a name with options, or a name of one's own with a function."""


@dataclass(frozen=True)
class Method:
    """An estimator about to be audited.

    Attributes:
        name: what its row is called.
        function: `function(f, q, *, samples, generator, **options)`; the last two are not asked of a user's own.
        declared: `unbiased`, `biased`, or empty for a user's own.
        options: further keywords.
        differentiates_f: whether it needs a differentiable f.
        noise_free: whether a second estimate would be the same.
    """

    name: str
    function: Callable[..., Tensor]
    declared: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    differentiates_f: bool = False
    noise_free: bool = False

    def __call__(self, f: Cost, q: Distribution, *, samples: int, generator: Generator) -> Tensor:
        """One estimate."""
        keywords: dict[str, Any] = {"samples": samples, "generator": generator, **self.options}
        known = inspect.signature(self.function).parameters
        if not self.declared and all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in known.values()):
            keywords = {name: value for name, value in keywords.items() if name in known}
        return self.function(f, q, **keywords)


def resolve(methods: Sequence[MethodLike] | Mapping[str, Callable[..., Tensor]] | None) -> list[Method]:
    """The methods that were asked for; all of the registry that need nothing but f and q where None.

    Raises:
        ValueError: if a name is unknown or stands twice, or there is none.

    Example:
        >>> [method.name for method in resolve(["pathwise", ("rao_blackwell", {"categories": 2})])]
        ['pathwise', 'rao_blackwell(categories=2)']
    """
    if methods is None:
        methods = [name for name, estimator in ESTIMATORS.items() if not estimator.needs]
    if isinstance(methods, str):
        raise ValueError(f"methods must be a list of names, got {methods!r}; write [{methods!r}]")
    entries = list(methods.items()) if isinstance(methods, Mapping) else list(methods)
    found = [_method(entry) for entry in entries]
    names = [method.name for method in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))} is asked for twice; give each method a name of its own")
    if not found:
        raise ValueError("there is no method to audit; name one, or leave methods out for all of them")
    return found


def _method(entry: MethodLike) -> Method:
    name, more = (entry, {}) if isinstance(entry, str) else entry
    if callable(more):
        return Method(name, more)
    estimator = get(name)
    if missing := [each for each in estimator.needs if each not in more]:
        raise ValueError(f"{name} needs {', '.join(f'{each}=' for each in missing)}; give ({name!r}, {{...}})")
    options = ", ".join(f"{key}={_short(value)}" for key, value in more.items())
    return Method(
        f"{name}({options})" if options else name,
        estimator.function,
        "unbiased" if estimator.unbiased else "biased",
        more,
        estimator.differentiates_f,
        estimator.noise_free,
    )


def _short(value: object) -> str:
    return str(value) if isinstance(value, int | float | str) else getattr(value, "__name__", type(value).__name__)
