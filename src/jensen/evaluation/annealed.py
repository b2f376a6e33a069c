r"""Log-likelihood of decoders by annealed importance sampling, and a sandwich of it on data that the decoder made.

Expectation: $p(x) = \mathbb{E}[w]$, $\log w = \sum_t (\beta_t - \beta_{t-1}) \log p(x \mid z_{t-1})$ along
$\pi_t(z) \propto p(z)\, p(x \mid z)^{\beta_t}$, by `samplers.annealed_importance`. No encoder is needed.

References:
    | On the Quantitative Analysis of Decoder-Based Models (Wu, Burda, Salakhutdinov & Grosse, 2017)
    | https://arxiv.org/abs/1611.04273
    | Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani & Adams, 2015)
    | https://arxiv.org/abs/1511.02543
"""

import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import torch
from rich.progress import Progress, TaskID
from torch import Generator, Tensor

from jensen._contracts import Indexable
from jensen._math import log_mean_exp
from jensen._priors import validation
from jensen._random import seeded, seeded_generator
from jensen.bounds import effective_sample_size
from jensen.evaluation._decoder import Decoder, Generative, decoder_of, path_of
from jensen.evaluation._setting import bar, check_counts, draw_once, measuring, minibatches, place_of
from jensen.evaluation.annealed_results import AnnealedBound, AnnealedEvaluation
from jensen.samplers import annealed_importance, learn_transitions, sigmoid_betas
from jensen.samplers.annealed import AnnealedRun
from jensen.samplers.annealing import AnnealingPath

__all__ = ["Start", "evaluate_annealed"]

Start = Literal["prior", "posterior"]
"""Where the path begins: at $p(z)$, or at the encoder's $q(z \\mid x)$."""

PILOT, FEWEST = 4, 60
"""Step sizes are learned at a quarter as many temperatures; at twice as many where that is less than this."""

QUARTER = 0.25
"""The share of the chains below which an effective sample size counts as low: a bias of about 1.5 / C nats."""


