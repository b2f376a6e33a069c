r"""What log-evidences are for: one model against another, and each among all.

Errors of different models are taken as independent. Estimates of one model are not pooled: the mean of their $\log Z$
estimates nothing, by Jensen's inequality.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType

import torch
from torch import Tensor

from jensen._evidence import Evidence

__all__ = ["BayesFactor", "ModelProbabilities", "bayes_factor", "model_probabilities"]

_ROUGH = 0.5
_WORDS = ((1.0, "not worth more than a bare mention"), (3.0, "positive"), (5.0, "strong"), (math.inf, "very strong"))


@dataclass(frozen=True)
class BayesFactor:
    r"""The logarithm of a Bayes factor $Z_a / Z_b$ with its standard error, in nats.

    Attributes:
        log_bf: $\log Z_a - \log Z_b$; above 0 where the data speak for the first.
        std_error: its standard error, NaN where either evidence has none.
        warnings: sentences for a reader.

    Example:
        >>> print(BayesFactor(8.4236, 0.0021))
        log BF = 8.424 ± 0.002 (very strong for the first)
        >>> low, high = BayesFactor(8.4236, 0.0021).interval()
        >>> round(low), round(high)
        (4535, 4572)
    """

    log_bf: float
    std_error: float
    warnings: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The Bayes factor itself, `inf` where it is too large to write."""
        return _exp(self.log_bf)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""The central interval of the Bayes factor itself, $\exp(\log \mathrm{BF} \pm z\, \mathrm{se})$.

        Raises:
            ValueError: if `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        half = NormalDist().inv_cdf((1 + level) / 2) * self.std_error
        return _exp(self.log_bf - half), _exp(self.log_bf + half)

    @property
    def words(self) -> str:
        r"""Kass and Raftery's words for its size, with the model that it favours.

        References:
            | Bayes Factors (Kass & Raftery, 1995)
            | https://doi.org/10.1080/01621459.1995.10476572
        """
        strength = next(word for limit, word in _WORDS if abs(self.log_bf) <= limit)
        return (
            strength if strength == _WORDS[0][1] else f"{strength} for the {'first' if self.log_bf > 0 else 'second'}"
        )

    def __str__(self) -> str:
        """The value with as many digits as its error allows, and what it is called."""
        number = str(Evidence(self.log_bf, self.std_error)).removeprefix("log Z = ")
        return f"log BF = {number} ({self.words})"


@dataclass(frozen=True)
class ModelProbabilities:
    """Posterior probabilities of models with their standard errors.

    Attributes:
        probabilities: the probability of each model, by name.
        std_errors: the standard error of each, by name; NaN where an evidence has none.
        warnings: sentences for a reader.

    Example:
        >>> print(ModelProbabilities({"line": 0.9, "curve": 0.1}, {"line": 0.01, "curve": 0.01}))
        line 0.9000 ± 0.0100
        curve 0.1000 ± 0.0100
    """

    probabilities: Mapping[str, float]
    std_errors: Mapping[str, float]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Keep copies that nobody can change."""
        for name in ("probabilities", "std_errors"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __str__(self) -> str:
        """A line for each model."""
        return "\n".join(f"{name} {p:.4f} ± {self.std_errors[name]:.4f}" for name, p in self.probabilities.items())


def bayes_factor(a: Evidence, b: Evidence) -> BayesFactor:
    r"""The Bayes factor of the first model over the second.

    $$\log \mathrm{BF}_{ab} = \log Z_a - \log Z_b, \qquad \mathrm{se}^2 = \mathrm{se}_a^2 + \mathrm{se}_b^2$$

    Args:
        a: the first model's evidence.
        b: the second's, of the *same* data, with every constant of its likelihood and prior kept.

    Returns:
        It warns where either is a bound or a score, has no error or came with warnings of its own.

    Raises:
        ValueError: if the difference is not a number.

    Example:
        >>> h0, h1 = Evidence(-156.4786, 0.003, method="bridge"), Evidence(-156.7197, 0.004, method="bridge")
        >>> found = bayes_factor(h0, h1)
        >>> print(found)
        log BF = 0.241 ± 0.005 (not worth more than a bare mention)
        >>> round(found.value, 2)
        1.27

    References:
        | Bayes Factors (Kass & Raftery, 1995)
        | https://doi.org/10.1080/01621459.1995.10476572
    """
    _check_evidence(a=a, b=b)
    log_bf = a.log_z - b.log_z
    if math.isnan(log_bf):
        raise ValueError(f"log-evidences {a.log_z} and {b.log_z} have no difference")
    warnings = (*_doubts(a, "the first model"), *_doubts(b, "the second model"))
    return BayesFactor(log_bf, math.hypot(a.std_error, b.std_error), warnings)


def model_probabilities(
    evidences: Mapping[str, Evidence] | Sequence[Evidence],
    *,
    prior: Mapping[str, float] | Sequence[float] | None = None,
) -> ModelProbabilities:
    r"""Posterior probabilities of models, with their errors by the delta method.

    $$p_i = \frac{\pi_i Z_i}{\sum_j \pi_j Z_j}, \qquad
    \mathrm{se}_i^2 = p_i^2 \Big((1 - p_i)^2 \sigma_i^2 + \sum_{j \ne i} p_j^2 \sigma_j^2\Big)$$

    with $\sigma_i$ the standard error of $\log Z_i$.

    Args:
        evidences: the evidence of each model, by name or in order; in order the names are `"0"`, `"1"`, ...
        prior: prior probabilities $\pi_i$ up to a constant, by the same names or in the same order; equal if not given.

    Returns:
        It warns as `bayes_factor` does, and where an error is too large for the delta method.

    Raises:
        ValueError: if there is no model, names or numbers do not fit, a prior probability is negative or not finite, or
            no model with any prior probability has an evidence above `-inf`.

    Example:
        >>> found = model_probabilities({"line": Evidence(-310.13, 0.01), "curve": Evidence(-308.13, 0.02)})
        >>> print(found)
        line 0.1192 ± 0.0023
        curve 0.8808 ± 0.0023

    References:
        | Bayes Factors (Kass & Raftery, 1995)
        | https://doi.org/10.1080/01621459.1995.10476572
    """
    by_name = dict(evidences) if isinstance(evidences, Mapping) else _numbered(evidences)
    if not by_name:
        raise ValueError("there is no model to compare")
    _check_evidence(**{str(name): each for name, each in by_name.items()})
    log_z = torch.tensor([each.log_z for each in by_name.values()], dtype=torch.float64)
    error = torch.tensor([each.std_error for each in by_name.values()], dtype=torch.float64)
    log_joint = log_z + _log_prior(prior, tuple(by_name))
    if not log_joint.max().isfinite():
        raise ValueError(
            f"no model's log-evidence and prior are comparable: the largest of their sums is {log_joint.max()}"
        )
    p = log_joint.softmax(0)
    std_errors = p * (_others(p).square() * error.square() + _others(p.square() * error.square())).sqrt()
    warnings = [sentence for name, each in by_name.items() for sentence in _doubts(each, name)]
    warnings += [
        f"{name}: an error of {each.std_error:.2g} nats is too large for the errors of probabilities to be exact."
        for name, each in by_name.items()
        if each.std_error > _ROUGH
    ]
    names = tuple(by_name)
    return ModelProbabilities(
        dict(zip(names, p.tolist(), strict=True)), dict(zip(names, std_errors.tolist(), strict=True)), tuple(warnings)
    )


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _doubts(evidence: Evidence, whose: str) -> tuple[str, ...]:
    method = f" ({evidence.method})" if evidence.method else ""
    doubts = []
    if evidence.kind == "score":
        doubts.append(f"{whose}{method}: a score does not estimate log Z, and its differences are not Bayes factors.")
    if evidence.kind == "bound":
        doubts.append(f"{whose}{method}: a bound lies below log Z by an unknown gap that need not cancel.")
    if math.isnan(evidence.std_error):
        doubts.append(f"{whose}{method}: log Z has no standard error, so neither has what is made of it.")
    return (*doubts, *(f"{whose}{method}: {sentence}" for sentence in evidence.warnings))


def _check_evidence(**evidences: object) -> None:
    for name, each in evidences.items():
        if not isinstance(each, Evidence):
            raise ValueError(f"{name} must be an Evidence, such as Evidence(log_z, std_error), got {each!r}")


def _numbered(evidences: Sequence[Evidence]) -> dict[str, Evidence]:
    if isinstance(evidences, Evidence) or not isinstance(evidences, Iterable):
        raise ValueError(f"evidences must be a sequence of Evidence, or a mapping to them, got {evidences!r}")
    return {str(i): each for i, each in enumerate(evidences)}


def _log_prior(prior: Mapping[str, float] | Sequence[float] | None, names: tuple[str, ...]) -> Tensor:
    if prior is None:
        return torch.zeros(len(names), dtype=torch.float64)
    if isinstance(prior, Mapping):
        if set(prior) != set(names):
            raise ValueError(f"prior probabilities are of {sorted(prior)}, the models are {sorted(names)}")
        prior = [prior[name] for name in names]
    values = torch.tensor([float(each) for each in prior], dtype=torch.float64)
    if len(values) != len(names) or not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(
            f"prior must be {len(names)} finite numbers from 0 on, one for each model, got {values.tolist()}"
        )
    return values.log()


def _others(x: Tensor) -> Tensor:
    """The sum of all other entries, without taking any away from the total."""
    nothing = x.new_zeros(1)
    before = torch.cat([nothing, x[:-1].cumsum(0)])
    after = torch.cat([x[1:].flip(0).cumsum(0).flip(0), nothing])
    return before + after
