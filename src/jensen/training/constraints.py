r"""Constrained training: the least divergence at which a model is as faithful as it was asked to be.

Expectation: $\mathbb{E}_{q(z \mid x)}[C(x, z)]$, which training drives to zero.

$$\min_{\theta, \phi} \; \mathbb{E}\big[\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))\big] \quad \text{such that} \quad
\mathbb{E}[C(x, z)] \le 0, \qquad C = \text{error} - \text{tolerance}$$

A constraint is a callable `constraint(x, inference) -> (B,)`: error *minus* tolerance, so that it is negative where the
model does better than asked. `inference` is what `model.infer(x, samples)` gives, so any model with `infer` can be
trained under any constraint. Its attribute `scale`, a positive number and 1 where there is none, is the size of a
violation that counts as large: the tolerance itself for an error.

References:
    | Taming VAEs (Rezende & Viola, 2018)
    | https://arxiv.org/abs/1810.00597
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jensen import bounds
from jensen._contracts import Inference, check_samples
from jensen.training.objectives import _worth

__all__ = ["CONSTRAINTS", "Constrained", "NegativeLogLikelihood", "PixelError", "ReconstructionError"]

Model = Any
Constraint = Callable[[Tensor, Inference], Tensor]

LARGE = 0.1
"""A violation counts as this much of the constraint's scale at most."""

LARGEST = 23.0
"""The multiplier in units of the scale stays between exp(-23) and exp(23), about 1e-10 and 1e10."""


@dataclass(frozen=True)
class ReconstructionError:
    r"""Squared error of the pixel means, summed over the pixels, minus $\kappa^2$.

    $$C(x, z) = \|x - g(z)\|^2 - \kappa^2, \qquad g(z) = \mathbb{E}_{p(x \mid z)}[x]$$

    Attributes:
        kappa: the tolerance $\kappa$, in the units of the pixels' Euclidean norm.

    Raises:
        ValueError: if the tolerance is not positive.

    Example:
        >>> ReconstructionError(kappa=2.0).scale
        4.0

    References:
        | Taming VAEs (Rezende & Viola, 2018)
        | https://arxiv.org/abs/1810.00597
    """

    kappa: float

    def __post_init__(self) -> None:
        """Refuse to ask for less than no error."""
        check_tolerance(self.kappa)

    @property
    def scale(self) -> float:
        r"""$\kappa^2$."""
        return self.kappa**2

    def __call__(self, x: Tensor, inference: Inference) -> Tensor:
        """The violation at each datum, mean over the draws, `(B,)`."""
        return squared_error(x, inference).sum(-1).mean(0) - self.scale


@dataclass(frozen=True)
class PixelError:
    r"""Squared error of the pixel means, mean over the pixels, minus $\kappa^2$: $\kappa$ is a root mean square.

    Attributes:
        kappa: the tolerance $\kappa$, in the units of one pixel.

    Raises:
        ValueError: if the tolerance is not positive.

    Example:
        >>> PixelError(kappa=0.1)
        PixelError(kappa=0.1)
    """

    kappa: float

    def __post_init__(self) -> None:
        """Refuse to ask for less than no error."""
        check_tolerance(self.kappa)

    @property
    def scale(self) -> float:
        r"""$\kappa^2$."""
        return self.kappa**2

    def __call__(self, x: Tensor, inference: Inference) -> Tensor:
        """The violation at each datum, mean over the draws, `(B,)`."""
        return squared_error(x, inference).mean(-1).mean(0) - self.scale


@dataclass(frozen=True)
class NegativeLogLikelihood:
    r"""Minus the log-likelihood given the latents, minus $\kappa$ nats.

    $$C(x, z) = -\log p(x \mid z) - \kappa$$

    At the multiplier $\lambda$ the gradient is, up to the factor $\lambda$, that of the bound whose divergence weighs
    $\beta = 1 / \lambda$: constrained training finds the weight at which a beta-VAE is that faithful.

    Attributes:
        kappa: the tolerance $\kappa$ in nats; of a density it may be negative.

    Raises:
        ValueError: if the tolerance is not finite.

    Example:
        >>> NegativeLogLikelihood(kappa=70.0).scale, NegativeLogLikelihood(kappa=-0.5).scale
        (70.0, 1.0)
    """

    kappa: float

    def __post_init__(self) -> None:
        """Refuse a tolerance that is no number."""
        if not math.isfinite(self.kappa):
            raise ValueError(f"kappa is a tolerance in nats, got {self.kappa}")

    @property
    def scale(self) -> float:
        r"""$|\kappa|$, one nat at least."""
        return max(1.0, abs(self.kappa))

    def __call__(self, x: Tensor, inference: Inference) -> Tensor:
        """The violation at each datum, mean over the draws, `(B,)`."""
        return -inference.log_weights.log_likelihood.mean(0) - self.kappa


