r"""Training through discrete draws: a bound whose gradient any estimator of `gradients` gives, by name.

Expectation: $\mathcal{L}(x) = -\mathbb{E}_{q_\phi(z \mid x)}[f(z)] - \mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))$ with
$f(z) = -\log p_\theta(x \mid z)$. The value is that of discrete draws, whatever the method.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from jensen import bounds
from jensen.gradients.expect import expect
from jensen.gradients.multi_sample import kernel as multi_sample
from jensen.gradients.registry import Cost, get
from jensen.gradients.relax import relax_with_variance
from jensen.gradients.vimco import kernel as vimco
from jensen.training.objectives import _worth

__all__ = ["LEARNED", "MULTI_SAMPLE", "RELAXED", "Estimated"]

Model = Any

MULTI_SAMPLE: Mapping[str, int] = {"vimco": 2, "multi_sample_score_function": 1}
"""Methods that ascend the bound of several draws, `bounds.iwae`, not `bounds.elbo`, and the fewest draws of each."""

LEARNED: Mapping[str, tuple[str, ...]] = {"relax": ("control",), "rebar": ("tau", "eta")}
"""Methods that learn the model's control, and the options with which they do not."""

RELAXED = ("gumbel_softmax", "concrete")
"""Methods that evaluate the cost at relaxed draws, where it is no part of a bound on the discrete model's evidence."""

LEAST = 1e-6
"""A weight of a drawn divergence that counts as none."""

DEFAULTS: Mapping[str, Mapping[str, object]] = {"concrete": {"tau": 2 / 3}}
"""Options that an estimator asks for and that training knows a usual value of."""


