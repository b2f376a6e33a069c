r"""Where to cut log dropout rates: the emptiest place between two modes, if the data have two.

Trained groups fall into those that carry signal and those that are noise. The cut between them is a property of the
density of $\log \alpha$, so it is taken from an estimate of that density, not from a look at a histogram:

1. A Gaussian kernel density loses modes as its bandwidth grows. At the smallest bandwidth with no more than two modes,
   the minimum between them is the cut. No bandwidth is chosen by hand, the widths and sizes of the modes may differ,
   and a small group of survivors among hundreds of dead units keeps its mode, where a split by variances (Otsu's) cuts
   the large mode in two. A mode with fewer than two groups or one percent is an outlier and is set aside.
2. Any sample has two modes at some bandwidth. Silverman's test says whether they mean anything: how often does a sample
   of the smoothest density with *one* mode, at the bandwidth where the second vanishes, have two? It is lenient on flat
   densities, so the valley must also be less than half as high as the lower mode.

With one mode only the threshold is infinite: nothing is pruned, and the result says so. Samples of one normal, uniform
or exponential density are told from two in all but a few percent of cases; long skewed tails (a lognormal's) are
mistaken for a mode more often, in up to a third of the samples where a stray tail holds a little over one percent.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Threshold", "propose_threshold", "propose_thresholds"]

Floats = NDArray[np.float64]

BINS = 400
LARGEST = 4000
DEPTH = 0.5
SHARE = 0.01
LIMIT = 8.0


@dataclass(frozen=True)
class Threshold:
    r"""Where to cut.

    Attributes:
        value: groups whose $\log \alpha$ is below stay; infinite where the data have one mode.
        modes: 1 or 2.
        kept: how many groups stay.
        depth: height of the density at the cut, as a share of the lower mode's height.
        p_value: how often data with one mode look as bimodal as these.
    """

    value: float
    modes: int
    kept: int
    depth: float
    p_value: float


@dataclass(frozen=True)
class _Density:
    """A binned sample on a grid, in the frequency domain."""

    start: float
    step: float
    spectrum: NDArray[np.complex128]

    def at(self, bandwidth: float) -> Floats:
        """The kernel estimate with a bandwidth in bins, `(BINS,)`, up to a factor."""
        frequency = np.fft.rfftfreq(2 * BINS)
        smoothed = self.spectrum * np.exp(-2 * (np.pi * frequency * bandwidth) ** 2)
        density = np.fft.irfft(smoothed, 2 * BINS)[:BINS]
        return np.where(density < 1e-9 * density.max(), 0.0, density)

    def critical(self, modes: int) -> float:
        """The smallest bandwidth, in bins, with no more than so many modes."""
        low, high = math.log(0.5), math.log(BINS / 2)
        if len(_peaks(self.at(math.exp(low)))) <= modes:
            return math.exp(low)
        for _ in range(18):
            middle = (low + high) / 2
            low, high = (low, middle) if len(_peaks(self.at(math.exp(middle)))) <= modes else (middle, high)
        return math.exp(high)


def propose_threshold(log_alphas: Tensor, *, level: float = 0.05, resamples: int = 500) -> Threshold:
    r"""The cut between groups that carry signal and groups that are noise, proposed by their log dropout rates.

    It looks for the emptiest place between two modes and tests that there are two; see this module's text for the
    method. The same data always give the same answer: the test's resampling has a seed of its own.

    Args:
        log_alphas: $\log \alpha$ of all groups of a layer, `(N,)`. Of more than 4000 their quantiles are taken.
        level: two modes are believed if data with one would show them less often than this.
        resamples: how many samples of the one-moded density the test draws.

    Returns:
        The threshold; infinite, with `modes=1`, where the data do not fall into two.

    Raises:
        ValueError: if `log_alphas` is no vector of finite numbers, or holds none; if `level` is not in (0, 1), or there
            are too few resamples to reach it.

    Example:
        >>> kept, dropped = torch.linspace(-6.0, -4.0, 30), torch.linspace(2.0, 3.0, 100)
        >>> found = propose_threshold(torch.cat([kept, dropped]))
        >>> found.modes, found.kept, -4 < found.value < 2
        (2, 30, True)
        >>> propose_threshold(torch.randn(100)).value
        inf

    References:
        | Using Kernel Density Estimates to Investigate Multimodality (Silverman, 1981)
        | https://doi.org/10.1111/j.2517-6161.1981.tb01155.x
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4
        | https://arxiv.org/abs/1705.08665v4
    """
    if log_alphas.ndim != 1 or not len(log_alphas) or not bool(log_alphas.isfinite().all()):
        raise ValueError(
            f"log_alphas have shape {tuple(log_alphas.shape)}; give a vector of finite numbers, at least one"
        )
    if not 0 < level < 1 or (resamples + 1) * level < 1:
        raise ValueError(f"level {level} with {resamples} resamples cannot be reached; take a level in (0, 1) and more")
    every = np.sort(log_alphas.detach().double().cpu().numpy())
    sample = every if len(every) <= LARGEST else np.quantile(every, np.linspace(0, 1, LARGEST))
    found = _cut(sample)
    if found is None:
        return Threshold(math.inf, 1, len(every), 1.0, 1.0)
    value, depth, sample = found
    p_value = _silverman(sample, resamples)
    if p_value > level or depth > DEPTH:
        return Threshold(math.inf, 1, len(every), depth, p_value)
    return Threshold(value, 2, int((every < value).sum()), depth, p_value)


def propose_thresholds(net: nn.Module, *, level: float = 0.05) -> dict[str, Threshold]:
    r"""A threshold for each layer of a network whose weights share dropout rates in groups, by the layer's name.

    Rates are clipped to $|\log \alpha| \le 8$ first, as sparse variational dropout clips those of weights: beyond, a
    group is all noise or all signal, and inputs that are never on would make a mode of their own. Layers with a rate
    for each weight are left out: theirs have a long tail and one mode, and keep the threshold of the layer.

    Args:
        net: a network with group-sparse layers.
        level: as for `propose_threshold`.

    Raises:
        ValueError: if no layer has rates of groups.
    """
    layers = {name: module for name, module in net.named_modules() if hasattr(module, "group_log_alpha")}
    if not layers:
        raise ValueError(f"{type(net).__name__} has no layer with dropout rates of groups; make some with compressible")
    return {
        name: propose_threshold(layer.group_log_alpha().detach().clamp(-LIMIT, LIMIT), level=level)
        for name, layer in layers.items()
    }


def _cut(sample: Floats) -> tuple[float, float, Floats] | None:
    """The cut, the depth of the valley there, and the sample without outliers; None where only one mode is left."""
    while len(sample) >= 4 and sample[-1] > sample[0]:
        density = _binned(sample)
        height = density.at(1.0001 * density.critical(2))
        peaks = _peaks(height)
        if len(peaks) < 2:
            return None
        valley = height[peaks[0] : peaks[1] + 1]
        lowest = np.flatnonzero(valley <= valley.min() + 1e-9 * height.max())
        value = density.start + density.step * (peaks[0] + lowest.mean())
        below, least = int((sample < value).sum()), max(2.0, SHARE * len(sample))
        if below < least:
            sample = sample[max(below, 1) :]
        elif len(sample) - below < least:
            sample = sample[: min(below, len(sample) - 1)]
        else:
            return float(value), float(valley.min() / height[peaks].min()), sample
    return None


def _silverman(sample: Floats, resamples: int) -> float:
    """How often a sample of the smoothest one-moded estimate has two modes at its bandwidth."""
    density = _binned(sample)
    bins = density.critical(1)
    bandwidth, mean, variance = bins * density.step, sample.mean(), sample.var()
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(resamples):
        drawn = generator.choice(sample, len(sample)) + bandwidth * generator.standard_normal(len(sample))
        drawn = mean + (drawn - mean) / math.sqrt(1 + bandwidth**2 / variance)
        binned = _binned(drawn)
        hits += len(_peaks(binned.at(bandwidth / binned.step))) > 1
    return (1 + hits) / (1 + resamples)


def _binned(sample: Floats) -> _Density:
    """The sample on a grid half as wide again as its range, each number shared by its two neighbours."""
    low, high = sample.min(), sample.max()
    start, step = low - (high - low) / 4, 1.5 * (high - low) / (BINS - 1)
    place = (sample - start) / step
    left = place.astype(np.int64)
    share = place - left
    counts = np.bincount(left, 1 - share, BINS) + np.bincount(left + 1, share, BINS)
    return _Density(float(start), float(step), np.fft.rfft(counts, 2 * BINS))


def _peaks(height: Floats) -> NDArray[np.int64]:
    slope = np.sign(np.diff(height))
    places = np.flatnonzero(slope)
    slope = slope[places]
    return places[:-1][(slope[:-1] > 0) & (slope[1:] < 0)] + 1
