r"""What a network's output says about its target, and predictions that average over draws of the weights.

$$p(y \mid x, D) = \mathbb{E}_{q(w)}[p(y \mid x, w)] \approx \frac{1}{K} \sum_{k=1}^{K} p(y \mid x, w_k)$$

The uncertainty of the mixture $\bar p = \frac{1}{K} \sum_k p_k$ has two parts: first the *aleatoric*, what each draw is
unsure of, then the *epistemic*, what the draws disagree on.

$$H[\bar p] = \frac{1}{K} \sum_k H[p_k] + \frac{1}{K} \sum_k \mathrm{KL}(p_k \,\|\, \bar p), \qquad
\mathrm{Var}[y] = \frac{1}{K} \sum_k \sigma_k^2 + \mathrm{Var}_k[\mu_k]$$

The last term of the entropy is the mutual information $I(y; w)$ of target and weights.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Normal

from jensen._math import HALF_LOG_TWO_PI, log_mean_exp

__all__ = ["CategoricalLikelihood", "GaussianLikelihood", "Likelihood", "Prediction"]


class Likelihood(Protocol):
    """What turns a network's outputs into log-probabilities of targets, and into predictions."""

    def log_prob(self, outputs: Tensor, targets: Tensor) -> Tensor:
        r"""$\log p(y_b \mid x_b, w_k)$ in nats, `(K, B)`, of outputs `(K, B, *out)`."""
        ...

    def predict(self, outputs: Tensor) -> "Prediction":
        """The mixture over the K draws."""
        ...

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse targets that have no probability, whatever the outputs."""
        ...


@dataclass(frozen=True, eq=False)
class Prediction:
    r"""The predictive distribution of each input: a mixture of K draws, its mean, and the parts of its uncertainty.

    Attributes:
        mean: class probabilities `(B, C)`, or the predictive mean `(B, *out)`.
        aleatoric: what each draw is unsure of, on average: entropy in nats `(B,)`, or variance `(B, *out)`.
        epistemic: what the draws disagree on: mutual information $I(y; w)$ in nats `(B,)`, or variance `(B, *out)`.
        draws: the K distributions that are mixed, batch `(K, B)` or `(K, B, *out)`.

    Example:
        >>> sure_but_at_odds = torch.tensor([[[3.0, -3.0]], [[-3.0, 3.0]]])
        >>> prediction = CategoricalLikelihood().predict(sure_but_at_odds)
        >>> prediction.mean, prediction.aleatoric, prediction.epistemic
        (tensor([[0.5000, 0.5000]]), tensor([0.0173]), tensor([0.6758]))

    References:
        | Decomposition of Uncertainty in Bayesian Deep Learning (Depeweg et al., 2018), section 3
        | https://arxiv.org/abs/1710.07283
    """

    mean: Tensor
    aleatoric: Tensor
    epistemic: Tensor
    draws: Distribution

    @property
    def total(self) -> Tensor:
        """`aleatoric + epistemic`: the entropy in nats `(B,)`, or the variance `(B, *out)`, of the mixture."""
        return self.aleatoric + self.epistemic

    @property
    def samples(self) -> int:
        """The number K of draws."""
        return int(self.draws.batch_shape[0])

    @property
    def standard_error(self) -> Tensor:
        r"""Monte Carlo error of `mean`, the deviation between draws over $\sqrt{K}$; NaN for one draw."""
        each = self.draws.probs if isinstance(self.draws, Categorical) else self.draws.mean
        return each.std(0) / math.sqrt(self.samples) if self.samples > 1 else torch.full_like(self.mean, math.nan)

    def log_prob(self, targets: Tensor) -> Tensor:
        r"""$\log \frac{1}{K} \sum_k p(y_b \mid x_b, w_k)$ in nats, `(B,)`.

        Args:
            targets: class labels `(B,)`, or numbers of the mean's shape; `(B,)` also where that is `(B, 1)`.

        Raises:
            ValueError: if the targets do not fit the mean.
        """
        if isinstance(self.draws, Categorical):
            _check_labels(targets, tuple(self.mean.shape))
            return log_mean_exp(self.draws.log_prob(targets))  # type: ignore[no-untyped-call]
        log_prob = self.draws.log_prob(_shaped(targets, self.mean))  # (K, B, *out)
        return log_mean_exp(log_prob.flatten(2).sum(-1) if log_prob.ndim > 2 else log_prob)


class CategoricalLikelihood(nn.Module):
    r"""Classes whose log-odds are the network's output, $p(y \mid x, w) = \mathrm{softmax}(f_w(x))_y$.

    Example:
        >>> likelihood = CategoricalLikelihood()
        >>> likelihood.log_prob(torch.zeros(2, 3, 10), torch.tensor([0, 9, 4]))[0]
        tensor([-2.3026, -2.3026, -2.3026])
    """

    def log_prob(self, outputs: Tensor, targets: Tensor) -> Tensor:
        r"""$\log p(y_b \mid x_b, w_k)$ in nats, `(K, B)`.

        Args:
            outputs: log-odds up to a constant, `(K, B, C)`.
            targets: labels in $0, \ldots, C - 1$, long `(B,)`.

        Raises:
            ValueError: if the shapes do not fit or the labels are not long.
        """
        _check_labels(targets, tuple(outputs.shape[1:]))
        log_p = _full(outputs).log_softmax(-1)
        return log_p.gather(-1, targets.expand(log_p.shape[:-1]).unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def predict(self, outputs: Tensor) -> Prediction:
        """The mean of the class probabilities over draws `(K, B, C)`, with entropy and mutual information."""
        log_p = _full(outputs).log_softmax(-1)  # (K, B, C)
        p, log_mean = log_p.exp(), log_mean_exp(log_p)
        gain = torch.where(p > 0, p * (log_p - log_mean), 0.0)
        return Prediction(
            mean=log_mean.exp(),
            aleatoric=torch.special.entr(p).sum(-1).mean(0),
            epistemic=gain.sum(-1).mean(0).clamp_min(0.0),
            draws=Categorical(logits=log_p, validate_args=False),
        )

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse labels of no class.

        Raises:
            ValueError: if the targets are not long `(B,)`, or a label is no index of an output.
        """
        classes = outputs.shape[-1]
        _check_labels(targets, (len(targets), *outputs.shape[2:]))
        low, high = (int(label) for label in targets.aminmax())
        if low < 0 or high >= classes:
            raise ValueError(f"labels lie in [{low}, {high}], but the network has {classes} outputs, one for a class")


