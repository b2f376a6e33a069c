"""What all methods on an annealing path share: the array of log-likelihoods, checked, and the error of a joint mean."""

import math
from typing import NamedTuple

from torch import Tensor

from jensen._chains import effective_sample_size, mcse
from jensen.evidence._weights import as_values

__all__ = ["PowerPosteriors", "errors_of_means", "power_posteriors", "relative_draws", "shown", "student_factor"]

MANY_CHAINS = 20
"""From so many chains on, the spread of their means is the error, and autocorrelations need not be estimated."""


class PowerPosteriors(NamedTuple):
    """Log-likelihoods `(T, S, C)` in double precision, NaN made `-inf`, at ascending `betas` `(T,)` from 0 to 1."""

    values: Tensor
    betas: Tensor
    nan: int
    minus_inf: int

    @property
    def steps(self) -> Tensor:
        """Differences of neighbouring betas, `(T - 1,)`."""
        return self.betas.diff()

    @property
    def counts(self) -> dict[str, int]:
        """How many draws there are, and how many of them say nothing."""
        return {"draws": self.values.numel(), "nan": self.nan, "minus_inf": self.minus_inf}

    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the values themselves."""
        draws = self.values.numel()
        return (f"{self.nan} of {draws} values are NaN and were given weight zero.",) if self.nan else ()


def power_posteriors(values: Tensor, betas: Tensor, *, name: str) -> PowerPosteriors:
    """The arrays, checked.

    Raises:
        ValueError: if the shapes do not fit, betas do not ascend from 0 to 1, there are fewer than two draws, a value
            is `+inf`, or all values at a temperature are `-inf` or NaN.
    """
    values = as_values(values, name)
    if values.ndim != 3 or not values.is_floating_point() or not len(values) or values[0].numel() < 2:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected (temperatures, draws, chains), two draws at least"
        )
    beta = as_values(betas, "betas").detach().cpu().double()
    if beta.ndim != 1 or len(beta) != len(values) or len(beta) < 2:
        raise ValueError(
            f"betas {tuple(beta.shape)} and {name} {tuple(values.shape)} do not fit; give (T,) and (T, S, C)"
        )
    if beta[0] != 0 or beta[-1] != 1 or not bool((beta.diff() > 0).all()):
        raise ValueError(f"betas must ascend from 0 to 1, got {beta.tolist()}")
    wide = values.detach().cpu().double()
    if bool((wide == math.inf).any()):
        raise ValueError(f"{name} is +inf at {int((wide == math.inf).sum())} of {wide.numel()} draws")
    nan, minus_inf = int(wide.isnan().sum()), int((wide == -math.inf).sum())
    wide = wide.nan_to_num(-math.inf, math.inf, -math.inf)
    if bool((silent := (wide == -math.inf).flatten(1).all(1)).any()):
        raise ValueError(f"every {name} at beta = {shown(beta[silent])} is -inf or NaN")
    return PowerPosteriors(wide, beta, nan, minus_inf)


def errors_of_means(x: Tensor) -> Tensor:
    r"""Standard errors of the means of `x` `(S, C, *batch)` over draws and chains, `(*batch)`.

    Twenty chains or more are replicates: the error is the standard deviation of their means over $\sqrt C$, widened
    by Student's factor. Fewer are judged by their autocorrelation, very short ones as independent draws.
    """
    S, C = x.shape[:2]
    if C >= MANY_CHAINS:
        return x.mean(0).std(0) / math.sqrt(C) * student_factor(C)
    return mcse(x) if S >= 4 else x.flatten(0, 1).std(0) / math.sqrt(S * C)


def relative_draws(x: Tensor) -> Tensor:
    """How many independent draws `x` `(S, C, *batch)` is worth, `(*batch)`; all where chains are too short to say."""
    return effective_sample_size(x).nan_to_num(x.shape[0] * x.shape[1])


def student_factor(replicates: int, *, level: float = 0.95) -> float:
    r"""$t_{R - 1} / z$, by which an error from $R$ replicates is widened for normal intervals to keep their level.

    Example:
        >>> [round(student_factor(R), 3) for R in (4, 8, 64)]
        [1.624, 1.206, 1.02]
    """
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(replicates - 1, (1 + level) / 2) / ndtri((1 + level) / 2))


def shown(betas: Tensor) -> str:
    """Betas in a sentence."""
    return ", ".join(f"{beta:.3g}" for beta in betas.tolist())
