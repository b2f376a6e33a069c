r"""All temperatures of a power posterior at once, alone or together with the path from a reference.

`temper` runs one path from $\beta = 0$ to the posterior at 1. `temper_both` runs two as one line of densities, from the
prior up to the posterior and down to a Gaussian reference fitted to it,

$$p \;\ldots\; L^\beta p \;\ldots\; L p \;\ldots\; (L p)^\beta r^{1 - \beta} \;\ldots\; r,$$

whose neighbours exchange their states: the posterior is refreshed by independent draws from either side.

Temperatures, metrics and first states come from one run of sequential Monte Carlo along each path; the reference is
fitted to the particles of the first.

References:
    | Markov Chain Monte Carlo Maximum Likelihood (Geyer, 1991)
    | https://hdl.handle.net/11299/58440
    | Choosing among Partition Models in Bayesian Phylogenetics (Fan, Wu, Chen, Kuo & Lewis, 2011)
    | https://doi.org/10.1093/molbev/msq224
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from jensen._chains import split_r_hat
from jensen._random import seeded_generator
from jensen._targets import Draws, Target
from jensen.samplers._checks import check_target, whole
from jensen.samplers.annealing import Reference, both_paths, fit_reference, path_from_prior, path_from_reference
from jensen.samplers.ensemble import Arm, Kept, Line
from jensen.samplers.ladder import build_ladder

__all__ = ["BothLadders", "TemperedRun", "temper", "temper_both"]

MOST_CORRELATED = 3.5
"""Sweeps after which a column must have forgotten where it was, or the ensemble's first states still show."""

Progress = Callable[[int, int], None]


