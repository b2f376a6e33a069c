r"""The variational free energy of a network with random weights: one bound for a whole data set, from minibatches.

Expectation: $\log p(D) = \log \mathbb{E}_{q(w)}[p(D \mid w) \, p(w) / q(w)]$ with
$p(D \mid w) = \prod_{n=1}^{N} p(y_n \mid x_n, w)$. The weights are the latents, and there is one draw of them for all
data.

$$-F = \mathbb{E}_{q(w)}\Big[\sum_{n=1}^{N} \log p(y_n \mid x_n, w)\Big] - \mathrm{KL}(q(w) \,\|\, p(w))
\le \log p(D)$$

A minibatch of $B$ data stands for all $N$: its log-likelihood is *summed* over the data and scaled by $N / B$, the
divergence is *summed* over the weights and counts once. Objectives are in nats per datum, so everything is divided by
$N$: the mean log-likelihood of the minibatch minus $\mathrm{KL} / N$. Over the $M$ minibatches of an epoch the
divergence then counts $M / N$ times, as often as the likelihood of each datum does ($\pi_i = 1 / M$);
`schedules.BlundellWeights` distributes it otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from jensen._contracts import LogWeights, Pairs
from jensen.training.objectives import Variational

__all__ = ["FreeEnergy"]

Model = Any
Bound = Any


@dataclass(frozen=True)
class FreeEnergy:
    r"""Minus the variational free energy, in nats per datum: the bound on the evidence of a data set, divided by $N$.

    $$\frac{-F}{N} = \frac{1}{B} \sum_{b=1}^{B} \frac{1}{K} \sum_{k=1}^{K} \log p(y_b \mid x_b, w_k)
    - \frac{1}{N} \mathrm{KL}(q(w) \,\|\, p(w)), \qquad w_k \sim q(w)$$

    The mean over $K$ draws, where the paper on Bayes by Backprop has their sum: the weight of the divergence does not
    depend on $K$. In expectation over minibatches it is the bound of the whole data set, for `Variational`. With a
    bound that is not linear in the log-weights, such as `ImportanceWeighted`, that is so for the whole data set as one
    batch only; a minibatch then gives the bound of that minibatch repeated $N / B$ times.

    Attributes:
        data: the number $N$ of data in the training set, not in a minibatch.
        bound: an objective on log-weights. `Variational(analytic_kl=True)` takes the divergence in closed form and a
            likelihood with whatever noise the layers make, one value for each datum; any other draws weights, with the
            same value for each datum of a minibatch; `Estimated` takes the gradient by an estimator of `gradients`.

    Raises:
        ValueError: if there are no data; when called, if the model has no random weights or no closed form of their
            divergence.

    Example:
        >>> FreeEnergy(60_000)
        FreeEnergy(data=60000, bound=Variational(samples=1, analytic_kl=True))

    References:
        | Weight Uncertainty in Neural Networks (Blundell et al., 2015), eq. 2
        | https://arxiv.org/abs/1505.05424
    """

    data: int
    bound: Bound = field(default_factory=lambda: Variational(samples=1, analytic_kl=True))

    def __post_init__(self) -> None:
        """Refuse an evidence of nothing."""
        if self.data < 1:
            raise ValueError(f"data is the number of data in the training set, at least 1, got {self.data}")

    @property
    def samples(self) -> int:
        """The draws of the weights for each minibatch."""
        return int(getattr(self.bound, "samples", 1))

    def __call__(self, model: Model, batch: Pairs, *, kl_weight: float | Tensor = 1.0) -> Tensor:
        """The bound in nats per datum, `(B,)`; its mean is the minibatch's estimate."""
        if getattr(self.bound, "analytic_kl", False):
            _check_methods(model, "log_likelihood", "kl")
            value: Tensor = self.bound(_Analytic(model, self.data), batch, kl_weight=kl_weight)
            return value
        _check_methods(model, "log_weights")
        whole: Tensor = self.bound(_Drawn(model, self.data), batch, kl_weight=kl_weight)  # (1,)
        return (whole / self.data).expand(len(batch))


class _Terms(NamedTuple):
    """What a bound with a divergence in closed form reads: log-weights of the likelihood alone, and `(1, B)`."""

    log_weights: LogWeights
    kl: Tensor


@dataclass(frozen=True)
class _Analytic:
    """The model as one whose every datum has an equal share of the divergence."""

    model: Model
    data: int

    def infer(self, batch: Pairs, samples: int) -> "_Terms":
        """Both terms, from one pass over the weights where the model offers it."""
        if not hasattr(self.model, "log_likelihood_and_kl"):
            return _Terms(self.log_weights(batch, samples), self.kl(batch).unsqueeze(0))
        try:
            log_likelihood, kl = self.model.log_likelihood_and_kl(batch, samples)
        except ValueError:
            _kl(self.model, self.data)
            raise
        return _Terms(_likelihood_alone(log_likelihood), (kl / self.data).expand(1, len(batch)))

    def log_weights(self, batch: Pairs, samples: int) -> LogWeights:
        """The likelihood alone, `(K, B)`; the rest is `kl`."""
        return _likelihood_alone(self.model.log_likelihood(batch, samples))

    def kl(self, batch: Pairs) -> Tensor:
        """The share of each datum in the divergence, `(B,)`."""
        return (_kl(self.model, self.data) / self.data).expand(len(batch))


@dataclass(frozen=True)
class _Drawn:
    """The model with its minibatches scaled to the data set."""

    model: Model
    data: int

    def log_weights(self, batch: Pairs, samples: int, **options: Any) -> LogWeights:
        """Log-weights of the whole data set, `(K, 1)`."""
        log_weights: LogWeights = self.model.log_weights(batch, samples, data=self.data, **options)
        return log_weights

    def posterior(self, batch: Pairs) -> Any:
        """The distribution of the weights, batch `(1,)`; the data have no part in it."""
        _check_methods(self.model, "posterior", "cost")
        return self.model.posterior()

    def kl(self, batch: Pairs, *, posterior: Any = None) -> Tensor:
        """The whole divergence, `(1,)`."""
        return _kl(self.model, self.data).reshape(1)

    def expected_cost(self, batch: Pairs, estimator: Callable[..., Tensor], *, posterior: Any) -> Tensor:
        """Minus the expected log-likelihood of the whole data set, `(1,)`, by an estimator of `gradients`."""
        return estimator(self.model.cost(batch, data=self.data), posterior)


def _likelihood_alone(log_likelihood: Tensor) -> LogWeights:
    nothing = log_likelihood.new_zeros(())
    return LogWeights(log_likelihood, nothing, nothing)


def _kl(model: Model, data: int) -> Tensor:
    try:
        kl: Tensor = model.kl()
    except ValueError as error:
        raise ValueError(f"{error}; draw it instead: FreeEnergy({data}, bound=Variational())") from error
    return kl


def _check_methods(model: Model, *names: str) -> None:
    if missing := [name for name in names if not hasattr(model, name)]:
        raise ValueError(
            f"{type(model).__name__} has no {' and no '.join(missing)}; the free energy needs random weights: "
            "models.BayesianNetwork(network, likelihood=...)"
        )