CONSTRAINTS: Mapping[str, Callable[[float], Constraint]] = {
    "reconstruction": ReconstructionError,
    "pixel": PixelError,
    "likelihood": NegativeLogLikelihood,
}
"""The constraints that a tolerance is all there is to, by the name that recipes call them."""


class Constrained(nn.Module):
    r"""GECO: the evidence lower bound as its value, the gradient of a Lagrangian that finds its own multiplier.

    $$L(\theta, \phi; \lambda) = \mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z)) + \lambda \, \mathbb{E}_q[C(x, z)]$$

    Training descends $L$ in the parameters. Every step then raises $\lambda$ where the constraint is violated and
    lowers it where it is met with room to spare, by the moving average of its mean over the batch,

    $$C_\mathrm{ma} \leftarrow \alpha C_\mathrm{ma} + (1 - \alpha) C^t, \qquad
    \log \lambda \leftarrow \log \lambda + \nu \, \mathrm{clip}(C_\mathrm{ma} / s, -0.1, 0.1)$$

    The multiplier is read, the surrogate built, and then both are updated: an update before the reading would tie the
    multiplier to the very batch whose gradient it weighs. Without a gradient (validation) nothing is updated. Under the
    logarithm $\lambda$ stays positive.

    The paper multiplies $\lambda$ by the exponential of the constraint itself; where an error is summed over 784 pixels
    that overflows within a few steps. Here a violation counts in units of the constraint's `scale` $s$, as does
    $\lambda$ at the start, so that a constraint and a thousand times that constraint take the same course. It counts as
    a tenth of $s$ at most, so that $\lambda$ winds up no faster while the networks are still untrained than it unwinds
    afterwards. A tolerance that the model cannot meet lets $\lambda$ rise until training ends.

    With the log-likelihood of Gaussian pixels of variance $\sigma^2$, a beta-VAE of weight
    $\beta = 1 / (2 \sigma^2 \lambda)$ has the optima of `ReconstructionError`: $1 / \lambda$ where $\sigma^2 = 1 / 2$.

    Keep the learning rate above zero to the end, at a tenth of its start for example: networks that have stopped no
    longer follow their multiplier, which then drifts from the one that they are optimal for.

    What neither the divergence nor the constraint depends on does not learn: under `ReconstructionError` the scale of
    Gaussian pixels stays where it is, so fix it.

    The state is in buffers: checkpoints keep it, several processes share it, and a second `fit` with the same object
    goes on from it.

    Args:
        constraint: `(x, inference) -> (B,)`, error minus tolerance, such as `ReconstructionError(kappa)`.
        samples: draws for each datum.
        alpha: decay $\alpha$ of the moving averages, which start at the first batch.
        rate: $\nu$; ten steps change the multiplier by a factor of at most $e^\nu$.
        initial: the multiplier at the start, times the constraint's scale: nats of divergence that a violation as large
            as the tolerance is worth.
        warm_start: steps before the multiplier moves, in which the networks settle.

    Raises:
        ValueError: if a number is out of range; when called, if the model has no `infer` or the constraint is not of
            shape `(B,)`.

    Example:
        >>> objective = Constrained(ReconstructionError(kappa=2.0), rate=1.0)
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 2), decoder=GaussianMLP(2, (), 16, scale=0.5), latent=2)
        >>> objective(vae, torch.full((3, 16), 5.0)).shape
        torch.Size([3])
        >>> round(objective.multiplier.item(), 4)
        2.7629

    References:
        | Taming VAEs (Rezende & Viola, 2018), algorithm 1
        | https://arxiv.org/abs/1810.00597
    """

    averages: Tensor
    log_multiplier: Tensor
    updates: Tensor

    def __init__(
        self,
        constraint: Constraint,
        *,
        samples: int = 1,
        alpha: float = 0.99,
        rate: float = 0.02,
        initial: float = 10.0,
        warm_start: int = 0,
    ) -> None:
        super().__init__()
        check_samples(samples)
        self.constraint, self.samples = constraint, samples
        _check_numbers(alpha=alpha, rate=rate, initial=initial, warm_start=warm_start, scale=self.scale)
        self.alpha, self.rate, self.initial, self.warm_start = alpha, rate, initial, warm_start
        self.register_buffer("averages", torch.zeros(2))
        self.register_buffer("log_multiplier", torch.tensor(math.log(initial)))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def scale(self) -> float:
        """The violation that counts as one."""
        return float(getattr(self.constraint, "scale", 1.0))

    @property
    def multiplier(self) -> Tensor:
        r"""$\lambda$, a scalar."""
        return self.log_multiplier.exp() / self.scale

    @property
    def moving_average(self) -> Tensor:
        r"""$C_\mathrm{ma}$, a scalar in the units of the constraint."""
        return self.averages[0]

    def monitor(self) -> dict[str, float]:
        """The moving averages of the divergence and of the constraint, the latter also in its scale; the multiplier."""
        constraint, kl, multiplier = torch.cat([self.averages, self.multiplier[None]]).tolist()
        return {"kl": kl, "constraint": constraint, "violation": constraint / self.scale, "multiplier": multiplier}

    def forward(self, model: Model, x: Tensor, *, share: float = 1.0) -> Tensor:
        """The bound on each datum in nats, `(B,)`; `share` weighs this process's mean among those of all."""
        if not hasattr(model, "infer"):
            raise ValueError(f"{type(model).__name__} has no infer(x, samples), which constraints are made of")
        inference = model.infer(x, self.samples)
        kl = inference.kl.mean(0)  # (B,)
        bound = bounds.sgvb_b(inference.log_weights.log_likelihood, kl)
        if not torch.is_grad_enabled():
            return bound
        violation = self.constraint(x, inference)
        if violation.shape != kl.shape:
            shapes = f"{tuple(violation.shape)}, expected {tuple(kl.shape)}"
            raise ValueError(f"the constraint has shape {shapes}: one violation for each datum")
        lagrangian = kl + self.multiplier * violation
        if _processes() > 1:
            lagrangian = lagrangian + 0.0 * bound  # each parameter has a gradient then, which DDP waits for
        value = _worth(bound, -lagrangian)
        self._update(torch.stack([violation.mean(), kl.mean()]).detach(), share)
        return value

    @torch.no_grad()
    def _update(self, means: Tensor, share: float) -> None:
        """Move on by the batch's mean violation and divergence; a number that is not finite passes by."""
        seen = _over_processes(means.to(self.averages.dtype) * share)
        seen = torch.where(torch.isfinite(seen), seen, self.averages)
        self.averages.lerp_(seen, torch.where(self.updates == 0, 1.0, 1.0 - self.alpha))
        step = self.rate * (self.averages[0] / self.scale).clamp(-LARGE, LARGE)
        held = self.updates < self.warm_start
        self.log_multiplier.add_(step.masked_fill(held, 0.0)).clamp_(-LARGEST, LARGEST)
        self.updates += 1

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Constrained":
        """Move to a device; the state keeps its type, as a narrower one would lose small steps of the multiplier."""
        before = {name: self._buffers[name] for name in ("averages", "log_multiplier")}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, kept in before.items():
            moved = self._buffers[name]
            if kept is not None and moved is not None and kept.dtype != moved.dtype:
                self._buffers[name] = kept.to(moved.device)
        return self

    def extra_repr(self) -> str:
        """All that distinguishes two of them."""
        constraint = "" if isinstance(self.constraint, nn.Module) else f"{self.constraint}, "
        numbers = f"alpha={self.alpha}, rate={self.rate}, initial={self.initial}, warm_start={self.warm_start}"
        return f"{constraint}samples={self.samples}, {numbers}"


def squared_error(x: Tensor, inference: Inference) -> Tensor:
    """Squared difference of each pixel from its mean given the latents, `(K, B, pixels)`."""
    return (x - inference.likelihood.mean).square()


def check_tolerance(kappa: float) -> None:
    """Refuse a tolerance that is not a positive number.

    Raises:
        ValueError: naming it.
    """
    if not 0 < kappa < math.inf:
        raise ValueError(f"kappa is a tolerance, a positive number, got {kappa}")


def _over_processes(means: Tensor) -> Tensor:
    """The mean over processes of what each has weighed by its share."""
    if _processes() == 1:
        return means
    torch.distributed.all_reduce(means)
    return means / _processes()


def _processes() -> int:
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1


def _check_numbers(*, alpha: float, rate: float, initial: float, warm_start: int, scale: float) -> None:
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha is a decay, at least 0 and below 1, got {alpha}")
    for name, value in (("rate", rate), ("initial", initial), ("scale", scale)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number, got {value}")
    if abs(math.log(initial)) > LARGEST:
        raise ValueError(f"initial must lie between 1e-10 and 1e10, got {initial}")
    if warm_start < 0:
        raise ValueError(f"warm_start is a number of steps, got {warm_start}")
