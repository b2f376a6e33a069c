"""The runs of samplers behind the methods, each made once, when a method first asks for it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import torch
from torch import Generator, Tensor
from torch.distributions import Chi2

from jensen import samplers
from jensen._evidence import Evidence
from jensen._random import seeded, seeded_generator
from jensen._targets import Draws, Target
from jensen.evidence.accounts import Accounts, Cost
from jensen.evidence.draws import as_draws
from jensen.evidence.notes import noted
from jensen.evidence.settings import Settings

__all__ = ["Progress", "Runs"]

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Told the name of a run, how much of it is done, and of how much."""

FREEDOM = 5.0
"""Degrees of freedom of the Student-t proposal at the mode."""


class Weighted(NamedTuple):
    """Draws of a proposal with their log-weights."""

    points: Tensor
    log_weights: Tensor


class _Ladders(NamedTuple):
    """The path from the prior, and the one from a reference or why there is none."""

    prior: "samplers.TemperedRun"
    reference: "samplers.TemperedRun | None"
    obstacle: str = ""


class Runs:
    """One target's runs.

    Every run has random numbers of its own, from the seed and its name, so that a method gives the same result whatever
    else is asked for.

    Args:
        target: whose evidence is asked for.
        settings: how much each sampler is to do.
        seed: of everything random.
        draws: ready-made draws of the posterior, in any form that `as_draws` takes; no chain is run then.
        progress: told how far a run is.
    """

    def __init__(
        self,
        target: Target,
        *,
        settings: Settings | None = None,
        seed: int = 0,
        draws: Any = None,
        progress: Progress | None = None,
    ) -> None:
        seeded_generator(seed)
        self.settings = settings or Settings()
        self.accounts = Accounts()
        self.target = target.watched(self.accounts.count)
        self._seed = seed
        self._given = draws
        self._progress = progress
        self._calls = 0

    def seed(self, name: str) -> int:
        """The seed of a run, from its name."""
        return (self._seed * 0x9E3779B1 + crc32(name.encode())) % 2**62

    @property
    def mode(self) -> "samplers.Mode":
        """The mode in real coordinates."""
        return self._take("mode", lambda seed, _: samplers.find_mode(self.target, seed=seed))

    @property
    def own_mode(self) -> "samplers.Mode":
        """The mode in the model's own coordinates, without a Jacobian."""
        return self._take("own mode", lambda seed, _: samplers.find_mode(self.target, space="own", seed=seed))

    @property
    def posterior(self) -> Draws:
        """Draws of the posterior: those given, or those of our chains."""
        if self._given is not None:
            return self._take("given draws", lambda *_: as_draws(self._given, self.target))
        return self.chains.draws

    @property
    def chains(self) -> "samplers.Chains":
        """Chains of the posterior."""
        s = self.settings
        if s.engine == "nuts":
            return self._take(
                "nuts", lambda seed, _: samplers.nuts(self.target, draws=s.draws_per_chain, warmup=s.warmup, seed=seed)
            )
        return self._take(
            "chains",
            lambda seed, progress: samplers.hamiltonian(
                self.target,
                chains=s.chains,
                draws=s.draws_per_chain,
                warmup=s.warmup,
                metric=s.metric,
                start=s.start,
                seed=seed,
                progress=progress,
            ),
        )

    @property
    def highest_likelihood(self) -> float:
        """The highest log-likelihood, sought from the mode."""
        return self._take(
            "highest likelihood", lambda *_: samplers.highest_likelihood(self.target, start=self.mode.point)
        )

    @property
    def prior(self) -> Tensor:
        """Log-likelihoods of draws of the prior, `(N,)`."""

        def make(seed: int, _: Any) -> Tensor:
            points = self.target.sample_prior(self.settings.samples, generator=seeded_generator(seed))
            return self.target.log_terms(points)[0]

        return self._take("prior draws", make)

    @property
    def at_mode(self) -> Weighted:
        """Draws of a Student-t with the mode's curvature, weighted."""

        def make(seed: int, _: Any) -> Weighted:
            covariance = torch.linalg.inv(-self.mode.hessian)
            points, log_q = _student_t(self.mode.point, covariance, self.settings.samples, seeded_generator(seed))
            return Weighted(points, self.target.log_joint(points) - log_q)

        return self._take("proposal at the mode", make)

    @property
    def variational(self) -> Weighted:
        """Draws of the best Gaussian with independent coordinates, weighted."""

        def make(seed: int, _: Any) -> Weighted:
            points, log_q = self.gaussian_fit.draw(self.settings.samples, seed=seed)
            return Weighted(points, self.target.log_joint(points) - log_q)

        return self._take("variational draws", make)

    def draw_weights(self, count: int) -> Tensor:
        """So many new log-weights of the variational Gaussian, `(count,)`; each call draws on."""
        self._calls += 1
        points, log_q = self.gaussian_fit.draw(count, seed=self.seed(f"weights {self._calls}"))
        return self.target.log_joint(points) - log_q

    def judged(self, evidence: Evidence) -> Evidence:
        """What was made of the posterior's draws, with what is wrong with our chains among its warnings."""
        if self._given is not None:
            return evidence
        return noted(evidence, self.chains.problems(), not_finite=self.chains.not_finite, said=True)

    def along(self, run: "samplers.TemperedRun", reduce: Callable[[Tensor, Tensor], Evidence]) -> Evidence:
        """What is made of a ladder's log-ratios and betas, with what is wrong with the ladder among its warnings."""
        return noted(reduce(run.log_ratio, run.betas), run.problems(), not_finite=run.not_finite)

    @property
    def gaussian_fit(self) -> "samplers.GaussianFit":
        """The Gaussian with independent coordinates that maximises the ELBO."""
        return self._take(
            "variational fit", lambda seed, progress: samplers.fit_gaussian(self.target, seed=seed, progress=progress)
        )

    @property
    def ladder(self) -> "samplers.TemperedRun":
        """Every power posterior, from the prior to the posterior."""
        return self._ladders.prior

    @property
    def reference_ladder(self) -> "samplers.TemperedRun":
        """Every density on the path from a Gaussian reference to the posterior.

        Raises:
            ValueError: if particles do not get from the reference to the posterior.
        """
        ladders = self._ladders
        if ladders.reference is None:
            raise ValueError(
                f"no path leads from a Gaussian reference to this posterior: {ladders.obstacle}; "
                "stepping_stone starts from the prior"
            )
        return ladders.reference

    @property
    def _ladders(self) -> _Ladders:
        """Both paths in one run, or the one from the prior where there is no other."""
        s = self.settings
        sizes = {
            "temperatures": s.temperatures,
            "chains": s.ladder_chains,
            "draws": s.ladder_draws,
            "warmup": s.ladder_warmup,
        }

        def make(seed: int, progress: Callable[[int, int], None] | None) -> _Ladders:
            common: dict[str, Any] = {**sizes, "seed": seed, "progress": progress}
            try:
                both = samplers.temper_both(self.target, reference_temperatures=s.reference_temperatures, **common)
            except (ValueError, RuntimeError) as error:
                return _Ladders(samplers.temper(self.target, **common), None, str(error))
            return _Ladders(both.prior, both.reference)

        return self._take("ladders", make)

    @property
    def nested(self) -> "samplers.NestedRun":
        """A run of nested sampling."""
        s = self.settings
        return self._take(
            "nested",
            lambda seed, progress: samplers.nested_sampling(self.target, live=s.live, seed=seed, progress=progress),
        )

    @property
    def smc(self) -> "samplers.SMCRun":
        """Independent runs of sequential Monte Carlo."""
        s = self.settings
        return self._take(
            "smc",
            lambda seed, progress: samplers.sequential_monte_carlo(
                self.target, particles=s.particles, runs=s.runs, seed=seed, progress=progress
            ),
        )

    def measure(self, name: str, make: Callable[["Runs"], Evidence]) -> tuple[Evidence, Cost]:
        """What a method gives, and what it cost with everything that it rests on."""
        key = f"method {name}"
        evidence = self.accounts.take(key, lambda: make(self))
        return evidence, self.accounts.cost(key)

    def _take(self, name: str, make: Callable[[int, Callable[[int, int], None] | None], T]) -> T:
        told = self._progress

        def progress(done: int, total: int) -> None:
            if told is not None:
                told(name, done, total)

        return self.accounts.take(name, lambda: make(self.seed(name), progress if told else None))


def _student_t(location: Tensor, covariance: Tensor, samples: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draws `(N, d)` of a multivariate Student-t and their log-densities `(N,)`."""
    d = location.numel()
    tril = torch.linalg.cholesky(covariance)
    z = torch.randn(samples, d, dtype=location.dtype, device=location.device, generator=generator)
    with seeded(generator):
        chi2 = Chi2(location.new_tensor(FREEDOM)).sample(torch.Size((samples,)))
    scaled = z * (FREEDOM / chi2).sqrt()[:, None]
    constant = math.lgamma((FREEDOM + d) / 2) - math.lgamma(FREEDOM / 2) - d / 2 * math.log(FREEDOM * math.pi)
    log_density = constant - tril.diagonal().log().sum() - (FREEDOM + d) / 2 * ((scaled**2).sum(-1) / FREEDOM).log1p()
    return location + scaled @ tril.T, log_density
