r"""What the latents know of the data, and how far all of them together are from the prior.

Expectation: $I(n; z) = \frac{1}{N} \sum_n \mathbb{E}_{q(z \mid x_n)}[\log q(z \mid x_n) - \log q(z)]$ and
$\mathrm{KL}(q(z) \,\|\, p(z))$, where $q(z) = \frac{1}{N} \sum_n q(z \mid x_n)$ is the aggregate posterior.

References:
    | ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman & Johnson, 2016)
    | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf
    | On Variational Bounds of Mutual Information (Poole, Ozair, van den Oord, Alemi & Tucker, 2019), eqs. 12 and 13
    | https://arxiv.org/abs/1905.06922
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from jensen._contracts import Indexable
from jensen.distributions import DiagonalNormal
from jensen.evaluation._setting import check_counts, draw_once, measuring, minibatches, place_of
from jensen.evaluation.results import read_result, write_result

__all__ = ["Encoding", "LatentInformation", "has_one_code", "latent_information"]

_FORMAT = "jensen-information-1"


class Encoding(Protocol):
    """A model with one latent vector: a posterior for each datum, and a prior over the same events."""

    def posterior(self, x: Tensor) -> Distribution:
        """$q(z | x)$, batch `(B,)`."""
        ...

    def prior(self) -> Distribution:
        """$p(z)$, batch `()`."""
        ...


@dataclass(frozen=True)
class LatentInformation:
    r"""The rate $\mathbb{E}_x \mathrm{KL}(q(z \mid x) \,\|\, p(z))$ in its two parts, in nats.

    Attributes:
        mutual_information: $I(n; z)$, what a latent says about which of the data it came from.
        marginal_divergence: $\mathrm{KL}(q(z) \,\|\, p(z))$ of the aggregate posterior of these data.
        leave_one_out: the same information, each datum's own posterior left out of the aggregate: above the information
            about a datum of the population, as `mutual_information` is below, both in expectation. `inf` where a
            latent lies where no other datum's posterior reaches.
        mc_error: how far other draws would move `mutual_information`.
        unit_information: $I(n; z_d)$ of each unit alone, `(D,)`; empty where the posterior has no units.
        unit_divergence: $\mathrm{KL}(q(z_d) \,\|\, p(z_d))$ of each unit alone.
        data: the number $N$ of data.
        samples: the number of draws for each.

    Example:
        >>> found = LatentInformation(2.0, 0.5, leave_one_out=2.1, data=1000)
        >>> found.rate, round(found.ceiling, 2)
        (2.5, 6.91)
        >>> LatentInformation.from_json(found.to_json()) == found
        True
    """

    mutual_information: float
    marginal_divergence: float
    leave_one_out: float = math.nan
    mc_error: float = math.nan
    unit_information: tuple[float, ...] = ()
    unit_divergence: tuple[float, ...] = ()
    data: int = 0
    samples: int = 0

    @property
    def rate(self) -> float:
        r"""$\mathbb{E}_x \mathrm{KL}(q(z \mid x) \,\|\, p(z))$: the sum of the two parts."""
        return self.mutual_information + self.marginal_divergence

    @property
    def ceiling(self) -> float:
        r"""$\log N$, which $I(n; z)$ cannot exceed: close to it the data are too few to tell."""
        return math.log(self.data)

    @property
    def upper(self) -> float:
        """The smaller of the two upper bounds on the information about a datum of the population.

        Never below `mutual_information`, where the noise of the draws could put it.
        """
        return max(self.mutual_information, min(self.rate, self.leave_one_out))

    def to_json(self) -> str:
        """Plain JSON; what is not finite is written as the string "inf", "-inf" or "nan"."""
        return write_result(self, _FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: if `text` is anything else, naming the entry at fault.
        """
        return read_result(cls, text, form=_FORMAT, what="an information")


def has_one_code(model: Any, x: Tensor) -> bool:
    """Whether `latent_information` can ask the model: it has one latent vector, with a posterior and a prior.

    Args:
        model: any model.
        x: a few data, `(B, pixels)`.

    Example:
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 2), decoder=BernoulliMLP(2, (), 16), latent=2)
        >>> has_one_code(vae, torch.zeros(1, 16)), has_one_code(vae.encoder, torch.zeros(1, 16))
        (True, False)
    """
    if not (hasattr(model, "posterior") and hasattr(model, "prior")):
        return False
    with measuring(model, 0, place_of(model)[0]):
        (_, few), *_ = minibatches(model, x[:1], 1)
        layers = len(model.latents(few)) if hasattr(model, "latents") else 1
        return layers == 1 and bool(model.posterior(few).event_shape == model.prior().event_shape)


