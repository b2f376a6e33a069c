r"""Nested sampling: the evidence from likelihoods in the order of their deletion, and the live points beside each.

$$Z = \int_0^1 L(X) \, dX \approx \sum_{i=1}^{N} L_i \, (X_{i-1} - X_i), \qquad X_i = t_i X_{i-1}, \quad X_0 = 1$$

With $n_i$ points live when point $i$ was deleted, $t_i \sim \mathrm{Beta}(n_i, 1)$, whose logarithm has the mean
$-1 / n_i$. A shell begins at the volume before its point is deleted: $X_i - X_{i+1}$ in its place lowers $\log Z$ by
$1 / n$. The points that were live at the stop share the volume that was left there. The error is that of the volumes,
which are simulated; it says nothing of new points that are no independent draws: the insertion ranks do.

References:
    | Nested Sampling for General Bayesian Computation (Skilling, 2006)
    | https://doi.org/10.1214/06-BA127
    | Nested sampling cross-checks using order statistics (Fowlie, Handley & Su, 2020)
    | https://arxiv.org/abs/2006.03371
    | Nested sampling with plateaus (Fowlie, Handley & Su, 2021)
    | https://arxiv.org/abs/2010.13884
"""

import math

import torch
from scipy.stats import kstest
from torch import Generator, Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._random import seeded_generator
from jensen.evidence._weights import as_values

__all__ = ["nested", "nested_log_weights"]

CHUNK_ELEMENTS = 2**22
LEAST_P_VALUE = 1e-3
MOST_REMAINING = 0.5
"""Above this much evidence that the last live points may hold, in nats, a run has stopped too early."""


def nested(
    log_likelihood: Tensor,
    live_counts: Tensor,
    *,
    simulations: int = 500,
    seed: int = 0,
    ranks: Tensor | None = None,
) -> Evidence:
    r"""Evidence of a nested sampling run, with the error of its simulated prior volumes.

    Takes the run of any nested sampler: `run.log_likelihood, run.live_counts` of `samplers.nested_sampling`;
    `results.logl, results.samples_n` of dynesty, static or dynamic, as tensors.

    Args:
        log_likelihood: in the order of deletion, never falling, the last live points included, `(N,)`; `-inf` weighs
            nothing, and neither does NaN.
        live_counts: how many points were live when each was deleted, `(N,)`; the last live points end it with
            `K, ..., 2, 1`.
        simulations: how many sequences of volumes the standard error is taken over.
        seed: of their randomness.
        ranks: insertion ranks in (0, 1), `(M,)`, uniform where new points were draws of the prior above the
            deleted likelihood; tested by Kolmogorov and Smirnov.

    Returns:
        `log_z` at the mean log-volumes and the standard deviation of the simulated ones. Diagnostics: `information`
        $H$; `floor`, $\sqrt{H / n}$; `simulated_log_z`, the mean of the simulations; `effective_sample_size` of
        posterior weights; `remaining`, what the last live points may hold beyond the others, in nats of $\log Z$;
        `plateaus`, how many points share their likelihood; `insertion_p_value`; `draws`, `nan`, `minus_inf`.

    Raises:
        ValueError: if shapes do not fit, likelihoods fall or are `inf`, none is positive, or counts are below 1.

    Example:
        >>> constant = nested(torch.zeros(4).double(), torch.tensor([4, 3, 2, 1]))
        >>> abs(constant.log_z) < 1e-12, constant.std_error < 1e-12
        (True, True)
    """
    log_l, counts, nan = _checked(log_likelihood, live_counts)
    if simulations < 2:
        raise ValueError(f"a standard error needs at least 2 simulations, got {simulations}")
    log_w = _log_shells(counts) + log_l
    log_z = float(log_w.logsumexp(0))
    simulated = _simulated(
        log_l, counts, simulations=simulations, generator=seeded_generator(seed, device=log_l.device)
    )
    last = _last_live(counts)
    diagnostics: dict[str, Diagnostic] = {
        **_moments(log_l, log_w, counts[: last or None]),
        "simulated_log_z": float(simulated.mean()),
        "remaining": _remaining(log_l, counts, log_w, last),
        "plateaus": _plateaus(log_l),
        "draws": len(log_l),
        "nan": nan,
        "minus_inf": int((log_l == -math.inf).sum()) - nan,
    }
    if ranks is not None:
        diagnostics["insertion_p_value"] = _insertion_p_value(ranks)
    error = float(simulated.std())
    return Evidence(log_z, error, diagnostics, method="nested", warnings=tuple(_warnings(diagnostics)))


