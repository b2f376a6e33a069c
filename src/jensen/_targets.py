"""What has an evidence: a log-likelihood under a normalised prior, seen from an unconstrained space."""

import re
from collections.abc import Callable, Mapping
from copy import copy
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen._priors import Factor, JointPrior, Values, is_refused_value, validation
from jensen._random import seeded, seeded_generator

__all__ = ["Draws", "Parameters", "Target"]

PROBES, FEW = 64, 8
"""Draws of the prior that the likelihood is tried at, and how many of them its gradient."""

Parameters = Tensor | dict[str, Tensor]
"""Points in the model's own space: `(*, *event)`, or one such tensor for each name."""


class Draws(NamedTuple):
    r"""Points in the unconstrained space, with the two log-densities that a target has there.

    Attributes:
        points: `(S, C, d)`: draws first, then independent chains.
        log_likelihood: $\log p(y \mid \theta)$, `(S, C)`.
        log_prior: log-prior of the unconstrained point, the log-Jacobian included, `(S, C)`.
    """

    points: Tensor
    log_likelihood: Tensor
    log_prior: Tensor

    @property
    def log_joint(self) -> Tensor:
        """Log of the unnormalised posterior density of the unconstrained points, `(S, C)`."""
        return self.log_likelihood + self.log_prior


