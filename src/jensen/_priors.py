"""A normalised joint prior over named parameters, and the bijection between them and real coordinates."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, VonMises, biject_to, constraints
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

from jensen._random import seeded, seeded_generator

__all__ = ["Factor", "JointPrior", "Values", "is_refused_value", "validation"]

Factor = Distribution | Callable[..., Distribution]
"""The prior of one parameter: a distribution, or a function of parameters named before that returns one."""

Values = Mapping[str, Tensor]
"""Points in the model's own space, `(*, *event)` for each parameter by its name."""

REACH = 6.0
"""How far from 0 the real coordinates go at which a prior's support is tried: short of where bijections saturate."""

PROBES, MOST = 4000, 5
"""Draws that a prior of the user's own class is tested with, and the dimension up to which the test has power."""


class Block(NamedTuple):
    """One parameter, and where it lies among the real coordinates."""

    factor: Factor
    support: Constraint
    transform: Transform
    shape: torch.Size
    real_shape: torch.Size
    place: slice


class JointPrior:
    r"""Priors by name, each of which may depend on parameters before it.

    $$p(\theta) = \prod_i p(\theta_i \mid \theta_{<i}), \qquad \theta = T(u), \quad u \in \mathbb{R}^d$$

    A prior of the user's own class is held against its draws, and refused if it is visibly not normalised; not in more
    than five dimensions, and not if a function returns it: there nothing is tested.

    Args:
        factors: the priors in the order of their dependence.

    Raises:
        ValueError: if a prior is absent, discrete, periodic, in half precision, cannot be drawn from, has no bijection
            to real numbers, depends on a parameter after it, has no density at all values of what torch calls its
            support, or fails the test of normalisation.
    """

    def __init__(self, factors: Mapping[str, Factor | Any]) -> None:
        if not factors:
            raise ValueError("the prior names no parameter")
        self.blocks: dict[str, Block] = {}
        with seeded(seeded_generator(0)), torch.no_grad():
            here, there = _sample(factors, 1), _sample(factors, 1)
        self.dim = 0
        for name, factor in factors.items():
            if here[name].dtype in (torch.float16, torch.bfloat16):
                raise ValueError(f"the prior of {name} is in {here[name].dtype}: too coarse; use float64 or float32")
            if not bool(here[name].isfinite().all()):
                raise ValueError(f"draws of {name} are not finite: an improper prior has no evidence; normalise it")
            support = _support(name, _distribution(name, factor, here))
            shape, transform = here[name].shape[1:], biject_to(support)
            real_shape = torch.Size(transform.inverse_shape(shape))
            origin = here[name].new_ones(1, *real_shape)
            if not torch.equal(
                transform(origin), biject_to(_support(name, _distribution(name, factor, there)))(origin)
            ):
                raise ValueError(
                    f"the support of {name} depends on other parameters; shift and scale a fixed one instead"
                )
            place = slice(self.dim, self.dim + math.prod(real_shape))
            self.blocks[name] = Block(factor, support, transform, shape, real_shape, place)
            self.dim = place.stop
        for name, block in self.blocks.items():
            _check_support(name, block)
            _check_normalised(name, block)

    @property
    def is_positive(self) -> bool:
        """Whether every coordinate of every parameter is a positive number, and no more is asked of it."""
        return all(_is_positive(block.support) for block in self.blocks.values())

    def constrain(self, points: Tensor) -> dict[str, Tensor]:
        """From real coordinates `(*, d)` to each parameter's own space, `(*, *event)`."""
        return {name: block.transform(self._part(points, block)) for name, block in self.blocks.items()}

    def unconstrain(self, values: Values) -> Tensor:
        """The inverse of `constrain`.

        Raises:
            ValueError: if a name is missing or unknown, or a shape does not fit.
        """
        if set(values) != set(self.blocks):
            raise ValueError(f"got values of {sorted(values)}; the target's parameters are {sorted(self.blocks)}")
        parts = []
        for name, block in self.blocks.items():
            value, events = values[name], len(block.shape)
            batch = value.shape[: value.ndim - events]
            if value.shape != (*batch, *block.shape):
                shapes = f"{tuple(value.shape)}; expected (*{''.join(f', {size}' for size in block.shape)})"
                raise ValueError(f"{name} has shape {shapes}")
            parts.append(block.transform.inv(value).reshape(*batch, -1 if math.prod(block.real_shape) else 0))
        return torch.cat(parts, -1)

    def log_jacobian(self, points: Tensor) -> Tensor:
        r"""$\log \lvert d\theta / du \rvert$ at points `(*, d)`, `(*)`."""
        total = points.new_zeros(points.shape[:-1])
        for block in self.blocks.values():
            u = self._part(points, block)
            total = total + _sum_event(_log_jacobian(block.transform, u), points.ndim - 1)
        return total

    def log_prob(self, values: Values) -> Tensor:
        """Log-density in the parameters' own space at `(N, *event)` each, `(N,)`."""
        total: Tensor | None = None
        for name, block in self.blocks.items():
            term = _sum_event(_distribution(name, block.factor, values).log_prob(values[name]), 1)
            total = term if total is None else total + term
        return torch.zeros(()) if total is None else total

    def sample(self, count: int) -> dict[str, Tensor]:
        """Draws in the parameters' own space, `(count, *event)` each."""
        with torch.no_grad():
            return _sample({name: block.factor for name, block in self.blocks.items()}, count)

    def _part(self, points: Tensor, block: Block) -> Tensor:
        return points[..., block.place].reshape(*points.shape[:-1], *block.real_shape)