@dataclass(frozen=True)
class Estimated:
    r"""The evidence lower bound of a model with discrete latents, its gradient by an estimator of `gradients`.

    $$\mathcal{L}(x) = -\frac{1}{K} \sum_k f(z_k) - \mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z)), \qquad
    f(z) = -\log p_\theta(x \mid z)$$

    The divergence is in closed form; the estimator is asked for the first term. With `vimco` and
    `multi_sample_score_function` it is the bound of K draws, `bounds.iwae`. Where the method relaxes the draws, the
    cost is evaluated once more, at discrete ones, so that the value is still the bound of the discrete model; the
    gradient is that of the relaxed cost (`gumbel_softmax`), or of the bound of the model with relaxed latents, relaxed
    divergence and all (`concrete`). Without a gradient (validation) only discrete draws are made.

    `relax` and `rebar` take the control of the model, `model.control(z, x=x, cost=f)` at the temperature
    `model.control.tau`, where it has one, such as `layers.ControlVariate`. Ascending the mean of the result then also
    descends the mean variance of the gradient in the control's parameters, and in nothing else.

    Attributes:
        method: the estimator's name, a key of `gradients.registry.ESTIMATORS` or of `MULTI_SAMPLE`, or `auto`.
        samples: draws for each datum (and, in a model with several layers, in each layer).
        options: further arguments of the estimator, such as `{"tau": 0.5}`.

    Raises:
        ValueError: if there is no such method, it needs more samples or an argument that is not there, or has no such
            option.

    Example:
        >>> Estimated("leave_one_out", samples=4)
        Estimated(method='leave_one_out', samples=4, options={})
        >>> Estimated("leave_one_out", samples=1)
        Traceback (most recent call last):
        ValueError: leave_one_out needs at least 2 samples, got 1

    References:
        | Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool et al., 2020)
        | https://arxiv.org/abs/2002.06043
    """

    method: str = "auto"
    samples: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what would fail at the first step."""
        named = self.method not in (*MULTI_SAMPLE, "auto")
        least = get(self.method).least_samples if named else MULTI_SAMPLE.get(self.method, 1)
        if self.samples < least:
            raise ValueError(f"{self.method} needs at least {least} sample{'s' * (least > 1)}, got {self.samples}")
        given = {**DEFAULTS.get(self.method, {}), **self.options}
        needs = get(self.method).needs if named and self.method not in LEARNED else ()
        if missing := [name for name in needs if name not in given]:
            raise ValueError(f"{self.method} needs {', '.join(missing)}; give it in options")
        known = _options(self.method)
        if unknown := [name for name in self.options if name not in known]:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"{self.method} has no option {', '.join(unknown)}; {takes}")

    def __call__(self, model: Model, x: Tensor, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound on each datum, `(B,)`."""
        if self.method in MULTI_SAMPLE:
            return self._multi_sample(model, x, kl_weight)
        q = model.posterior(x)
        kl = model.kl(x, posterior=q)
        if not torch.is_grad_enabled():
            return self._discrete(model, x, q, kl)
        if self._learns(model):
            return self._controlled(model, x, q, kl, kl_weight)
        if self.method == "concrete":
            return _worth(self._discrete(model, x, q, kl), self._relaxed_model(model, x, q, kl_weight))
        cost = model.expected_cost(x, self._estimator(), posterior=q)
        value = self._discrete(model, x, q, kl) if self.method in RELAXED else -cost - kl
        return _worth(value, -cost - kl_weight * kl)

    def _learns(self, model: Model) -> bool:
        """Whether the model's control is used, and learns."""
        if self.method not in LEARNED or any(name in self.options for name in LEARNED[self.method]):
            return False
        if getattr(model, "control", None) is None and get(self.method).needs:
            raise ValueError(
                f"{self.method} needs a control, and this {type(model).__name__} has none: give it a"
                " layers.ControlVariate as control=, or options one that does not learn"
            )
        return getattr(model, "control", None) is not None

    def _controlled(self, model: Model, x: Tensor, q: Distribution, kl: Tensor, kl_weight: float | Tensor) -> Tensor:
        """The bound, its gradient by the model's control, and the control's by the variance."""
        f, control = model.cost(x), model.control
        cost, variance = relax_with_variance(
            f,
            q,
            control=lambda z: control(z, x=x, cost=f),
            samples=self.samples,
            **{"tau": control.tau, **self.options},
        )
        return _worth(-cost - kl, -cost - kl_weight * kl - _descent(variance.mean(), control))

    def _estimator(self, **options: object) -> Callable[[Cost, Distribution], Tensor]:
        given = {**DEFAULTS.get(self.method, {}), **options, **self.options}
        return partial(expect, samples=self.samples, method=self.method, **given)

    def _relaxed_model(self, model: Model, x: Tensor, q: Distribution, kl_weight: float | Tensor) -> Tensor:
        r"""The bound of the model whose latents are relaxed, the prior too; its divergence is drawn with the cost.

        Weighed by $\beta$ it is $-\beta \, \mathbb{E}[f / \beta + \log q - \log p]$.
        """
        if not hasattr(model, "prior"):
            return -cast(Tensor, model.expected_cost(x, self._estimator(), posterior=q))
        estimator = self._estimator(prior=model.prior())
        beta = kl_weight.clamp_min(LEAST) if isinstance(kl_weight, Tensor) else max(kl_weight, LEAST)

        def weighted(f: Cost, q: Distribution) -> Tensor:
            return beta * estimator(lambda z: f(z) / beta, q)

        return -cast(Tensor, model.expected_cost(x, weighted, posterior=q))

    @torch.no_grad()
    def _discrete(self, model: Model, x: Tensor, q: Distribution, kl: Tensor) -> Tensor:
        """The bound at discrete draws, without a gradient."""
        return bounds.sgvb_b(model.log_weights(x, self.samples, posterior=q).log_likelihood, kl.detach())

    def _multi_sample(self, model: Model, x: Tensor, kl_weight: float | Tensor) -> Tensor:
        log_weights = model.log_weights(x, self.samples)
        value = bounds.iwae(log_weights.total.detach())
        if not torch.is_grad_enabled():
            return value
        log_q, options = log_weights.log_posterior, dict(self.options)
        kernel = vimco if self.method == "vimco" else multi_sample
        return _worth(value, kernel(log_weights.tempered(kl_weight), log_q, **options))


def _descent(variance: Tensor, control: Any) -> Tensor:
    """Zero, whose gradient is that of the variance in the control's parameters and in nothing else."""
    parameters = [parameter for parameter in control.parameters() if parameter.requires_grad]
    slopes = torch.autograd.grad(variance, parameters, retain_graph=True, allow_unused=True) if parameters else ()
    total = torch.zeros_like(variance.detach())
    for parameter, slope in zip(parameters, slopes, strict=True):
        if slope is not None:
            slope = slope.clone(memory_format=torch.contiguous_format)
            total = total + (slope * (parameter - parameter.detach())).sum()
    return total


def _options(method: str) -> list[str]:
    """The names of what an estimator takes besides f, q, the number of draws and their generator."""
    if method == "auto":
        return []
    kernels: Mapping[str, Callable[..., Tensor]] = {"vimco": vimco, "multi_sample_score_function": multi_sample}
    function = kernels[method] if method in kernels else get(method).function
    keywords = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return [name for name in keywords if name not in ("samples", "generator")]