class TemperedRun(NamedTuple):
    r"""An ensemble's record, temperatures first, draws second, columns last.

    Attributes:
        betas: ascending from 0 to 1, `(T,)`.
        log_ratio: $\log L$ at every draw, or on the path from a reference $\log \tilde p - \log r$, `(T, S, C)`.
        draws: of the posterior, those at $\beta = 1$.
        r_hat: split $\hat R$ of the log-ratio at each temperature, `(T,)`; NaN where it is infinite at a draw.
        swap_rates: accepted share of the exchanges between neighbours, `(T - 1,)`.
        acceptance: mean probability of acceptance at each temperature, `(T,)`; 1 at 0, where draws are independent.
        step_size: `(T - 1,)`, of the temperatures above 0.
        divergences: kept transitions with an energy error above 1000 nats.
        not_finite: points of the kept sweeps, the draws at 0 among them, where a log-density was NaN or `+inf`.
        evaluations: points at which the log-likelihood was asked for, adaptation included.
    """

    betas: Tensor
    log_ratio: Tensor
    draws: Draws
    r_hat: Tensor
    swap_rates: Tensor
    acceptance: Tensor
    step_size: Tensor
    divergences: int
    not_finite: int
    evaluations: int

    def problems(self) -> tuple[str, ...]:
        r"""Reasons for doubt; none where nothing is known to be wrong.

        All columns start from one population of particles. Where they do not forget it, they share its error, which
        their spread does not show; the limit on $\hat R$ is what columns of 3.5 sweeps' autocorrelation time have.
        """
        limit = max(1.01, math.sqrt(1 + (MOST_CORRELATED - 1) / max(self.log_ratio.shape[1] // 2, 1)))
        slow = self.r_hat > limit
        if not bool(slow.any()):
            return ()
        where, worst = float(self.betas[slow].min()), float(self.r_hat[slow].max())
        return (
            f"The columns of the ladder mix slowly above beta = {where:.3g} (r_hat {worst:.3f}, above {limit:.3f}): "
            "the error is too small; run more sweeps.",
        )


class BothLadders(NamedTuple):
    """The two paths of one ensemble, which share the posterior at their ends.

    Attributes:
        prior: the power posteriors, from the prior up.
        reference: the path from the reference up; its draws are those of `prior`.
        gaussian: the reference.
        evaluations: points at which the log-likelihood was asked for; each path counts its own and the posterior's.
    """

    prior: TemperedRun
    reference: TemperedRun
    gaussian: Reference
    evaluations: int


def temper(
    target: Target,
    *,
    temperatures: int = 32,
    chains: int = 64,
    draws: int = 100,
    warmup: int = 100,
    betas: Tensor | Sequence[float] | None = None,
    reference: Reference | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TemperedRun:
    """Sample all power posteriors of a target, or the path from a reference to it, in one ensemble.

    Args:
        target: likelihood and prior.
        temperatures: $T$, both ends included.
        chains: $C$, columns of the ensemble; from twenty on their spread alone tells the error of an evidence.
        draws: $S$, sweeps that are kept.
        warmup: sweeps before them, in which step sizes and metrics are adapted.
        betas: a schedule of your own, ascending from 0 to 1, such as `beta_quantiles(32)`; by default neighbours
            overlap equally all along the path.
        reference: a Gaussian in the prior's place at 0, by `fit_reference`.
        seed: of everything random.
        progress: called with sweeps done and their number.

    Raises:
        ValueError: if a number is out of its range, betas do not ascend from 0 to 1, or the likelihood is zero at all
            but one draw of the prior.

    Example:
        >>> from torch.distributions import Normal
        >>> target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(2).double(), 10.0))
        >>> run = temper(target, temperatures=5, chains=10, draws=20, warmup=20)
        >>> run.log_ratio.shape, run.draws.points.shape
        (torch.Size([5, 20, 10]), torch.Size([20, 10, 2]))

    References:
        | Markov Chain Monte Carlo Maximum Likelihood (Geyer, 1991)
        | https://hdl.handle.net/11299/58440
    """
    check_target(target)
    temperatures, chains, draws, warmup = _checked(temperatures, chains, draws, warmup)
    generator = seeded_generator(seed, device=target.device)
    path = path_from_prior(target) if reference is None else path_from_reference(target, reference)
    line = Line(
        [Arm(path, build_ladder(path, temperatures, chains, betas=betas, generator=generator))], generator=generator
    )
    return _arm(line, _sweep(line, draws, warmup, progress), 0)


def temper_both(
    target: Target,
    *,
    temperatures: int = 32,
    reference_temperatures: int = 8,
    chains: int = 64,
    draws: int = 100,
    warmup: int = 100,
    reference: Reference | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> BothLadders:
    """Sample all power posteriors of a target, and the path to it from a reference, in one ensemble.

    Args:
        target: likelihood and prior.
        temperatures: of the path from the prior, both ends included.
        reference_temperatures: of the path from the reference, both ends included. It is short: few are enough.
        chains: columns of the ensemble; from twenty on their spread alone tells the error of an evidence.
        draws: sweeps that are kept.
        warmup: sweeps before them, in which step sizes and metrics are adapted.
        reference: a Gaussian of your own; by default that of the particles which found the first path's temperatures.
        seed: of everything random.
        progress: called with sweeps done and their number.

    Raises:
        ValueError: if a number is out of its range, the reference has another dimension, or the likelihood is zero at
            all but one draw of the prior.

    Example:
        >>> from torch.distributions import Normal
        >>> target = Target(lambda x: -(x**2).sum(-1) / 2, Normal(torch.zeros(2).double(), 10.0))
        >>> both = temper_both(
        ...     target, temperatures=5, reference_temperatures=3, chains=10, draws=20, warmup=20
        ... )
        >>> both.prior.log_ratio.shape, both.reference.log_ratio.shape
        (torch.Size([5, 20, 10]), torch.Size([3, 20, 10]))
        >>> torch.equal(both.prior.log_ratio[-1], both.reference.draws.log_likelihood)
        True

    References:
        | Choosing among Partition Models in Bayesian Phylogenetics (Fan, Wu, Chen, Kuo & Lewis, 2011)
        | https://doi.org/10.1093/molbev/msq224
    """
    check_target(target)
    temperatures, chains, draws, warmup = _checked(temperatures, chains, draws, warmup)
    (few,) = whole(reference_temperatures=reference_temperatures)
    if few < 2:
        raise ValueError(f"take two reference_temperatures at least, got {few}")
    generator = seeded_generator(seed, device=target.device)
    up = build_ladder(path_from_prior(target), temperatures, chains, betas=None, generator=generator)
    gaussian = fit_reference(up.draws) if reference is None else reference
    plain, general = both_paths(target, gaussian)
    down = build_ladder(general, few, chains, betas=None, generator=generator)
    line = Line([Arm(plain, up), Arm(general, down)], generator=generator)
    kept = _sweep(line, draws, warmup, progress)
    return BothLadders(_arm(line, kept, 0), _arm(line, kept, 1), gaussian, line.evaluations((0, 1)))


def _checked(temperatures: int, chains: int, draws: int, warmup: int) -> tuple[int, ...]:
    numbers = whole(temperatures=temperatures, chains=chains, draws=draws, warmup=warmup)
    temperatures, chains, draws, warmup = numbers
    if temperatures < 2 or chains < 1 or draws < 1 or warmup < 0:
        said = f"{temperatures} temperatures, {chains} chains, {draws} draws, warmup {warmup}"
        raise ValueError(f"take two temperatures, a chain and a draw at least, got {said}")
    return numbers


def _sweep(line: Line, draws: int, warmup: int, progress: Progress | None) -> Kept:
    def tell(done: int) -> None:
        if progress is not None:
            progress(done, warmup + draws)

    for sweep in range(warmup):
        line.adapt(sweep / warmup)
        tell(sweep + 1)
    return line.record(draws, lambda done: tell(warmup + done))


def _arm(line: Line, kept: Kept, arm: int) -> TemperedRun:
    path, ladder = line.arms[arm]
    place = line.places(arm)
    log_ratio = path.log_ratio(kept.terms[:, place])
    return TemperedRun(
        betas=ladder.betas.to(log_ratio),
        log_ratio=log_ratio,
        draws=Draws(kept.points, *kept.terms[:2, place[-1]]),
        r_hat=split_r_hat(log_ratio.permute(1, 2, 0)),
        swap_rates=kept.swap_rates[place[1:].minimum(place[:-1])],
        acceptance=kept.acceptance[place],
        step_size=kept.step_size[place[1:]],
        divergences=int(kept.divergences[place].sum()),
        not_finite=int(kept.not_finite[place].sum()),
        evaluations=line.evaluations((arm,)),
    )