def _distribution(name: str, factor: Factor | Any, values: Values) -> Distribution:
    if isinstance(factor, Distribution):
        return factor
    if not callable(factor):
        kind = type(factor).__name__
        raise ValueError(
            f"the prior of {name} must be a torch Distribution or a function that returns one, got {kind}: without a "
            "normalised prior there is no evidence"
        )
    wanted = list(inspect.signature(factor).parameters)
    if missing := [each for each in wanted if each not in values]:
        raise ValueError(f"the prior of {name} asks for {missing}, which no parameter before it is called")
    try:
        distribution = factor(**{each: values[each] for each in wanted})
    except Exception as error:
        raise ValueError(f"the prior of {name} raised {type(error).__name__}: {_first_line(error)}") from error
    if not isinstance(distribution, Distribution):
        raise ValueError(f"the prior of {name} returned {type(distribution).__name__}, not a torch Distribution")
    return distribution


def _support(name: str, distribution: Distribution) -> Constraint:
    kind = type(distribution).__name__
    inner = _innermost(distribution)
    if isinstance(inner, VonMises):
        raise ValueError(
            f"the prior of {name} is periodic ({kind}): its density does not integrate to 1 over the real numbers"
        )
    try:
        support, within = distribution.support, inner.support
        if support is None or support.is_discrete or within is None or within.is_discrete:
            raise ValueError(f"{name} is discrete ({kind}): it has no density; sum it out of the likelihood")
        if isinstance(distribution, MixtureSameFamily):
            components: Any = distribution.component_distribution.support
            support = _common(name, components)
        biject_to(support)
    except NotImplementedError as error:
        raise ValueError(f"the prior of {name} ({kind}) has no bijection to real numbers") from error
    return support


def _innermost(distribution: Distribution) -> Distribution:
    """What a mixture, a transformed or an independent distribution is made of."""
    for part in ("component_distribution", "base_dist"):
        if isinstance(inner := getattr(distribution, part, None), Distribution):
            return _innermost(inner)
    return distribution


def _common(name: str, support: Constraint) -> Constraint:
    """The support of a mixture's components, with one number for each of its bounds."""
    if isinstance(support, constraints.independent):
        independent: Callable[[Constraint, int], Constraint] = constraints.independent
        return independent(_common(name, support.base_constraint), support.reinterpreted_batch_ndims)
    named = ("lower_bound", "upper_bound")
    bounds = [torch.as_tensor(getattr(support, each)) for each in named if hasattr(support, each)]
    if any(bool((each != each.flatten()[0]).any()) for each in bounds):
        raise ValueError(f"the components of {name} have different supports: a mixture needs the same bounds in all")
    return type(support)(*(each.flatten()[0] for each in bounds)) if any(each.ndim for each in bounds) else support