class GaussianLikelihood(nn.Module):
    r"""Numbers with Gaussian noise around the network's output, $p(y \mid x, w) = \mathcal{N}(y; f_w(x), \sigma^2)$.

    Args:
        scale: `"learned"`, a free $\sigma$ that starts at one; `"conditional"`, a $\sigma(x)$ from the network, whose
            last axis holds the means and then as many $\log \sigma$; or a positive number, held fixed.
        outputs: how many $\sigma$ are learned: 1 for all entries of $y$, or one for each.

    Raises:
        ValueError: if `scale` is none of these, or `outputs` is below 1.

    Example:
        >>> GaussianLikelihood(scale=2.0).log_prob(torch.zeros(1, 3, 1), torch.zeros(3))
        tensor([[-1.6121, -1.6121, -1.6121]])
    """

    def __init__(self, *, scale: str | float = "learned", outputs: int = 1) -> None:
        super().__init__()
        if outputs < 1:
            raise ValueError(f"outputs must be at least 1, got {outputs}")
        known = scale in ("learned", "conditional") if isinstance(scale, str) else 0 < scale < math.inf
        if not known:
            raise ValueError(f"scale is {scale!r}; give 'learned', 'conditional' or a positive number")
        self.scale = scale
        if scale == "learned":
            self.log_scale = nn.Parameter(torch.zeros(outputs))

    def log_prob(self, outputs: Tensor, targets: Tensor) -> Tensor:
        r"""$\log p(y_b \mid x_b, w_k)$ in nats, `(K, B)`, summed over the entries of $y$.

        Args:
            outputs: `(K, B, *out)`.
            targets: `(B, *out)`, with half of the last axis where the scale is conditional; `(B,)` also for one entry.

        Raises:
            ValueError: if the shapes do not fit.
        """
        mean, log_scale = self._moments(outputs)
        noise = (_shaped(targets, mean[0]) - mean) * torch.exp(-log_scale)
        log_prob = -0.5 * noise.square() - log_scale - HALF_LOG_TWO_PI
        return log_prob.flatten(2).sum(-1) if log_prob.ndim > 2 else log_prob

    @torch.no_grad()
    def predict(self, outputs: Tensor) -> Prediction:
        """The mixture of Gaussians over draws `(K, B, *out)`, with the parts of its variance."""
        mean, log_scale = self._moments(outputs)
        variance = (2 * log_scale).exp().expand_as(mean)
        return Prediction(
            mean=mean.mean(0),
            aleatoric=variance.mean(0),
            epistemic=mean.var(0, correction=0),
            draws=Normal(mean, variance.sqrt(), validate_args=False),
        )

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse targets of another shape than the mean.

        Raises:
            ValueError: naming both shapes.
        """
        mean, _ = self._moments(outputs)
        _shaped(targets, mean[0].new_empty(()).expand(len(targets), *mean.shape[2:]))

    def extra_repr(self) -> str:
        """The kind of scale."""
        return f"scale={self.scale!r}"

    def _moments(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        outputs = _full(outputs)
        if self.scale == "learned":
            if len(self.log_scale) > 1 and (outputs.ndim < 3 or outputs.shape[-1] != len(self.log_scale)):
                raise ValueError(f"{len(self.log_scale)} scales do not fit outputs of shape {tuple(outputs.shape)}")
            return outputs, self.log_scale
        if not isinstance(self.scale, str):
            return outputs, outputs.new_full((1,), math.log(self.scale))
        if outputs.ndim < 3 or outputs.shape[-1] % 2:
            raise ValueError(
                f"outputs of shape {tuple(outputs.shape)} are not means and log-scales; give (K, B, 2 D) for a"
                " conditional scale"
            )
        mean, log_scale = outputs.chunk(2, dim=-1)
        return mean, log_scale


def _full(outputs: Tensor) -> Tensor:
    """Outputs in a precision that densities can be taken in, also where autocast multiplies in a lower one."""
    return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs


def _shaped(targets: Tensor, mean: Tensor) -> Tensor:
    """Targets of the mean's shape, without broadcasting any."""
    expected = tuple(mean.shape)
    if tuple(targets.shape) == expected:
        return targets
    if targets.ndim == 1 and expected == (len(targets), 1):
        return targets.unsqueeze(-1)
    raise ValueError(f"targets of shape {tuple(targets.shape)} do not fit outputs for targets of shape {expected}")


def _check_labels(targets: Tensor, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or tuple(targets.shape) != shape[:1]:
        raise ValueError(
            f"labels of shape {tuple(targets.shape)} do not fit outputs of shape {shape}; give (B,) and (B, classes)"
        )
    if targets.dtype != torch.long:
        raise ValueError(f"labels must be long, got {targets.dtype}; use targets.long()")