def nested_log_weights(log_likelihood: Tensor, live_counts: Tensor) -> Tensor:
    r"""Normalised posterior log-weights $\log L_i (X_{i-1} - X_i) / Z$ of the points, `(N,)`.

    With `torch.multinomial(nested_log_weights(...).exp(), draws, replacement=True)` they make posterior draws.

    Args:
        log_likelihood: as in `nested`.
        live_counts: as in `nested`.

    Raises:
        ValueError: as `nested`.

    Example:
        >>> nested_log_weights(torch.zeros(4), torch.tensor([4, 3, 2, 1])).exp()
        tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    log_l, counts, _ = _checked(log_likelihood, live_counts)
    return (_log_shells(counts) + log_l).log_softmax(0)


def _checked(log_likelihood: Tensor, live_counts: Tensor) -> tuple[Tensor, Tensor, int]:
    log_likelihood = as_values(log_likelihood, "log_likelihood")
    live_counts = as_values(live_counts, "live_counts")
    if log_likelihood.ndim != 1 or log_likelihood.shape != live_counts.shape:
        shapes = f"{tuple(log_likelihood.shape)} and live_counts {tuple(live_counts.shape)}"
        raise ValueError(f"log_likelihood {shapes} must both be (N,), one count for each point")
    if len(log_likelihood) < 2:
        raise ValueError(f"an error needs at least 2 points, got {len(log_likelihood)}")
    log_l, counts = log_likelihood.detach().double(), live_counts.detach().double()
    nan = log_l.isnan()
    known = log_l[~nan]
    if not bool((known > -math.inf).any()):
        raise ValueError(f"none of the {len(log_l)} points has a positive likelihood")
    if bool((known == math.inf).any()):
        raise ValueError(f"log_likelihood is inf at point {int((log_l == math.inf).nonzero()[0])}")
    if bool((falls := known[1:] < known[:-1]).any()):
        place = int(falls.nonzero()[0])
        raise ValueError(
            f"log_likelihood falls from {float(known[place])} to {float(known[place + 1])} after point {place}; "
            "give the points in the order of their deletion"
        )
    if not bool((counts >= 1).all()):
        raise ValueError(f"live_counts must be at least 1, got {float(counts.min())}")
    return log_l.masked_fill(nan, -math.inf), counts, int(nan.sum())


def _last_live(counts: Tensor) -> int:
    """Where the last live points begin, whose counts are K, ..., 2, 1 to the end; N if there are none."""
    if counts[-1] != 1:
        return len(counts)
    breaks = (counts[:-1] != counts[1:] + 1).nonzero()
    return int(breaks[-1]) + 1 if len(breaks) else 0


def _log_shells(counts: Tensor) -> Tensor:
    r"""$\log(X_{i-1} - X_i)$ at mean log-volumes; the last live points share the volume at the stop equally, `(N,)`."""
    last = _last_live(counts)
    log_x = -counts.reciprocal().cumsum(0)
    shells = _log_differences(log_x)
    if last == len(counts):
        return shells
    stop = log_x[last - 1] if last else log_x.new_zeros(())
    shells[last:] = stop - math.log(len(counts) - last)
    return shells


def _log_differences(log_x: Tensor) -> Tensor:
    r"""$\log(X_{i-1} - X_i)$ along the last axis, with $X_0 = 1$."""
    before = torch.cat([torch.zeros_like(log_x[..., :1]), log_x[..., :-1]], -1)
    return before + torch.log(-torch.expm1(log_x - before))


def _simulated(log_l: Tensor, counts: Tensor, *, simulations: int, generator: Generator) -> Tensor:
    r"""$\log Z$ under sequences of volumes with $t_i \sim \mathrm{Beta}(n_i, 1)$, `(S,)`.

    The last of the last live points gets all the volume that is left.
    """
    chunk = max(1, CHUNK_ELEMENTS // len(log_l))
    found = []
    for start in range(0, simulations, chunk):
        size = (min(chunk, simulations - start), len(log_l))
        exponential = torch.empty(size, dtype=log_l.dtype, device=log_l.device).exponential_(generator=generator)
        log_x = -(exponential / counts).cumsum(-1)
        if counts[-1] == 1:
            log_x[:, -1] = -math.inf
        found.append((_log_differences(log_x) + log_l).logsumexp(-1))
    return torch.cat(found)


def _moments(log_l: Tensor, log_w: Tensor, counts: Tensor) -> dict[str, Diagnostic]:
    r"""Information $H = \sum p_i \log (L_i / Z)$ and its floor of the error, posterior effective sample size."""
    log_z, p = log_w.logsumexp(0), log_w.softmax(0)
    information = float((p * (log_l - log_z).masked_fill(p == 0, 0.0)).sum())
    per_nat = float(counts.square().reciprocal().sum() / counts.reciprocal().sum())
    return {
        "information": information,
        "floor": math.sqrt(max(information, 0.0) * per_nat),
        "effective_sample_size": float(1 / p.square().sum()),
    }


def _remaining(log_l: Tensor, counts: Tensor, log_w: Tensor, last: int) -> float:
    r"""$\log(1 + L_\text{max} X / Z)$ at the stop, 0 where the last live points cannot be told apart."""
    live = log_l[last:]
    if last == len(counts) or bool((live[live > -math.inf] == log_l[-1]).all()):
        return 0.0
    if last == 0 or not bool((log_w[:last] > -math.inf).any()):
        return math.inf
    log_x = -counts[:last].reciprocal().sum()
    gap = float(log_l[-1] + log_x - log_w[:last].logsumexp(0))
    return gap if gap > 30 else math.log1p(math.exp(gap))


def _plateaus(log_l: Tensor) -> int:
    level = (log_l[1:] == log_l[:-1]) & (log_l[1:] > -math.inf)
    end = level.new_zeros(1)
    return int((torch.cat([level, end]) | torch.cat([end, level])).sum())


def _insertion_p_value(ranks: Tensor) -> float:
    if ranks.ndim != 1 or not bool(((ranks >= 0) & (ranks <= 1)).all()):
        raise ValueError(f"ranks must be (M,) numbers between 0 and 1, got shape {tuple(ranks.shape)}")
    return float(kstest(ranks.detach().cpu().numpy(), "uniform").pvalue) if len(ranks) else 1.0


def _warnings(diagnostics: dict[str, Diagnostic]) -> list[str]:
    found = []
    p_value, remaining = diagnostics.get("insertion_p_value", 1.0), diagnostics["remaining"]
    if isinstance(p_value, float) and p_value < LEAST_P_VALUE:
        found.append(
            f"New points are not draws of the prior above the deleted likelihood (insertion ranks, p = {p_value:.2g}): "
            "take more moves or more live points."
        )
    if isinstance(remaining, float) and remaining > MOST_REMAINING:
        found.append(
            f"The run stopped early: the last live points may hold {remaining:.3g} nats of log Z beyond the others."
            if remaining < math.inf
            else "The run stopped early: it deleted no point of positive likelihood before the last live ones, which "
            "hold all that is known of Z."
        )
    if diagnostics["nan"]:
        found.append(f"{diagnostics['nan']} of {diagnostics['draws']} log-likelihoods are NaN and weigh nothing.")
    if diagnostics["plateaus"]:
        found.append(
            f"{diagnostics['plateaus']} of {diagnostics['draws']} points share their likelihood with others: on a "
            "plateau the insertion ranks say nothing, and the run must have deleted it as one."
        )
    return found
