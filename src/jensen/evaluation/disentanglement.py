r"""How cleanly the units of a code hold the known factors of the data, each unit one factor and each factor one unit.

Arrays in: codes `(N, D)`, such as posterior means, and the values of the factors that the data were made from, whole
numbers `(N, F)`. All three scores lie between 0 and 1, take no notice of the order of units or factors, and call a code
perfect that holds every factor in a unit of its own. None of them can be had without known factors.

| score | asks | of a rotation of perfect codes |
|---|---|---|
| `mutual_information_gap` | is there *one* unit that knows most about a factor? | near 0 |
| `dci` | does a predictor of a factor look at one unit, and a unit serve one factor? | low, though informative still |
| `factor_vae_score` | which unit stands still when a factor is held? | lower; a majority vote forgives much |

A unit may hold several factors and the gap still be one; the disentanglement of `dci` sees it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen._contracts import Pairs
from jensen.evaluation._arrays import Array, real_numbers
from jensen.evaluation.scores import MeanScore, mean_score

__all__ = ["DCI", "InformationGap", "dci", "dci_of_importance", "factor_vae_score", "mutual_information_gap"]

Matrix = NDArray[np.float64]
Levels = NDArray[np.int64]


@dataclass(frozen=True)
class InformationGap:
    """What units know about factors.

    Attributes:
        value: the mean of the gaps.
        gaps: of each factor, in shares of its entropy.
        information: mutual information of every unit with every factor in nats, a row for each unit.
    """

    value: float
    gaps: tuple[float, ...]
    information: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness, informativeness.

    Attributes:
        disentanglement: whether a unit serves one factor only, mean over the units by their importance.
        completeness: whether a factor is served by one unit only, mean over the factors.
        informativeness: the share of held-out values that are predicted right, mean over the factors; NaN where nothing
            was predicted.
        importance: of every unit for every factor, a row for each unit.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: tuple[tuple[float, ...], ...]


def mutual_information_gap(codes: Array, factors: Array, *, bins: int = 20) -> InformationGap:
    r"""By how much the best unit knows more about a factor than the second best.

    $$\mathrm{MIG} = \frac{1}{F} \sum_k \frac{I(z_{j_k}; v_k) - \max_{j \ne j_k} I(z_j; v_k)}{H(v_k)}, \qquad
    j_k = \arg\max_j I(z_j; v_k)$$

    The information is that of the empirical joint distribution of factor and code, the latter in bins of equal width.
    It is too large by about $(\text{bins} - 1)(\text{values} - 1) / 2N$ nats, for all units alike. The paper
    integrates over the posterior $q(z \mid x)$ instead; pass draws in place of means to look at it.

    Args:
        codes: `(N, D)`. A unit that never moves knows nothing.
        factors: whole numbers `(N, F)`.
        bins: bins of each unit, between its least and its largest value.

    Raises:
        ValueError: if shapes do not agree, a factor is no whole number or has one value only, or there is no bin.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3))
        >>> mutual_information_gap(factors.double(), factors).value
        1.0
        >>> turned = torch.stack([factors[:, 0] + factors[:, 1], factors[:, 0] - factors[:, 1]], 1)
        >>> round(mutual_information_gap(turned, factors).value, 4)
        0.0

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
        | https://arxiv.org/abs/1802.04942
    """
    z, v = _checked(codes, factors)
    if bins < 1:
        raise ValueError(f"bins is {bins}; a code needs one at least")
    binned = np.stack([_binned(column, bins) for column in z.T])
    information = np.array([[_information(unit, factor) for factor in v.T] for unit in binned])
    entropies = np.array([_information(factor, factor) for factor in v.T])
    ranked = np.sort(np.concatenate([information, np.zeros((1, v.shape[1]))]), axis=0)
    gaps = (ranked[-1] - ranked[-2]) / entropies
    return InformationGap(float(gaps.mean()), tuple(gaps.tolist()), _rows(information))


def dci(train: Pairs, test: Pairs, *, trees: int = 100, seed: int = 0) -> DCI:
    """Random forests learn to predict every factor from the code; the score looks at which units they look at.

    Every split of a tree may look at all units, so that a unit in which there is nothing to see gets no importance. How
    the importances become scores, and what to do with those of another predictor: `dci_of_importance`.

    Args:
        train: codes `(N, D)` and factors, whole numbers `(N, F)`, for the forests.
        test: those on which informativeness is measured.
        trees: of each forest.
        seed: of the forests.

    Raises:
        ValueError: if shapes do not agree, or a factor is no whole number or has one value only.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(10, 1)
        >>> found = dci(Pairs(factors.double(), factors), Pairs(factors.double(), factors), trees=10)
        >>> round(found.disentanglement, 2), round(found.completeness, 2), found.informativeness
        (1.0, 1.0, 1.0)

    References:
        | A Framework for the Quantitative Evaluation of Disentangled Representations (Eastwood & Williams, 2018)
        | https://openreview.net/forum?id=By-7dz-AZ
    """
    from sklearn.ensemble import RandomForestClassifier

    z, v = _checked(train.inputs, train.targets)
    z_test, v_test = _checked(test.inputs, test.targets, vary=False)
    if (z.shape[1], v.shape[1]) != (z_test.shape[1], v_test.shape[1]):
        shapes = f"{z.shape} and {v.shape}, in the test {z_test.shape} and {v_test.shape}"
        raise ValueError(f"codes and factors have shapes {shapes}; give as many units and factors in both")
    importance, right = [], []
    for k in range(v.shape[1]):
        forest = RandomForestClassifier(trees, max_features=None, random_state=seed).fit(z, v[:, k])
        importance.append(forest.feature_importances_)
        right.append(float((forest.predict(z_test) == v_test[:, k]).mean()))
    found = dci_of_importance(np.stack(importance, axis=1))
    return DCI(found.disentanglement, found.completeness, float(np.mean(right)), found.importance)


def dci_of_importance(importance: Array | Sequence[Sequence[float]]) -> DCI:
    r"""Disentanglement and completeness of a table of importances, from whatever predictor they come.

    $$D = \sum_i \rho_i \big(1 - H_F(P_i)\big), \quad P_{ij} = \frac{R_{ij}}{\sum_k R_{ik}}, \quad
    \rho_i = \frac{\sum_j R_{ij}}{\sum_{ij} R_{ij}}, \qquad
    C = \frac{1}{F} \sum_j \big(1 - H_D(\tilde P_j)\big), \quad \tilde P_{ij} = \frac{R_{ij}}{\sum_k R_{kj}}$$

    Entropies are in units of $\log F$ and $\log D$; with one factor, or one unit, there is nothing to mix, and the
    score is 1. A unit of no importance does not count; a factor for which no unit matters has completeness 0.

    Args:
        importance: $R$, how much unit i matters for factor j, at least 0, `(D, F)`.

    Raises:
        ValueError: if an importance is negative or not finite, or the table has other than two axes.

    Example:
        >>> dci_of_importance([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).disentanglement
        1.0
        >>> found = dci_of_importance([[1.0, 1.0], [0.0, 0.0]])
        >>> found.disentanglement, found.completeness
        (0.0, 1.0)

    References:
        | A Framework for the Quantitative Evaluation of Disentangled Representations (Eastwood & Williams, 2018)
        | https://openreview.net/forum?id=By-7dz-AZ
    """
    R = real_numbers("importance", importance).numpy()  # type: ignore[arg-type]
    if R.ndim != 2 or not np.isfinite(R).all() or R.min() < 0:
        raise ValueError(f"importance of shape {R.shape} must be finite, at least 0, and (units, factors)")
    whole = R.sum()
    if whole == 0:
        return DCI(0.0, 0.0, math.nan, _rows(R))
    disentanglement = (R.sum(1) / whole) @ _concentration(R)
    return DCI(float(disentanglement), float(_concentration(R.T).mean()), math.nan, _rows(R))


def factor_vae_score(
    codes: Array,
    factors: Array,
    *,
    votes: int = 800,
    group: int = 64,
    least_variance: float = 0.0,
    seed: int = 0,
) -> MeanScore:
    r"""How often the unit that stands still tells which factor is held still.

    A vote takes a factor $k$ at random and `group` data with the same value of it; the unit with the least variance in
    the group, in shares of its variance over all data, votes for $k$. Each unit then stands for the factor it voted
    for most often in half of the votes, and the score is the share of the other half that says so too.

    Args:
        codes: `(N, D)`.
        factors: whole numbers `(N, F)`; of every value there should be many data that differ in all else.
        votes: in each of the two halves.
        group: data in a vote, drawn with replacement.
        least_variance: units whose variance over all data is below this, or that never move, do not vote; 0.05 leaves
            out the collapsed ones of a code whose prior has variance 1.
        seed: of the votes.

    Returns:
        The share, with its standard error over the votes; chance, at least $1/F$, where no unit may vote.

    Raises:
        ValueError: if shapes do not agree, a factor is no whole number or has one value only, or a number is too small.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3))
        >>> factor_vae_score(factors.double(), factors, votes=100).value
        1.0

    References:
        | Disentangling by Factorising (Kim & Mnih, 2018)
        | https://arxiv.org/abs/1802.05983
    """
    z, v = _checked(codes, factors)
    if votes < 1 or group < 2 or least_variance < 0:
        numbers = f"votes={votes}, group={group}, least_variance={least_variance}"
        raise ValueError(f"give a vote or more, groups of two or more and no negative variance, got {numbers}")
    variance = z.var(0)
    active = (z.max(0) > z.min(0)) & (variance >= least_variance)
    scaled = z[:, active] / np.sqrt(variance[active]) if active.any() else np.zeros((len(z), 1))
    F, rng = v.shape[1], np.random.default_rng(seed)
    held, still = np.array([_vote(scaled, v, group, rng) for _ in range(2 * votes)]).T
    counts = np.zeros((scaled.shape[1], F))
    np.add.at(counts, (still[:votes], held[:votes]), 1)
    return mean_score((counts.argmax(1)[still[votes:]] == held[votes:]).astype(np.float64))


def _vote(z: Matrix, v: Levels, group: int, rng: np.random.Generator) -> tuple[int, int]:
    """The factor that was held, and the unit that stood still."""
    k = int(rng.integers(v.shape[1]))
    same = np.flatnonzero(v[:, k] == v[rng.integers(len(v)), k])
    return k, int(z[rng.choice(same, group)].var(0).argmin())


def _concentration(R: Matrix) -> Matrix:
    """One minus the entropy of each row's shares in units of the largest; 0 for a row of zeros."""
    total, width = R.sum(1), R.shape[1]
    shares = R / np.where(total > 0, total, 1)[:, None]
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    found: Matrix = np.where(total > 0, 1 - entropy / (math.log(width) if width > 1 else 1), 0.0)
    return found