class Target:
    r"""A likelihood and a prior, whose evidence is asked for.

    $$Z = \int p(y \mid \theta)\, p(\theta)\, d\theta$$

    Every parameter is mapped to real coordinates $u$ by `torch.distributions.biject_to`, so that samplers and
    proposals meet no boundary; the log-prior of $u$ holds the log-Jacobian. The prior must be normalised (distributions
    of torch are trusted; your own class is tested in up to five dimensions, and not if a function returns it), and the
    likelihood must keep its constants: what `log_likelihood` drops is missing from $\log Z$. How to notice: at any
    point it must agree with the sum of `log_prob` of the data's own distribution.

    Computing is in the wider precision of prior and likelihood; give both float64
    (`Normal(torch.zeros(5).double(), 1.0)`).

    Args:
        log_likelihood: maps a batch of points to log-likelihoods in nats, `(N,)`. With one prior it gets `(N, *event)`,
            with named priors each parameter by its name. Methods with gradients ask that torch can differentiate it.
        prior: a distribution of which every batch axis counts as part of one point (`Normal(torch.zeros(5), 1.0)` is
            five parameters); or distributions by name. In the second form a prior may also be a function whose
            arguments are named like parameters before it, `lambda scale: Normal(0.0, scale)`. It gets `(N, *event)`
            tensors and returns a distribution over `(N, *event)`.
        pointwise: the same log-likelihood for each of the M independent observations, `(N, M)`, for predictive scores.
        exact: the log-evidence where it is known, in nats, to be shown beside estimates.

    Raises:
        ValueError: if the prior is absent, discrete, improper or without a bijection to real numbers; if a function
            takes no batch or returns another shape; if at a draw of the prior the likelihood is finite though torch
            refuses a value as outside a distribution's support; and whenever a function raises, naming the first
            offending point.

    Example:
        >>> from torch.distributions import Beta, Binomial
        >>> prior = Beta(*torch.ones(2).double())
        >>> target = Target(lambda p: Binomial(10, p).log_prob(torch.tensor(2.0)), prior)
        >>> target
        Target(dim=1, parameters=theta)
        >>> target.log_terms(torch.zeros(1, 1).double())
        tensor([[-3.1248],
                [-1.3863]], dtype=torch.float64)
    """

    def __init__(
        self,
        log_likelihood: Callable[..., Tensor],
        prior: Distribution | Mapping[str, Factor],
        *,
        pointwise: Callable[..., Tensor] | None = None,
        exact: float | None = None,
    ) -> None:
        if not callable(log_likelihood):
            raise ValueError(f"log_likelihood must be a function of parameters, got {type(log_likelihood).__name__}")
        self.prior = prior
        self.exact = exact
        self.is_named = isinstance(prior, Mapping)
        self._joint_prior = JointPrior(_by_name(prior))
        self._log_likelihood = log_likelihood
        self._pointwise = pointwise
        with seeded(seeded_generator(0)):
            probe = self._joint_prior.unconstrain(self._joint_prior.sample(PROBES))
        self.dtype, self.device = probe.dtype, probe.device
        self._check_prior(probe[:3])
        probe = probe[probe.isfinite().all(-1)]
        self._widen(probe)
        self._check(probe.to(self.dtype))
        self._no_gradient = self._try_gradient(probe[:FEW].to(self.dtype))

    @classmethod
    def from_density(
        cls,
        log_density: Callable[..., Tensor],
        reference: Distribution | Mapping[str, Factor],
        *,
        exact: float | None = None,
    ) -> "Target":
        r"""A target whose evidence is the integral $\int \tilde p(\theta)\, d\theta$ of any density.

        The reference takes the prior's place and $\log \tilde p - \log r$ the log-likelihood's, which leaves the
        integral as it is. The reference must be positive wherever $\tilde p$ is; samplers start there.

        Args:
            log_density: $\log \tilde p$, called like a log-likelihood.
            reference: a normalised distribution, or several by name.
            exact: the logarithm of the integral where it is known.

        Example:
            >>> from torch.distributions import Normal
            >>> wide = Normal(torch.zeros(2).double(), 3.0)
            >>> Target.from_density(lambda x: -(x**2).sum(-1) / 2, wide).log_joint(torch.zeros(1, 2).double())
            tensor([0.], dtype=torch.float64)
        """
        joint = JointPrior(_by_name(reference))

        def log_ratio(*point: Tensor, **named: Tensor) -> Tensor:
            log_p = log_density(*point, **named)
            with validation(False):
                return log_p - joint.log_prob(named or {"theta": point[0]})

        return cls(log_ratio, reference, exact=exact)

    @property
    def dim(self) -> int:
        """How many real coordinates a point has."""
        return self._joint_prior.dim

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names; `theta` where the prior has none."""
        return tuple(self._joint_prior.blocks)

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """The shape of each parameter in the model's own space."""
        return {name: block.shape for name, block in self._joint_prior.blocks.items()}

    @property
    def is_positive(self) -> bool:
        """Whether every coordinate of every parameter is a positive number, and no more is asked of it."""
        return self._joint_prior.is_positive

    @property
    def is_pointwise(self) -> bool:
        """Whether the log-likelihood of each observation is known."""
        return self._pointwise is not None

    @property
    def is_differentiable(self) -> bool:
        """Whether torch can follow the log-likelihood's gradient, as far as some draws of the prior tell.

        Example:
            >>> from torch.distributions import Normal
            >>> Target(lambda x: -(x.detach() ** 2), Normal(torch.tensor(0.0).double(), 1.0)).is_differentiable
            False
        """
        return not self._no_gradient

    def require_gradient(self) -> None:
        """Refuse to go on where `is_differentiable` is false.

        Raises:
            ValueError: with what went wrong.
        """
        if self._no_gradient:
            raise ValueError(
                f"log_likelihood has no gradient in torch ({self._no_gradient}); the methods nested and naive need none"
            )

    def constrain(self, points: Tensor) -> Parameters:
        """From real coordinates `(*, d)` to the model's own space, `(*, *event)` for each parameter."""
        self._check_width(points)
        values = self._joint_prior.constrain(points)
        return values if self.is_named else values["theta"]

    def unconstrain(self, parameters: Parameters | Values) -> Tensor:
        """From the model's own space to real coordinates, the inverse of `constrain`.

        Raises:
            ValueError: if a name is missing or unknown, or a shape does not fit.
        """
        return self._joint_prior.unconstrain({"theta": parameters} if isinstance(parameters, Tensor) else parameters)

    def log_jacobian(self, points: Tensor) -> Tensor:
        r"""$\log \lvert d\theta / du \rvert$ at points `(*, d)`, `(*)`."""
        self._check_width(points)
        return self._joint_prior.log_jacobian(points)

    def log_terms(self, points: Tensor) -> Tensor:
        """Log-likelihood and log-prior (with log-Jacobian) of unconstrained points `(N, d)`, stacked to `(2, N)`.

        NaN and `-inf` are passed on as they are; a sampler counts them and rejects the point.

        Raises:
            ValueError: if a function of the user's raises, naming the first offending point; or returns another
                shape.
        """
        self._check_width(points)
        dtype = torch.promote_types(self.dtype, points.dtype)
        return torch.stack([self._likelihood(points).to(dtype), self._log_prior(points).to(dtype)])

    def log_joint(self, points: Tensor) -> Tensor:
        """Log of the unnormalised posterior density at unconstrained points `(N, d)`, `(N,)`."""
        return self.log_terms(points).sum(0)

    def pointwise(self, points: Tensor) -> Tensor:
        """The log-likelihood of each observation at unconstrained points `(N, d)`, `(N, M)`.

        Raises:
            ValueError: if the target was made without it, or it does not sum to `log_likelihood`.
        """
        if self._pointwise is None:
            raise ValueError(
                "this target has no pointwise log-likelihood; make it with Target(..., pointwise=function)"
            )
        values = self._joint_prior.constrain(points)
        terms = _guarded("pointwise", self._call(self._pointwise), values, ndim=2)
        whole = _guarded("log_likelihood", self._call(self._log_likelihood), values)
        apart = (terms.sum(-1) - whole).abs()
        worst = float((apart / (1 + whole.abs())).nan_to_num(0.0, 0.0, 0.0).max())
        if worst > 1e-4:
            raise ValueError(
                f"pointwise sums to another log-likelihood: they differ by up to {float(apart.max()):.3g} nats"
            )
        return terms

    def sample_prior(self, count: int, *, generator: Generator | None = None) -> Tensor:
        """Unconstrained points of the prior, `(count, d)`."""
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        with seeded(generator):
            return self._joint_prior.unconstrain(self._joint_prior.sample(count)).to(self.dtype)

    def watched(self, callback: Callable[[int], None]) -> "Target":
        """The same target, which tells `callback` at how many points its log-likelihood is asked for.

        Example:
            >>> from torch.distributions import Normal
            >>> asked = []
            >>> target = Target(lambda x: -(x**2), Normal(torch.tensor(0.0).double(), 1.0)).watched(asked.append)
            >>> target.log_joint(torch.zeros(5, 1).double()).shape, asked
            (torch.Size([5]), [5])
        """

        def log_likelihood(*point: Tensor, **named: Tensor) -> Tensor:
            callback(len(point[0] if point else next(iter(named.values()))))
            return self._log_likelihood(*point, **named)

        watched = copy(self)
        watched._log_likelihood = log_likelihood
        return watched

    def __repr__(self) -> str:
        """The dimension and the names."""
        return f"Target(dim={self.dim}, parameters={', '.join(self.names)})"

    def _call(self, function: Callable[..., Tensor]) -> Callable[[Values], Tensor]:
        return (lambda values: function(**values)) if self.is_named else (lambda values: function(values["theta"]))

    def _check_width(self, points: Tensor) -> None:
        if points.ndim < 1 or points.shape[-1] != self.dim:
            raise ValueError(f"points have shape {tuple(points.shape)}; expected (*, d) = (*, {self.dim})")

    def _log_prior(self, points: Tensor) -> Tensor:
        values = self._joint_prior.constrain(points)
        return _guarded("the prior", self._joint_prior.log_prob, values) + self._joint_prior.log_jacobian(points)

    def _likelihood(self, points: Tensor) -> Tensor:
        values = self._joint_prior.constrain(points)
        return _guarded("log_likelihood", self._call(self._log_likelihood), values)

    def _check_prior(self, probe: Tensor) -> None:
        log_prior = self._log_prior(probe)
        if not bool(log_prior.isfinite().all()):
            raise ValueError(
                f"draws of the prior have log-densities {log_prior.tolist()}: it is improper, or not a density"
            )

    def _widen(self, probe: Tensor) -> None:
        """Compute in the wider precision of prior and likelihood."""
        found = self._likelihood(probe).dtype
        self.dtype = torch.promote_types(probe.dtype, found)
        if self.dtype != probe.dtype:
            try:
                self.log_terms(probe.to(self.dtype))
            except ValueError as error:
                mixed = f"the prior is in {probe.dtype} and log_likelihood returns {found}"
                raise ValueError(f"{mixed}, which do not mix here; give both {self.dtype}: {error}") from error

    def _check(self, probe: Tensor) -> None:
        """Try the likelihood with torch's own checks, which may refuse parameters at some draws, but not at all."""
        call = self._call(self._log_likelihood)

        def refusal(points: Tensor) -> ValueError | None:
            try:
                with validation(True):
                    call(self._joint_prior.constrain(points))
            except ValueError as error:
                return error
            return None

        if refusal(probe) is None:
            return
        errors = [refusal(point) for point in probe[:, None]]
        for point, value, error in zip(probe, self._likelihood(probe), errors, strict=True):
            if error is not None and is_refused_value(error) and bool(value.isfinite()):
                raise ValueError(_outside(error, self._joint_prior.constrain(point[None]))) from error
        if all(errors):
            raise ValueError(f"log_likelihood raised ValueError at every draw of the prior: {errors[0]}") from errors[0]

    def _try_gradient(self, probe: Tensor) -> str:
        """Why torch cannot follow the likelihood's gradient; empty if it can, or the likelihood is constant."""
        try:
            with torch.enable_grad():
                values = self._likelihood(probe.detach().clone().requires_grad_())
        except ValueError as error:
            return str(error).partition("\n")[0].partition("; first at ")[0]
        finite = values[values.isfinite()]
        if values.requires_grad or not bool((finite != finite[:1]).any()):
            return ""
        return "its result does not require grad"


