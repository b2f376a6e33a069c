"""The audit: every estimator on one f and one q, against the truth."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from jensen.gradients.audit.compare import compare
from jensen.gradients.audit.measure import Measured, Problem, measure
from jensen.gradients.audit.methods import Method, MethodLike, resolve
from jensen.gradients.audit.rare import find_reach
from jensen.gradients.audit.reference import find_reference
from jensen.gradients.audit.replicas import expandable, named_parameters
from jensen.gradients.audit.result import Audit, Row, Skipped
from jensen.gradients.registry import Cost, UnsupportedError

__all__ = ["audit"]

FALSE_ALARM = 1e-3
"""The chance that an audit of unbiased estimators accuses any of them."""

HEAVY, ENOUGH = 0.03, 500
"""A replicate that makes such a share of the variance is worth a warning, where there are so many of them."""

UNJUDGED = 0.1
"""Coordinates with such a share of the gradient's norm are worth a word where nothing could be seen in them."""

LISTED = 256
"""Coordinates that are listed one by one, at most."""


def audit(
    f: Cost,
    q: Distribution,
    *,
    methods: Sequence[MethodLike] | Mapping[str, Callable[..., Tensor]] | None = None,
    samples: int = 4,
    replicates: int = 2000,
    reference: str = "auto",
    seed: int = 0,
    parameters: Mapping[str, Tensor] | Sequence[Tensor] | None = None,
) -> Audit:
    r"""Measure estimators of $\nabla \mathbb{E}_q[f]$ on your f and your q.

    Each makes `replicates` independent estimates. The bias of a coordinate is compared with its standard error:

    $$z_i = \frac{b_i}{\sqrt{s_i^2 / R + e_i^2 + \frac{2}{3} |b_i| M / R}}, \qquad b_i = \bar g_i - g_i$$

    with $\bar g$ and $s^2$ the mean and the variance over the $R$ replicates, $g$ the reference and $e$ its error, 0
    where it is a sum over all values. $M$ is the largest deviation in any coordinate of the same parameter, in the
    method's replicates, in the reference's, and, up to 4,096 values, at those that are likely to be missed; where rare
    values were not drawn, $s^2$ is too small. A method fails where the largest $|z|$ of gradient or value passes a
    threshold that an audit without any bias passes at most about once in a thousand times, provided that no value that
    was missed adds more than $M$. A small bias passes, too: `relative_noise` and `unjudged` say how small. By default
    the gradient is that in the leaves behind `q`, such as its logits.

    Args:
        f: maps samples `(K, *batch, *event)` to costs `(K, *batch)`; where it takes a further batch axis, all
            replicates are evaluated together.
        q: a distribution of any batch shape with parameters that require a gradient.
        methods: names of `gradients.ESTIMATORS`, `(name, options)`, or estimators of one's own, as `(name, function)`
            or in a dict, called as `function(f, q, samples=K, generator=generator)`; all that apply where None.
        samples: K, given to each.
        replicates: R.
        reference: `exact`, the name of an unbiased estimator for a run ten times as long, or `auto`: exact up to 4,096
            values, else a long run.
        seed: of all draws; the global random state is left as it was.
        parameters: what to differentiate by, instead of the leaves behind `q`; parameters of f, too.

    Returns:
        The rows, and a recommendation.

    Raises:
        ValueError: if no method applies, none has a parameter to differentiate by, or a name is unknown.

    Example:
        >>> from torch.distributions import Categorical
        >>> logits = torch.tensor([0.6, -0.4, 0.1, -0.9], requires_grad=True)
        >>> cost = torch.tensor([0.49, 5.29, 7.29, 0.04])
        >>> found = audit(lambda z: cost[z], Categorical(logits=logits), methods=["score_function", "leave_one_out"])
        >>> found.reference, [row.passed for row in found.rows]
        ('exact, the sum over 4 values', [True, True])
        >>> found.recommendation.partition(":")[0]
        'Use leave_one_out'

    References:
        | Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section 2.2
        | https://arxiv.org/abs/1906.10652v2
    """
    chosen = resolve(methods)
    if samples < 1 or replicates < 2:
        raise ValueError(f"samples must be at least 1 and replicates at least 2, got {samples} and {replicates}")
    targets = _targets(q, parameters)
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        problem = Problem(f, q, targets, samples, seed, expandable(f, q))
        truth = find_reference(problem, reference, replicates=replicates)
        if not (truth.value.isfinite().all() and truth.gradient.isfinite().all()):
            raise ValueError(f"E_q[f] or its gradient is not finite ({truth.words}); an audit needs finite costs")
        measured, skipped = _measure_all(problem, chosen, replicates)
    size = problem.size
    threshold = _threshold(max(1, len(measured)) * (size + len(truth.value)))
    chance = math.erfc(threshold / math.sqrt(2))
    rare = find_reach(problem, replicates=replicates, chance=chance)
    names = _coordinates(targets) if size <= LISTED else ()
    rows = tuple(compare(*each, truth, rare=rare, names=names, threshold=threshold) for each in measured)
    return Audit(
        rows=rows,
        skipped=tuple(skipped),
        q=_name(q),
        samples=samples,
        seed=seed,
        reference=truth.words,
        value=float(truth.value.sum()),
        gradient_norm=float(truth.gradient.norm()),
        threshold=threshold,
        coordinates=names,
        size=size,
        notes=_notes(problem, rows),
    )