def _information(a: Levels, b: Levels) -> float:
    """Mutual information of two columns of whole numbers in nats; with itself, a column's entropy."""
    (_, a_place), (_, b_place) = (np.unique(column, return_inverse=True) for column in (a, b))
    joint = np.zeros((a_place.max() + 1, b_place.max() + 1))
    np.add.at(joint, (a_place, b_place), 1 / len(a))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / independent[held])).sum())


def _binned(column: Matrix, bins: int) -> Levels:
    """The bin of each number, of so many between the least and the largest."""
    low, high = column.min(), column.max()
    if high == low:
        return np.zeros(len(column), dtype=np.int64)
    places: Levels = ((column - low) / (high - low) * bins).astype(np.int64).clip(max=bins - 1)
    return places


def _checked(codes: Array, factors: Array, *, vary: bool = True) -> tuple[Matrix, Levels]:
    z, v = real_numbers("codes", codes), real_numbers("factors", factors)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v):
        shapes = f"{tuple(z.shape)} and {tuple(v.shape)}"
        raise ValueError(f"codes and factors have shapes {shapes}; expected (N, units) and (N, factors)")
    if not bool(z.isfinite().all()) or not bool((v.isfinite() & (v == v.round())).all()):
        raise ValueError("codes must be finite, and factors whole numbers: number the values of each")
    if vary and (single := [k for k in range(v.shape[1]) if bool((v[:, k] == v[0, k]).all())]):
        raise ValueError(f"factor {single[0]} has one value only; leave it out")
    return z.numpy(), v.long().numpy()


def _rows(table: Matrix) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())
