r"""What training ascends: a bound on $\log p(x)$ for each datum, as a small value that a run folder can write down.

An objective is a callable `(model, x, *, kl_weight=1.0) -> Tensor` that returns one bound in nats for each datum,
`(B,)`. Its value is always the bound itself. A `kl_weight` $\beta < 1$ (warm-up) changes its *gradient* only, to that
of the same bound with the log-weights $\log p(x \mid z) + \beta (\log p(z) - \log q(z \mid x))$. A plain function
`(model, x) -> (B,)` is an objective as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jensen import bounds
from jensen._contracts import LogWeights

__all__ = ["DoublyReparameterized", "ImportanceWeighted", "Renyi", "Resampled", "Variational"]

Model = Any


@dataclass(frozen=True)
class ImportanceWeighted:
    r"""`bounds.iwae` of `samples` draws for each datum: $\log \frac{1}{K} \sum_k w_k$.

    Attributes:
        samples: the number $K$ of draws.

    Raises:
        ValueError: if `samples` is below 1.

    Example:
        >>> ImportanceWeighted(samples=50)
        ImportanceWeighted(samples=50)

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8
        | https://arxiv.org/abs/1509.00519v4
    """

    samples: int = 1

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        _check_samples(self.samples)

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        log_weights = model.log_weights(x, self.samples)
        return _ascend(_iwae, log_weights, kl_weight, value=bounds.iwae)


@dataclass(frozen=True)
class Variational:
    r"""The evidence lower bound: `bounds.sgvb_a`, or `bounds.sgvb_b` where the divergence has a closed form.

    Attributes:
        samples: draws for each datum; more of them make the bound less noisy, not tighter.
        analytic_kl: take $\mathrm{KL}(q(z \mid x) \,\|\, p(z))$ from `model.infer(x, samples)`, or from `model.kl(x)`
            where there is none.

    Raises:
        ValueError: if `samples` is below 1, or (when called) the model has no `kl`.

    Example:
        >>> Variational(samples=1, analytic_kl=True)
        Variational(samples=1, analytic_kl=True)

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 6 and 7
        | https://arxiv.org/abs/1312.6114v11
    """

    samples: int = 1
    analytic_kl: bool = False

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        _check_samples(self.samples)

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        if not self.analytic_kl:
            return _ascend(bounds.sgvb_a, model.log_weights(x, self.samples), kl_weight, value=bounds.elbo)
        log_likelihood, kl = self._terms(model, x)
        bound = bounds.sgvb_b(log_likelihood, kl)
        return bound if _untempered(kl_weight) else _worth(bound, bounds.sgvb_b(log_likelihood, kl_weight * kl))

    def _terms(self, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-likelihoods `(K, B)` and divergences `(B,)`, from one pass where the model offers it."""
        if hasattr(model, "infer"):
            inference = model.infer(x, self.samples)
            return inference.log_weights.log_likelihood, inference.kl.mean(0)
        if not hasattr(model, "kl"):
            raise ValueError(f"{type(model).__name__} has no closed-form kl; use Variational(analytic_kl=False)")
        return model.log_weights(x, self.samples).log_likelihood, model.kl(x)


@dataclass(frozen=True)
class DoublyReparameterized:
    r"""`bounds.dreg`: the value of `ImportanceWeighted`, the encoder's gradient through the draws alone and less noisy.

    With one sample it is `bounds.stl`. Without a gradient (validation) it is `bounds.iwae`.

    Attributes:
        samples: the number $K$ of draws.

    Raises:
        ValueError: if `samples` is below 1.

    Example:
        >>> DoublyReparameterized(samples=64).samples
        64

    References:
        | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019), eq. 8
        | https://arxiv.org/abs/1810.04152v2
    """

    samples: int = 1

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        _check_samples(self.samples)

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        if not torch.is_grad_enabled():
            return bounds.iwae(model.log_weights(x, self.samples).total)
        log_weights = model.log_weights(x, self.samples, path_derivative=True)
        return _ascend(bounds.dreg, log_weights, kl_weight, value=bounds.iwae)


@dataclass(frozen=True)
class Resampled:
    r"""`bounds.resampled_iwae`: the value of `ImportanceWeighted`, the gradient through one draw picked by weight.

    The arithmetic of the backward pass does not grow with $K$, its noise is larger. The model must take `posterior=`
    and `noise=` in `log_weights`, so that its encoder still runs once.

    Attributes:
        samples: the number $K$ of draws.

    Raises:
        ValueError: if `samples` is below 1.

    Example:
        >>> Resampled(samples=50).samples
        50

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 3
        | https://arxiv.org/abs/1509.00519v4
    """

    samples: int = 1

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        _check_samples(self.samples)

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        if not torch.is_grad_enabled():
            return bounds.iwae(model.log_weights(x, self.samples).total)
        posterior = model.posterior(x)
        evaluated: list[LogWeights] = []

        def log_w(noise: Tensor) -> Tensor:
            evaluated.append(model.log_weights(x, len(noise), noise=noise, posterior=posterior))
            return _tempered(evaluated[-1], kl_weight).total

        bound = bounds.resampled_iwae(log_w, model.noise(x, self.samples))
        return bound if _untempered(kl_weight) else _worth(bounds.iwae(evaluated[0].total), bound)


@dataclass(frozen=True)
class Renyi:
    r"""`bounds.renyi` of order `alpha`: between `ImportanceWeighted` (0) and `Variational` (1), or past either.

    Attributes:
        samples: the number $K$ of draws.
        alpha: the order.

    Raises:
        ValueError: if `samples` is below 1.

    Example:
        >>> Renyi(samples=5, alpha=0.5)
        Renyi(samples=5, alpha=0.5)

    References:
        | Renyi Divergence Variational Inference (Li & Turner, 2016), eq. 13
        | https://arxiv.org/abs/1602.02311v3
    """

    samples: int = 1
    alpha: float = 0.5

    def __post_init__(self) -> None:
        """Refuse to train without a draw."""
        _check_samples(self.samples)

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        log_weights = model.log_weights(x, self.samples)
        return _ascend(lambda lw: self._bound(lw.total), log_weights, kl_weight, value=self._bound)

    def _bound(self, log_w: Tensor) -> Tensor:
        return bounds.renyi(log_w, alpha=self.alpha)


def _iwae(log_weights: LogWeights) -> Tensor:
    return bounds.iwae(log_weights.total)


def _ascend(
    bound: Callable[[LogWeights], Tensor],
    log_weights: LogWeights,
    kl_weight: float | Tensor,
    *,
    value: Callable[[Tensor], Tensor],
) -> Tensor:
    """The bound's value at full weight, its gradient at `kl_weight`."""
    if _untempered(kl_weight):
        return bound(log_weights)
    return _worth(value(log_weights.total.detach()), bound(_tempered(log_weights, kl_weight)))


def _untempered(kl_weight: float | Tensor) -> bool:
    return not isinstance(kl_weight, Tensor) and kl_weight == 1.0


def _tempered(log_weights: LogWeights, kl_weight: float | Tensor) -> LogWeights:
    if _untempered(kl_weight):
        return log_weights
    return log_weights._replace(
        log_prior=kl_weight * log_weights.log_prior, log_posterior=kl_weight * log_weights.log_posterior
    )


def _worth(value: Tensor, surrogate: Tensor) -> Tensor:
    return value.detach() + (surrogate - surrogate.detach())


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