def _sample(factors: Mapping[str, Factor | Any], count: int) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    for name, factor in factors.items():
        if not name.isidentifier():
            raise ValueError(f"a parameter's name must be a Python identifier, got {name!r}")
        distribution = _distribution(name, factor, values)
        try:
            drawn = distribution.sample(torch.Size((count,) if isinstance(factor, Distribution) else ()))
        except NotImplementedError as error:
            raise ValueError(f"the prior of {name} ({type(distribution).__name__}) cannot be drawn from") from error
        if drawn.shape[:1] != (count,):
            shapes = f"{tuple(drawn.shape)} for {count} points; expected ({count}, *event)"
            raise ValueError(f"the prior of {name} drew values of shape {shapes}")
        values[name] = drawn
    return values


def _check_support(name: str, block: Block) -> None:
    """Ask for the density at values of what torch calls the support, as a transformed distribution may know less."""
    factor = block.factor
    if not isinstance(factor, Distribution):
        return
    generator = seeded_generator(2)
    u = torch.randn(64, *block.real_shape, generator=generator, dtype=torch.float64)
    u = torch.cat([u[:32], 3 * u[32:]]).clamp(-REACH, REACH)
    with torch.no_grad(), seeded(generator):
        own = factor.sample()
        for dtype in (torch.float64, own.dtype):
            values = block.transform(u.to(own.device, dtype))
            inside = block.support.check(values)  # type: ignore[no-untyped-call]
            values = values[inside.flatten(1).all(1) if inside.ndim > 1 else inside]
            try:
                with validation(True):
                    factor.log_prob(values)
            except ValueError as error:
                if is_refused_value(error):
                    raise ValueError(
                        f"the support of {name} is narrower than torch says ({block.support}); use a distribution "
                        "whose support is right (put a shift or a scale into the likelihood)"
                    ) from error
            except RuntimeError:
                continue
            return


def _check_normalised(name: str, block: Block) -> None:
    r"""Hold the mean of $g(u) / p(u)$ over a prior's own draws, $g$ a narrow Gaussian, against 1.

    Priors of torch and of jensen are trusted; in high dimension the ratio tells nothing.
    """
    factor = block.factor
    if not isinstance(factor, Distribution) or type(factor).__module__.startswith(("torch.", "jensen.")):
        return
    size = math.prod(block.real_shape)
    if size > MOST:
        return
    with seeded(seeded_generator(1)), torch.no_grad():
        values = factor.sample(torch.Size((PROBES,)))
        u = block.transform.inv(values)
        log_p = _sum_event(factor.log_prob(values), 1) + _sum_event(_log_jacobian(block.transform, u), 1)
    u = u.reshape(PROBES, size)
    centre = u.median(0).values
    scale = 0.75 * (u - centre).abs().median(0).values
    log_g = -(((u - centre) / scale) ** 2 / 2 + scale.log() + math.log(2 * math.pi) / 2).sum(-1)
    ratio = (log_g - log_p).exp()
    mean, error = float(ratio.mean()), float(ratio.std()) / math.sqrt(PROBES)
    if not abs(mean - 1) <= max(6 * error, 0.05):
        raise ValueError(
            f"the prior of {name} is not normalised: its density integrates to about {1 / mean:.3g}, not to 1"
        )


def _log_jacobian(transform: Transform, u: Tensor) -> Tensor:
    log_det: Tensor = transform.log_abs_det_jacobian(u, transform(u))  # type: ignore[no-untyped-call]
    return log_det


def _sum_event(x: Tensor, batch: int) -> Tensor:
    return x.flatten(batch).sum(-1) if x.ndim > batch else x


def _is_positive(support: Constraint) -> bool:
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    bound = getattr(support, "lower_bound", None)
    is_half_line = isinstance(support, constraints.greater_than | constraints.greater_than_eq)
    return is_half_line and bound is not None and bool((torch.as_tensor(bound) == 0).all())


def is_refused_value(error: ValueError) -> bool:
    """Whether this is torch's refusal of a value outside a distribution's support, and not of a parameter."""
    return "Expected value argument" in str(error)


@contextmanager
def validation(on: bool, /) -> Iterator[None]:
    """Switch the checks of `torch.distributions` on; or off, at points that a sampler only tries."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(on)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