def _by_name(prior: Distribution | Mapping[str, Factor]) -> dict[str, Factor]:
    return dict(prior) if isinstance(prior, Mapping) else {"theta": prior}


def _guarded(what: str, function: Callable[[Values], Tensor], values: Values, *, ndim: int = 1) -> Tensor:
    count = next(iter(values.values())).shape[0]
    try:
        with validation(False):
            result = function(values)
    except Exception as error:
        raise ValueError(_blame(what, function, values, error)) from error
    kind: object = result
    if not isinstance(kind, Tensor) or kind.ndim != ndim or kind.shape[0] != count:
        shape = tuple(kind.shape) if isinstance(kind, Tensor) else type(kind).__name__
        wanted = f"({count},)" if ndim == 1 else f"({count}, M)"
        raise ValueError(
            f"{what} returned {shape} for {count} points; expected {wanted}: it must take a batch of points "
            "(torch.vmap makes such a function of one that takes a single point)"
        )
    return result


def _blame(what: str, function: Callable[[Values], Tensor], values: Values, error: Exception) -> str:
    count = next(iter(values.values())).shape[0]
    for i in range(count):
        one = {name: value[i : i + 1] for name, value in values.items()}
        try:
            with validation(False):
                function(one)
        except Exception as again:
            return f"{what} raised {type(again).__name__}: {again}; first at {_point(one)}"
    return f"{what} raised {type(error).__name__}: {error}; on a batch of {count} points, but on none of them alone"


def _outside(error: ValueError, values: Values) -> str:
    found = re.search(r"within the support \((.*?)\) of the distribution (\w+)", str(error), re.DOTALL)
    where = f"{found[2]}'s support, {found[1]}" if found else "a distribution's support"
    point = _point({name: value.detach() for name, value in values.items()})
    return (
        f"log_likelihood takes the density of a value outside {where}; first at {point}. Return -inf there, as with "
        "torch.where: unchecked, torch gives such a value a density (validate_args=False where yours is right)"
    )


def _point(values: Values) -> str:
    return ", ".join(f"{name} = {value[0].tolist()}" for name, value in values.items())