def _targets(q: Distribution, parameters: Mapping[str, Tensor] | Sequence[Tensor] | None) -> dict[str, Tensor]:
    if parameters is None:
        found = named_parameters(q)
    elif isinstance(parameters, Mapping):
        found = dict(parameters)
    else:
        found = {f"parameter {i}": each for i, each in enumerate(parameters)}
    if not found:
        raise ValueError(f"{_name(q)} has no parameter that requires a gradient; make one with requires_grad=True")
    if fixed := [name for name, each in found.items() if not each.requires_grad]:
        raise ValueError(f"{', '.join(fixed)} requires no gradient; set requires_grad_() before q is made")
    return found


def _measure_all(
    problem: Problem, methods: Sequence[Method], replicates: int
) -> tuple[list[tuple[Method, Measured]], list[Skipped]]:
    """What applies, measured; what does not, with the reason it gave."""
    measured, skipped = [], []
    for method in methods:
        refusals: tuple[type[Exception], ...] = (UnsupportedError,)
        if method.declared:
            refusals += (ValueError, *((RuntimeError, TypeError, IndexError) if method.differentiates_f else ()))
        try:
            measured.append((method, measure(problem, method, replicates=replicates)))
        except refusals as error:
            skipped.append(Skipped(method.name, " ".join(str(error).split()) or type(error).__name__))
    return measured, skipped


def _threshold(tests: int) -> float:
    """The absolute z-score that any of so many tests passes by chance in one audit of a thousand."""
    tail = torch.tensor(FALSE_ALARM / (2 * tests), dtype=torch.float64)
    return -float(torch.special.ndtri(tail))


def _coordinates(parameters: Mapping[str, Tensor]) -> tuple[str, ...]:
    names = []
    for name, tensor in parameters.items():
        places = product(*map(range, tensor.shape))
        names += [f"{name}[{','.join(map(str, place))}]" for place in places] if tensor.ndim else [name]
    return tuple(names)


def _notes(problem: Problem, rows: Sequence[Row]) -> tuple[str, ...]:
    notes = []
    if not problem.axis:
        notes.append("f or q takes no further batch axis: replicates ran one by one, slower")
    if problem.size > LISTED:
        notes.append(f"the {problem.size:,} coordinates are not listed one by one")
    heavy = [row.name for row in rows if row.replicates >= ENOUGH and row.tail > HEAVY]
    if heavy:
        notes.append(f"one draw makes a large part of the variance, do not rely on it: {', '.join(heavy)}")
    if unjudged := [_unjudged(row) for row in rows if row.passed and row.unjudged_share > UNJUDGED]:
        notes.append(f"too few replicates to see a bias as large as the coordinate itself: {'; '.join(unjudged)}")
    return tuple(notes)


def _unjudged(row: Row) -> str:
    return f"{row.name} ({row.unjudged:,} coordinates, {100 * row.unjudged_share:.3g} % of the gradient's norm)"


def _name(q: Distribution) -> str:
    if isinstance(q, Independent):
        return f"Independent({_name(q.base_dist)}, {q.reinterpreted_batch_ndims})"
    return type(q).__name__
