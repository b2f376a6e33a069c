"""The methods by name: what each is, what it asks of a target, and how runs of samplers become a result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import torch

from jensen import evidence
from jensen._evidence import Evidence, Kind
from jensen._targets import Target
from jensen.evidence.notes import noted

if TYPE_CHECKING:
    from jensen.evidence.runs import Runs

__all__ = ["DEFAULT", "METHODS", "Method", "applicable", "choose_methods"]

DEFAULT = (
    "bridge",
    "warp_bridge",
    "stepping_stone",
    "generalized_stepping_stone",
    "path",
    "nested",
    "smc",
    "importance",
    "thames",
    "laplace",
)
"""What `compare` runs when nothing is asked for: one of each family that deserves trust, and Laplace."""

WEIGHTS, MINIMUM = 100, 8
"""Weights in each bound that the jackknife corrects, and in the first bound that is debiased."""


@dataclass(frozen=True)
class Method:
    """A way to a log-evidence, as `log_evidence` and `compare` know it.

    Attributes:
        name: what it is called.
        summary: one line for a list.
        run: from the shared runs to the result.
        kind: what its number claims to be.
        positive: whether it asks for positive parameters.
        pointwise: whether it asks for the log-likelihood of each observation.

    Example:
        >>> METHODS["cpo"].kind
        'score'
    """

    name: str
    summary: str
    run: Callable[["Runs"], Evidence]
    kind: Kind = "estimate"
    positive: bool = False
    pointwise: bool = False

    def obstacle(self, target: Target) -> str:
        """Why the method does not apply to a target, or an empty word."""
        if self.positive and not target.is_positive:
            return "it fits densities of positive numbers; the target has parameters of another kind"
        if self.pointwise and not target.is_pointwise:
            return "it needs the log-likelihood of each observation: Target(..., pointwise=function)"
        return ""


def _naive(runs: "Runs") -> Evidence:
    return evidence.naive(runs.prior)


def _importance(runs: "Runs") -> Evidence:
    return evidence.importance(runs.at_mode.log_weights, smooth=True)


def _elbo(runs: "Runs") -> Evidence:
    return evidence.elbo(runs.variational.log_weights)


def _variational_importance(runs: "Runs") -> Evidence:
    return evidence.importance(runs.variational.log_weights, smooth=True, method="variational_importance")


def _laplace(runs: "Runs") -> Evidence:
    return evidence.laplace(runs.target, runs.mode.point)


def _gamma_laplus(runs: "Runs") -> Evidence:
    return evidence.gamma_laplus(runs.target, runs.own_mode.point)


def _beta_prime_laplus(runs: "Runs") -> Evidence:
    return evidence.beta_prime_laplus(runs.target, runs.own_mode.point)


def _lognormal_laplus(runs: "Runs") -> Evidence:
    return evidence.lognormal_laplus(runs.target, runs.own_mode.point)


def _gamma_laplus_importance(runs: "Runs") -> Evidence:
    seed = runs.seed("gamma_laplus_importance")
    return evidence.gamma_laplus_importance(runs.target, runs.own_mode.point, samples=runs.settings.samples, seed=seed)


def _harmonic(runs: "Runs") -> Evidence:
    return evidence.harmonic(runs.posterior.log_likelihood)


def _stabilized_harmonic(runs: "Runs") -> Evidence:
    return evidence.stabilized_harmonic(runs.posterior.log_likelihood)


def _thames(runs: "Runs") -> Evidence:
    return runs.judged(evidence.thames(runs.posterior))


def _bridge(runs: "Runs") -> Evidence:
    return runs.judged(evidence.bridge(runs.posterior, runs.target, seed=runs.seed("bridge")))


def _warp_bridge(runs: "Runs") -> Evidence:
    found = evidence.bridge(runs.posterior, runs.target, proposal="warp3", seed=runs.seed("warp_bridge"))
    return runs.judged(found)


def _path(runs: "Runs") -> Evidence:
    return runs.along(runs.ladder, evidence.path)


def _modified_path(runs: "Runs") -> Evidence:
    return runs.along(runs.ladder, evidence.modified_path)


def _stepping_stone(runs: "Runs") -> Evidence:
    return runs.along(runs.ladder, evidence.stepping_stone)


def _generalized_stepping_stone(runs: "Runs") -> Evidence:
    return runs.along(runs.reference_ladder, evidence.generalized_stepping_stone)


def _nested(runs: "Runs") -> Evidence:
    run = runs.nested
    seed = runs.seed("nested volumes")
    found = evidence.nested(run.log_likelihood, run.live_counts, ranks=run.insertion_ranks, seed=seed)
    return noted(found, run.warnings, not_finite=run.not_finite)


def _smc(runs: "Runs") -> Evidence:
    run = runs.smc
    found = evidence.smc(
        run.log_increments,
        ancestors=run.ancestors,
        betas=run.betas,
        effective_sample_size=run.effective_sample_size,
        acceptance=run.acceptance,
    )
    return noted(found, (), not_finite=run.not_finite)


def _cpo(runs: "Runs") -> Evidence:
    return evidence.conditional_predictive_ordinates(_pointwise(runs))


def _ppd(runs: "Runs") -> Evidence:
    return evidence.pointwise_predictive_density(_pointwise(runs))


def _ml(runs: "Runs") -> Evidence:
    return evidence.maximum_likelihood(runs.highest_likelihood)


def _map(runs: "Runs") -> Evidence:
    return evidence.maximum_a_posteriori(runs.own_mode.log_density)


def _jackknife(runs: "Runs") -> Evidence:
    weights = runs.variational.log_weights
    replicates = max(len(weights) // WEIGHTS, 1)
    K = len(weights) // replicates
    return evidence.jackknife(weights[: K * replicates].reshape(K, replicates), order=runs.settings.order)


def _sumo(runs: "Runs") -> Evidence:
    return evidence.sumo(runs.draw_weights, replicates=_replicates(runs), minimum=MINIMUM, seed=runs.seed("sumo"))


def _multilevel(runs: "Runs") -> Evidence:
    seed = runs.seed("multilevel")
    return evidence.multilevel(runs.draw_weights, replicates=_replicates(runs), minimum=MINIMUM, seed=seed)


def _replicates(runs: "Runs") -> int:
    return max(runs.settings.samples // (2 * MINIMUM), 2)


def _pointwise(runs: "Runs") -> torch.Tensor:
    points = runs.posterior.points
    terms = runs.target.pointwise(points.flatten(0, 1))
    return terms.reshape(*points.shape[:2], -1)


METHODS: dict[str, Method] = {
    each.name: each
    for each in (
        Method("bridge", "bridge sampling with a normal proposal", _bridge),
        Method("warp_bridge", "bridge sampling with a warp-III proposal, for skewed posteriors", _warp_bridge),
        Method("stepping_stone", "ratios between neighbouring power posteriors", _stepping_stone),
        Method("generalized_stepping_stone", "stepping stones from a fitted reference", _generalized_stepping_stone),
        Method("path", "the mean log-likelihood integrated over the temperature", _path),
        Method("modified_path", "path sampling with a second-order quadrature", _modified_path),
        Method("nested", "the likelihood integrated over the prior volume above it", _nested),
        Method("smc", "particles from the prior to the posterior by adaptive temperatures", _smc),
        Method("importance", "Pareto-smoothed importance sampling from a Student-t at the mode", _importance),
        Method("variational_importance", "importance sampling from a variational Gaussian", _variational_importance),
        Method("gamma_laplus_importance", "importance sampling from gammas at the mode", _gamma_laplus_importance,
               positive=True),
        Method("thames", "the harmonic mean truncated to an ellipsoid of high density", _thames),
        Method("naive", "the mean likelihood of draws of the prior", _naive),
        Method("jackknife", "an importance-weighted bound, its bias removed by the jackknife", _jackknife),
        Method("sumo", "importance-weighted bounds, debiased by a random number of terms", _sumo),
        Method("multilevel", "the same with a tail that keeps the variance finite", _multilevel),
        Method("harmonic", "the harmonic mean of the posterior's likelihoods; to be avoided", _harmonic),
        Method("stabilized_harmonic", "the harmonic mean with some prior; to be avoided", _stabilized_harmonic,
               "approximation"),
        Method("laplace", "a Gaussian at the mode", _laplace, "approximation"),
        Method("gamma_laplus", "a gamma for each parameter at the mode", _gamma_laplus, "approximation", positive=True),
        Method("beta_prime_laplus", "a beta-prime for each", _beta_prime_laplus, "approximation", positive=True),
        Method("lognormal_laplus", "a lognormal for each", _lognormal_laplus, "approximation", positive=True),
        Method("elbo", "the evidence lower bound of a variational Gaussian", _elbo, "bound"),
        Method("map", "the highest unnormalised posterior density", _map, "score"),
        Method("ml", "the highest log-likelihood", _ml, "score"),
        Method("cpo", "log predictive density of each observation given the others", _cpo, "score", pointwise=True),
        Method("ppd", "log predictive density of each observation given all", _ppd, "score", pointwise=True),
    )
}  # fmt: skip


def applicable(target: Target) -> tuple[str, ...]:
    """The names of every method that applies to a target.

    Example:
        >>> from torch.distributions import Exponential
        >>> target = Target(lambda x: -x, Exponential(torch.tensor(1.0).double()))
        >>> "gamma_laplus" in applicable(target), "cpo" in applicable(target)
        (True, False)
    """
    return tuple(name for name, method in METHODS.items() if not method.obstacle(target))


def choose_methods(target: Target, methods: str | Sequence[str] | None) -> tuple[str, ...]:
    """The methods of these names: `DEFAULT` for None, all that apply for `all`.

    Raises:
        ValueError: if a name is unknown, suggesting the nearest; or a method does not apply to the target.

    Example:
        >>> from torch.distributions import Normal
        >>> target = Target(lambda x: -(x**2), Normal(torch.tensor(0.0).double(), 1.0))
        >>> choose_methods(target, ["brigde"])
        Traceback (most recent call last):
        ValueError: unknown method 'brigde'; did you mean 'bridge'?
    """
    if not isinstance(target, Target):
        raise ValueError(f"expected a Target(log_likelihood, prior), got {type(target).__name__}")
    if methods is None:
        return DEFAULT
    if methods == "all":
        return applicable(target)
    names = (methods,) if isinstance(methods, str) else tuple(dict.fromkeys(methods))
    if not names:
        raise ValueError("no method was named")
    for name in names:
        if name not in METHODS:
            near = get_close_matches(str(name).lower(), METHODS, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(METHODS)}"
            raise ValueError(f"unknown method {name!r}; {advice}")
        if obstacle := METHODS[name].obstacle(target):
            raise ValueError(f"{name} does not apply here: {obstacle}")
    return names
