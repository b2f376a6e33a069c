"""How much each sampler is to do."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_type_hints

__all__ = ["Settings", "change_settings"]


@dataclass(frozen=True)
class Settings:
    """The budget of the samplers behind the methods.

    Attributes:
        chains: Markov chains of the posterior, all in one batch.
        draws_per_chain: kept from each chain.
        warmup: adaptation steps before the first kept draw.
        metric: `diagonal` or `dense`.
        start: where chains start, `prior` or `laplace`.
        engine: `hmc`, batched in torch, or `nuts`, by nutpie: four chains of `draws_per_chain` draws after `warmup`,
            with a metric, a start and lengths of its own.
        temperatures: of the power posteriors, 0 and 1 included.
        reference_temperatures: of the path from a Gaussian reference, 0 and 1 included.
        ladder_chains: chains at each temperature.
        ladder_draws: kept from each chain at each temperature.
        ladder_warmup: adaptation steps of the ladder.
        samples: independent draws for naive Monte Carlo, importance sampling and lower bounds.
        live: live points of nested sampling.
        particles: of sequential Monte Carlo, in each run.
        runs: independent runs of sequential Monte Carlo.
        order: of the jackknife.

    Raises:
        ValueError: if a number is below 1, or a word unknown.

    Example:
        >>> Settings(live=1000).live
        1000
    """

    chains: int = 256
    draws_per_chain: int = 300
    warmup: int = 300
    metric: Literal["diagonal", "dense"] = "diagonal"
    start: Literal["prior", "laplace"] = "prior"
    engine: Literal["hmc", "nuts"] = "hmc"
    temperatures: int = 24
    reference_temperatures: int = 8
    ladder_chains: int = 64
    ladder_draws: int = 50
    ladder_warmup: int = 100
    samples: int = 10_000
    live: int = 500
    particles: int = 1000
    runs: int = 8
    order: int = 1

    def __post_init__(self) -> None:
        """Refuse budgets that nothing can be done with."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}")
        hints = get_type_hints(Settings)
        for name in ("metric", "start", "engine"):
            if getattr(self, name) not in get_args(hints[name]):
                words = ", ".join(get_args(hints[name]))
                raise ValueError(f"{name} must be one of {words}, got {getattr(self, name)!r}")


def change_settings(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with other numbers.

    Raises:
        ValueError: if a name is unknown, suggesting the nearest; or a value is of another type.

    Example:
        >>> change_settings(Settings(), {"live": 50}).live
        50
        >>> change_settings(Settings(), {"lives": 50})
        Traceback (most recent call last):
        ValueError: there is no setting 'lives'; did you mean 'live'?
    """
    known = {field.name: type(field.default) for field in fields(settings)}
    for name in changes:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            raise ValueError(
                f"there is no setting {name!r}; "
                + (f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}")
            )
    return replace(settings, **{name: _typed(name, value, known[name]) for name, value in changes.items()})


def _typed(name: str, value: Any, kind: type) -> Any:
    if kind is int and hasattr(value, "__index__") and not isinstance(value, bool):
        return int(value)
    if kind is not str or not isinstance(value, str):
        raise ValueError(f"{name} must be {'a word' if kind is str else 'a whole number'}, got {value!r}")
    return value
