r"""Held-out log-likelihood by importance sampling, with both of its errors.

Expectation: $\log p(x) = \log \mathbb{E}_{q(z \mid x)}[w]$, $w = p(x, z) / q(z \mid x)$, bounded by
$\mathbb{E}[\mathcal{L}_k]$ at every k.

References:
    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8 and section 5.1
    | https://arxiv.org/abs/1509.00519v4
"""

import functools
import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from jensen._contracts import Indexable, LogWeights
from jensen.evaluation._setting import Weighable, bar, check_counts, draw_once, measuring, minibatches, place_of
from jensen.evaluation.active_units import layer_activity
from jensen.evaluation.results import BoundEstimate, Evaluation, LayerActivity
from jensen.evaluation.streaming import BLOCKS, EXACT_JACKKNIFE, BoundStream, DrawStream

__all__ = ["evaluate"]

_LOW_ESS = 10.0
_FREEDOM = 30


def evaluate(
    model: Weighable,
    data: Indexable,
    *,
    samples: int = 5000,
    ks: Sequence[int] = (1, 5, 50, 500, 5000),
    batch_size: int = 100,
    chunk: int = 50,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    r"""Every bound at several k, and its jackknife, from the same draws; averages over the data, in nats per datum.

    $$\mathcal{L}_k = \frac{1}{N} \sum_{n=1}^{N} \frac{1}{G} \sum_{g=1}^{G} \log \frac{1}{k} \sum_{j \in g} w_{nj},
    \qquad G = \lfloor K / k \rfloor$$

    The K draws come `chunk` at a time, so that no more than `chunk` times `batch_size` rows pass through the decoder
    at once, whatever `samples` is; the encoder runs once for a minibatch (once more for the active units). What is
    kept between chunks is at most 1000 log-weights for each datum of it and each k.

    **Two errors.** `std_error` is the one over the data. `mc_error` is what other draws would change: with $s_n^2$
    the variance over the groups of datum n it is $\sqrt{\sum_n s_n^2 / G} / N$ (`mc_method` is `groups`), as soon as
    $N (G - 1) \ge 30$ deviations stand behind it. Otherwise the variance of one group's bound is taken from all K
    draws of the datum by the delta method (`delta`),

    $$\mathrm{Var}\left[\log \tfrac{1}{k} \textstyle\sum_j w_j\right]
    \approx \frac{\mathrm{Var}[w]}{k \, \mathrm{E}[w]^2}
    \approx \frac{K}{k} \frac{K}{K - 1} \left(\frac{1}{\mathrm{ESS}} - \frac{1}{K}\right),$$

    which for a jackknife is the same to this order, and too small where the effective sample size is small.

    **Jackknife.** For $1 < k \le 1000$ single draws are left out; above, one of 100 blocks of k/100 draws, which
    removes the $O(1/k)$ bias just as well but is another estimator (`evaluation.streaming.BoundStream` derives it)
    and goes by the name `block_jackknife`.

    The model is measured in evaluation mode without gradient, on its own device and in its own floating type, and
    left as it was. Draws depend on `seed`, `batch_size` and `chunk` alone; the global generators are left as they
    were. Data that are drawn anew on every use (`datasets.DynamicBinarization`) are drawn once, all together, so that
    every bound sees the same images and so do two models measured with the same seed.

    Args:
        model: anything with `log_weights(x, samples)`. Where it has `posterior(x)` and its `log_weights` takes
            `posterior=`, the encoder runs once for each minibatch. `check(x)` and `latents(x, samples)` are used
            where they exist.
        data: `(N, pixels)`, a tensor or anything with `len(data)` and `data[index]`.
        samples: the number K of draws for each datum.
        ks: the numbers of draws in a bound.
        batch_size: how many data at a time.
        chunk: how many draws at a time.
        seed: of the draws.
        progress: show a progress bar on standard error.

    Returns:
        The `Evaluation`.

    Raises:
        ValueError: if a count is below 1, a k is above `samples`, there are no data, a datum is NaN or refused by
            `model.check`, or a log-weight is NaN or infinite. A log-weight of `-inf` is a weight of zero, and counted.

    Example:
        >>> class Coin:
        ...     def log_weights(self, x, samples=1):
        ...         noise = torch.randn(samples, len(x))
        ...         return LogWeights(-noise.square(), torch.zeros_like(noise), -noise.square() / 2)
        >>> result = evaluate(Coin(), torch.zeros(20, 1), samples=2000, ks=(1, 2000))
        >>> [row.name for row in result.rows]
        ['elbo', 'iwae', 'block_jackknife']
        >>> abs(result.nll - math.log(2) / 2) < 4.56 * result.tightest.mc_error
        True

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8 and section 5.1
        | https://arxiv.org/abs/1509.00519v4
        | Debiasing Evidence Approximations (Nowozin, 2018), eq. 14
        | https://openreview.net/forum?id=HyZoi-WRb
    """
    check_counts(samples=samples, batch_size=batch_size, chunk=chunk)
    ks = _sorted(ks, samples)
    start = time.perf_counter()
    with measuring(model, seed, place_of(model)[0], getattr(data, "device", None)):
        x = draw_once(data)
        for _, batch in minibatches(model, x, batch_size):
            getattr(model, "check", _accept)(batch)
        found, streams = _weigh(model, x, samples=samples, ks=ks, batch_size=batch_size, chunk=chunk, progress=progress)
    layers: tuple[LayerActivity, ...] = ()
    if hasattr(model, "latents"):
        layers = layer_activity(cast(Any, model), x, samples=min(chunk, samples), batch_size=batch_size, seed=seed)
    rows = tuple(_row(stream, i, found, samples) for i, stream in enumerate(streams))
    return Evaluation(
        rows=rows,
        layers=layers,
        data=len(x),
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        chunk=chunk,
        ess_mean=found.ess.mean().item(),
        ess_minimum=found.ess.min().item(),
        ess_low=int((found.ess < _LOW_ESS).sum()),
        ess_threshold=_LOW_ESS,
        zero_weights=int(found.zeros.sum()),
        seconds=time.perf_counter() - start,
        notes=tuple(_notes(model, found, ks, samples=samples, chunk=chunk)),
    )


class _PerDatum(NamedTuple):
    """What is kept of a minibatch, on the CPU: `(rows, B)` twice and `(B,)` twice."""

    means: Tensor
    variances: Tensor
    ess: Tensor
    zeros: Tensor


def _weigh(
    model: Weighable, x: Tensor, *, samples: int, ks: tuple[int, ...], batch_size: int, chunk: int, progress: bool
) -> tuple[_PerDatum, list[BoundStream]]:
    """What is kept of every datum, and the streams of the last minibatch, which know their names and counts."""
    found: list[_PerDatum] = []
    with bar(progress) as shown:
        task = shown.add_task("log-likelihood", total=len(x))
        for first, batch in minibatches(model, x, batch_size):
            draw, stream = _drawer(model, batch), DrawStream(ks)
            for done in range(0, samples, chunk):
                count = min(chunk, samples - done)
                stream.update(_checked(draw(samples=count).total, count, len(batch)))
                shown.advance(task, len(batch) * count / samples)
            _refuse_undefined(stream.log_total, first)
            found.append(_reduced(stream))
            shown.update(task, completed=first + len(batch))
    return _PerDatum(*(torch.cat(parts, dim=-1) for parts in zip(*found, strict=True))), stream.bounds


def _drawer(model: Weighable, x: Tensor) -> Callable[..., LogWeights]:
    """`log_weights` of a minibatch whose encoder has run already, where the model allows that."""
    once = {"posterior": cast(Any, model).posterior(x)} if _encodes_once(model) else {}
    return functools.partial(model.log_weights, x, **once)


def _encodes_once(model: Weighable) -> bool:
    return hasattr(model, "posterior") and "posterior" in inspect.signature(model.log_weights).parameters


def _accept(x: Tensor) -> None:
    """The check of a model that has none."""


def _sorted(ks: Sequence[int], samples: int) -> tuple[int, ...]:
    for k in ks:
        check_counts(k=k)
    above = [k for k in ks if k > samples]
    if above or not ks:
        fitting = tuple(sorted({k for k in ks if k <= samples} | {samples}))
        raise ValueError(
            f"ks must name at least one k and none above samples = {samples}, got {tuple(ks)}; "
            f"pass samples={max(above, default=samples)} or more, or ks={fitting}"
        )
    return tuple(sorted(set(ks)))


def _checked(log_w: Tensor, samples: int, batch: int) -> Tensor:
    if log_w.shape != (samples, batch):
        raise ValueError(f"log_weights must give the shape (samples, B) = {(samples, batch)}, got {tuple(log_w.shape)}")
    return log_w


def _refuse_undefined(log_total: Tensor, first: int) -> None:
    bad = log_total.isnan() | (log_total == math.inf)
    if bad.any():
        index = int(bad.nonzero()[0])
        what = "NaN" if log_total[index].isnan() else "inf"
        raise ValueError(
            f"datum {first + index} has a log-weight of {what} ({int(bad.sum())} such data in its minibatch); "
            "look for parameters that are not finite, or evaluate an earlier checkpoint"
        )


def _reduced(stream: DrawStream) -> _PerDatum:
    moments = [bound.moments for bound in stream.bounds]
    means = torch.stack([moment.mean for moment in moments])
    variances = torch.stack([moment.variance for moment in moments])
    return _PerDatum(means.cpu(), variances.cpu(), stream.effective_sample_size.cpu(), stream.zeros.cpu())


def _row(stream: BoundStream, index: int, found: _PerDatum, samples: int) -> BoundEstimate:
    """A row of the result: the mean over the data and its two errors."""
    values, groups = found.means[index], stream.moments.count
    N = len(values)
    if groups > 1 and N * (groups - 1) >= _FREEDOM:
        method, variance = "groups", found.variances[index] / groups
    else:
        method, variance = "delta", _squared_variation(found.ess, samples) / (groups * stream.k)
    return BoundEstimate(
        name=stream.kind,
        k=stream.k,
        value=values.mean().item(),
        std_error=values.std().item() / math.sqrt(N) if N > 1 else math.nan,
        mc_error=variance.sum().sqrt().item() / N,
        mc_method=method,
        groups=groups,
        blocks=stream.blocks,
    )


def _squared_variation(ess: Tensor, samples: int) -> Tensor:
    r"""$\mathrm{Var}[w] / \mathrm{E}[w]^2$ from the effective sample size of so many draws; NaN for one."""
    K = samples
    return (K / ess - 1).clamp_min(0) * (K / (K - 1)) if K > 1 else torch.full_like(ess, math.nan)


def _notes(model: Weighable, found: _PerDatum, ks: tuple[int, ...], *, samples: int, chunk: int) -> Iterator[str]:
    """What to be careful about, in plain sentences."""
    if samples > _LOW_ESS and (low := int((found.ess < _LOW_ESS).sum())):
        yield (
            f"{low} of {len(found.ess)} data have an effective sample size below {_LOW_ESS:g} of {samples} draws: "
            "their bounds are loose and their Monte Carlo error is understated; draw more samples"
        )
    if zeros := int(found.zeros.sum()):
        where = f"{int((found.zeros > 0).sum())} data"
        yield f"{zeros} log-weights of {where} are -inf: the model gives them no probability at these draws"
    for k in ks:
        if k > EXACT_JACKKNIFE and k % BLOCKS:
            yield f"the block jackknife at k = {k} is one at {k - k % BLOCKS}, the last multiple of {BLOCKS}"
    if not _encodes_once(model) and chunk < samples:
        yield "the encoder ran once for every chunk of draws: model.log_weights takes no argument posterior"
    if not hasattr(model, "latents"):
        yield f"no active units and no KL per unit: {type(model).__name__} has no method latents(x, samples)"