def latent_information(
    model: Encoding, data: Indexable, *, samples: int = 2, batch_size: int = 100, seed: int = 0
) -> LatentInformation:
    r"""The rate of a model on data, carved up into information about the data and distance from the prior.

    $$\frac{1}{N} \sum_n \mathrm{KL}(q(z \mid x_n) \,\|\, p(z)) = I(n; z) + \mathrm{KL}(q(z) \,\|\, p(z))$$

    Both parts come from the same draws $z \sim q(z \mid x_n)$, with $\log q(z)$ over all N posteriors at each of them:
    $N^2$ densities for each of the `samples`. Neither is biased for these N data.

    **For the population** $I(n; z)$ is a lower bound, in expectation over data, on the information $I(x; z)$ about a
    datum drawn anew, and never more than $\log N$: a model whose posteriors hardly overlap reaches $\log N$ whatever it
    knows beyond that. Its counterpart without the datum's own posterior is an upper bound, and so is the rate, because
    no divergence is negative. For a single unit posteriors do overlap, and N in the hundreds is enough.

    A collapsed posterior shows as information near zero; information below a rate that is not, as latents that wander
    off the prior instead of telling data apart.

    Args:
        model: anything with `posterior(x)` and `prior()` over one latent vector. With `log_prob_per_unit` of the
            posterior (a `DiagonalNormal`) and independent units of the prior, each unit is measured alone, too.
        data: `(N, pixels)`, drawn once; two at least.
        samples: how many draws for each datum.
        batch_size: how many data at a time meet how many posteriors.
        seed: of the draws; the global generators are left as they were.

    Returns:
        The `LatentInformation`.

    Raises:
        ValueError: if the model has not one latent vector, there are fewer than two data, a datum holds NaN, or a count
            is below 1.

    Example:
        >>> vae = models.VAE(encoder=GaussianMLP(16, (), 2), decoder=BernoulliMLP(2, (), 16), latent=2)
        >>> found = latent_information(vae, torch.eye(16), samples=10)
        >>> 0 < found.mutual_information < found.ceiling
        True

    References:
        | ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman & Johnson, 2016)
        | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf
        | On Variational Bounds of Mutual Information (Poole et al., 2019), eqs. 12 and 13
        | https://arxiv.org/abs/1905.06922
    """
    check_counts(samples=samples, batch_size=batch_size)
    x = draw_once(data)
    N = len(x)
    if N < 2:
        raise ValueError(f"there is {N} datum; information about which one needs two at least")
    if not has_one_code(model, x):
        raise ValueError(f"{type(model).__name__} has no posterior(x) and prior() over one latent vector to measure")
    with measuring(model, seed, place_of(model)[0], getattr(data, "device", None)):
        posteriors = [model.posterior(batch) for _, batch in minibatches(model, x, batch_size)]
        prior = model.prior()
        found = [_terms(posteriors, own, prior, N) for _ in range(samples) for own in range(len(posteriors))]
    terms = _Terms(*(_by_draw(parts, samples, N) for parts in zip(*found, strict=True)))
    spread = terms.information.var(0).mean().item() if samples > 1 else math.nan
    return LatentInformation(
        mutual_information=terms.information.mean().item(),
        marginal_divergence=terms.divergence.mean().item(),
        leave_one_out=terms.leave_one_out.mean().item(),
        mc_error=math.sqrt(spread / (samples * N)),
        unit_information=tuple(terms.unit_information.mean((0, 1)).tolist()),
        unit_divergence=tuple(terms.unit_divergence.mean((0, 1)).tolist()),
        data=N,
        samples=samples,
    )


def _by_draw(parts: Sequence[Tensor], samples: int, N: int) -> Tensor:
    """Terms of minibatches, draw after draw, as `(samples, N, *rest)`."""
    together = torch.cat(list(parts))
    return together.reshape(samples, N, *together.shape[1:])


class _Terms(NamedTuple):
    """At one draw for each of some data: `(B,)` three times, `(B, D)` twice, in double precision on the CPU."""

    information: Tensor
    divergence: Tensor
    leave_one_out: Tensor
    unit_information: Tensor
    unit_divergence: Tensor


def _terms(posteriors: Sequence[Distribution], own: int, prior: Distribution, N: int) -> _Terms:
    r"""$\log q(z \mid x_n) - \log q(z)$ and $\log q(z) - \log p(z)$ at a new draw for each datum of one minibatch."""
    z = posteriors[own].sample()  # (B, *event)
    log_q, unit_log_q = (each.diagonal().movedim(-1, 0) for each in _log_prob(posteriors[own], z))  # (B,), (B, D)
    others, unit_total = torch.full_like(log_q, -torch.inf), torch.full_like(unit_log_q, -torch.inf)
    for i, q in enumerate(posteriors):
        joint, units = _log_prob(q, z)
        if i == own:
            joint.fill_diagonal_(-torch.inf)
        others = torch.logaddexp(others, joint.logsumexp(1))
        unit_total = torch.logaddexp(unit_total, units.logsumexp(1))
    aggregate = torch.logaddexp(others, log_q) - math.log(N)
    unit_aggregate = unit_total - math.log(N)
    terms = (
        log_q - aggregate,
        aggregate - prior.log_prob(z).double(),
        log_q - others + math.log(N - 1),
        unit_log_q - unit_aggregate,
        unit_aggregate - _prior_per_unit(prior, z, unit_aggregate),
    )
    return _Terms(*(term.cpu() for term in terms))


def _log_prob(q: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
    """Log-densities of draws `(B, *event)` under a minibatch of posteriors, `(B, B')`, and of units, `(B, B', D)`."""
    z = z.unsqueeze(1)
    if not hasattr(q, "log_prob_per_unit"):
        joint = q.log_prob(z).double()
        return joint, joint.new_zeros((*joint.shape, 0))
    per_unit: Tensor = q.log_prob_per_unit(z).double()
    return per_unit.sum(-1), per_unit


def _prior_per_unit(prior: Distribution, z: Tensor, like: Tensor) -> Tensor:
    """Log-density of each unit under a prior whose units are independent and of mean and deviation of their own."""
    if not like.shape[-1]:
        return like
    return DiagonalNormal(prior.mean, prior.stddev.log()).log_prob_per_unit(z).double()