def evaluate_annealed(
    model: Generative,
    data: Indexable,
    *,
    temperatures: int = 1000,
    chains: int = 16,
    steps: int = 5,
    simulated: int = 100,
    start: Start = "prior",
    batch_size: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> AnnealedEvaluation:
    r"""A lower bound on $\log p(x)$ of test data, and lower and upper bounds where the model itself made the data.

    **Lower bound.** C chains for each datum start from the prior and go up the temperatures $\beta_t$, a sigmoid's:

    $$\mathbb{E}\Big[\log \tfrac1C \textstyle\sum_c w_c\Big] \le \log p(x), \qquad \mathbb{E}[w] = p(x).$$

    **Sandwich.** Of a pair $(z, x)$ drawn from the model, z is an exact draw of the posterior. Chains that start there
    and come down have weights with $\mathbb{E}[w'] = 1 / p(x)$, so that

    $$\log p(x) \le \mathbb{E}\Big[-\log \tfrac1C \textstyle\sum_c w'_c\Big].$$

    The difference of both, averaged over simulated data, tells how well this many temperatures do for this model; on
    test data, whose latents nobody knows, there is the lower bound alone.

    **Exactness.** Step sizes and metrics are learned for every datum by chains of their own, at a quarter of the
    temperatures, and fixed before the first weighted chain moves. Both expectations are therefore exact for any number
    of temperatures, chains and steps: poor settings make bounds loose, never wrong. Log-weights are summed in double
    precision; $\log p(x \mid z)$ is the model's own.

    All chains of a minibatch move in one batch of C times `batch_size`. The model is measured in evaluation mode, on
    its own device and in its own floating type, and left as it was; the global generators are left as they were.

    Args:
        model: with `prior()` over all latents, `(D,)` real numbers, and `likelihood(z)`, for z `(*batch, D)` a
            distribution of batch `(*batch,)`. Where layers depend on each other, with `generate(noise)`: the
            distribution of x at the ancestral draw that standard normal noise stands for, laid out as by
            `noise(x, samples)`.
            $\log p(x \mid z)$ must be differentiable in z. `check(x)` is used where it exists; `posterior(x)` for
            `start="posterior"`.
        data: `(N, pixels)`, a tensor or anything with `len(data)` and `data[index]`.
        temperatures: both ends included; the error falls with their number.
        chains: the number C for each datum.
        steps: leapfrog steps of a transition.
        simulated: how many data to simulate for the sandwich; 0 for none.
        start: `posterior` begins the path at $q(z \mid x)$, where one stochastic layer has it.
        batch_size: how many data at a time.
        seed: of everything random.
        progress: show a progress bar on standard error.

    Returns:
        The `AnnealedEvaluation`.

    Raises:
        ValueError: if a count is below 1 (of temperatures below 3), the latents are discrete or not all of the real
            line, `prior` is of some layers only and there is no `generate`, torch cannot differentiate the likelihood,
            or all weights of a datum are zero or not finite.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> class Linear:
        ...     def prior(self):
        ...         return Independent(Normal(torch.zeros(2), 1.0), 1)
        ...     def likelihood(self, z):
        ...         return Independent(Normal(z, 1.0), 1)
        >>> data = torch.tensor([[1.0, -1.0], [0.0, 2.0]])
        >>> found = evaluate_annealed(Linear(), data, temperatures=100, simulated=20)
        >>> exact = Normal(0.0, 2**0.5).log_prob(data).sum(-1).mean().item()
        >>> abs(found.lower.value - exact) < 0.1 and abs(found.gap) < 0.1
        True

    References:
        | On the Quantitative Analysis of Decoder-Based Models (Wu, Burda, Salakhutdinov & Grosse, 2017)
        | https://arxiv.org/abs/1611.04273
    """
    check_counts(chains=chains, steps=steps, batch_size=batch_size)
    if temperatures < 3 or simulated < 0 or start not in get_args(Start):
        said = f"{temperatures} temperatures, {simulated} simulated data, start {start!r}"
        raise ValueError(f"take three temperatures or more, no negative number of data, prior or posterior; got {said}")
    begun = time.perf_counter()
    with measuring(model, seed, place_of(model)[0], getattr(data, "device", None)), validation(False):
        x = draw_once(data)
        for _, batch in minibatches(model, x, batch_size):
            getattr(model, "check", lambda _: None)(batch)
        _, example = next(minibatches(model, x, 1))
        decoder = decoder_of(model, example)
        setting = _Setting(
            functools.partial(path_of, decoder, encoder=_encoder(model, decoder, example, start)),
            sigmoid_betas(temperatures),
            chains,
            steps,
            seeded_generator(seed, device=example.device),
        )
        with bar(progress) as shown:
            test = _test(setting, model, x, batch_size, shown)
            made = _simulated(setting, decoder, simulated, batch_size, shown) if simulated else None
    return _evaluation(
        test,
        made,
        data=len(x),
        temperatures=temperatures,
        chains=chains,
        steps=steps,
        start=start,
        seed=seed,
        batch_size=batch_size,
        seconds=time.perf_counter() - begun,
    )


class _Setting(NamedTuple):
    """What is the same for all minibatches."""

    path: Callable[[Tensor], AnnealingPath]
    betas: tuple[float, ...]
    chains: int
    steps: int
    generator: Generator


class _Side(NamedTuple):
    """Chains in one direction, on the CPU: estimates of log p(x), effective sample sizes, acceptance; `(N,)` each."""

    values: Tensor
    ess: Tensor
    acceptance: Tensor


class _Measured(NamedTuple):
    """What was found of test data, or of simulated ones, which have two sides."""

    sides: tuple[_Side, ...]
    divergences: int
    evaluations: int


def _encoder(model: Any, decoder: Decoder, x: Tensor, start: Start) -> Callable[[Tensor], Any] | None:
    """The posterior that a path begins at, or None for the prior."""
    if start == "prior":
        return None
    encoder: Callable[[Tensor], Any] | None = getattr(model, "posterior", None)
    if encoder is None or encoder(x).event_shape != (decoder.dim,):
        raise ValueError(
            f"start='posterior' needs posterior(x) over all {decoder.dim} latents at once, which "
            f"{type(model).__name__} does not have; start from the prior"
        )
    return encoder


def _test(setting: _Setting, model: Any, x: Tensor, batch_size: int, shown: Progress) -> _Measured:
    """Chains up, for every datum."""
    task = shown.add_task("annealed importance sampling", total=len(x))
    found = []
    for first, batch in minibatches(model, x, batch_size):
        found.append(_bounds(setting, batch, None, _Bar(shown, task, first, len(batch))))
        _refuse_undefined(found[-1].sides[0].values, first)
    return _joined(found)


def _simulated(setting: _Setting, decoder: Decoder, count: int, batch_size: int, shown: Progress) -> _Measured:
    """Pairs of the model, and for each of them chains up and chains down."""
    task = shown.add_task("sandwich of simulated data", total=count)
    found = []
    for first in range(0, count, batch_size):
        size = min(batch_size, count - first)
        with seeded(setting.generator):
            z = decoder.prior.sample((size,))
            x = decoder.likelihood(z).sample()
        found.append(_bounds(setting, x, z, _Bar(shown, task, first, size)))
    return _joined(found)


class _Bar(NamedTuple):
    """A minibatch's part of a progress bar."""

    shown: Progress
    task: TaskID
    first: int
    size: int

    def part(self, before: float, after: float) -> Callable[[int, int], None]:
        """What moves the bar from one share of the minibatch to another."""

        def move(done: int, total: int) -> None:
            share = before + (after - before) * done / total
            self.shown.update(self.task, completed=self.first + self.size * share)

        return move


def _bounds(setting: _Setting, x: Tensor, z: Tensor | None, shown: _Bar) -> _Measured:
    """Chains for a minibatch `(B, pixels)`: up, and down from the latents `(B, D)` where they are known."""
    path, betas, generator = setting.path(x), setting.betas, setting.generator
    B, C = len(x), setting.chains
    ways = 1.25 if z is None else 2.25
    some = sigmoid_betas(max(len(betas) // PILOT, min(FEWEST, 2 * len(betas))))
    pilots = path.sample(B * C, generator).view(B, C, -1)
    transitions = learn_transitions(
        path, pilots, some, steps=setting.steps, generator=generator, progress=shown.part(0.0, 0.25 / ways)
    )
    move = functools.partial(annealed_importance, path, transitions=transitions, generator=generator)
    starts = path.sample(B * C, generator).view(B, C, -1)
    runs = [move(starts, betas, progress=shown.part(0.25 / ways, 1.25 / ways))]
    if z is not None:
        down = z.unsqueeze(1).expand(B, C, -1).contiguous()
        runs.append(move(down, betas[::-1], progress=shown.part(1.25 / ways, 1.0)))
    evaluations = transitions.evaluations + sum(run.evaluations for run in runs)
    sides = tuple(_side(run, sign) for run, sign in zip(runs, (1, -1), strict=False))
    return _Measured(sides, sum(run.divergences for run in runs), evaluations)


def _side(run: AnnealedRun, sign: int) -> _Side:
    log_w = run.log_weights
    values = sign * log_mean_exp(log_w, dim=1)
    return _Side(values.cpu(), effective_sample_size(log_w, dim=1).cpu(), run.acceptance.double().mean(0).cpu())


def _joined(found: list[_Measured]) -> _Measured:
    sides = zip(*(each.sides for each in found), strict=True)
    return _Measured(
        tuple(_Side(*(torch.cat(parts) for parts in zip(*side, strict=True))) for side in sides),
        sum(each.divergences for each in found),
        sum(each.evaluations for each in found),
    )


def _evaluation(test: _Measured, made: _Measured | None, *, chains: int, **setting: Any) -> AnnealedEvaluation:
    """The means and their errors."""
    lower, threshold = test.sides[0], QUARTER * chains
    rows = [_row("lower", "test", lower, chains)]
    measured, gap = [test], torch.full((1,), math.nan)
    if made is not None:
        rows += [_row("lower", "simulated", made.sides[0], chains), _row("upper", "simulated", made.sides[1], chains)]
        measured, gap = [test, made], made.sides[1].values - made.sides[0].values
    divergences = sum(each.divergences for each in measured)
    return AnnealedEvaluation(
        rows=tuple(rows),
        chains=chains,
        simulated=0 if made is None else len(gap),
        gap=gap.mean().item(),
        gap_error=_std_error(gap),
        ess_low=int((lower.ess < threshold).sum()),
        ess_threshold=threshold,
        divergences=divergences,
        evaluations=sum(each.evaluations for each in measured),
        notes=tuple(_notes(lower, chains, divergences)),
        **setting,
    )


def _row(side: str, on: str, found: _Side, chains: int) -> AnnealedBound:
    relative = (
        (chains / found.ess - 1).clamp_min(0) / (chains - 1) if chains > 1 else torch.full_like(found.ess, math.nan)
    )
    return AnnealedBound(
        side=side,
        on=on,
        value=found.values.mean().item(),
        std_error=_std_error(found.values),
        mc_error=relative.sum().sqrt().item() / len(found.values),
        ess_mean=found.ess.mean().item(),
        ess_minimum=found.ess.min().item(),
        acceptance=found.acceptance.mean().item(),
    )


def _std_error(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _refuse_undefined(values: Tensor, first: int) -> None:
    bad = ~values.isfinite()
    if bad.any():
        index = int(bad.nonzero()[0])
        raise ValueError(
            f"datum {first + index} has no chain of positive weight ({int(bad.sum())} such data in its minibatch): "
            "log p(x | z) is -inf or not a number wherever they came; look at the likelihood and at the parameters"
        )


def _notes(lower: _Side, chains: int, divergences: int) -> Iterator[str]:
    """What to be careful about, in plain sentences."""
    N = len(lower.ess)
    if chains > 1 and (low := int((lower.ess < QUARTER * chains).sum())):
        yield (
            f"{low} of {N} test data have an effective sample size below {QUARTER * chains:g} of {chains} chains: "
            f"their bounds are loose by about {1.5 / chains:.2g} nats or more; take more temperatures"
        )
    if chains == 1:
        yield "one chain for each datum tells no Monte Carlo error; take more"
    if poor := int((lower.acceptance < 0.4).sum()):
        yield f"{poor} of {N} test data have chains that accept less than 0.4 of their transitions and mix slowly"
    if divergences:
        yield f"{divergences} transitions had an energy error above 1000 nats and were rejected"
