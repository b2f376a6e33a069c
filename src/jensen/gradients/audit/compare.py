"""What was measured against what is true: bias, z-scores, verdict."""

import math

from torch import Tensor

from jensen.gradients.audit.measure import Measured
from jensen.gradients.audit.methods import Method
from jensen.gradients.audit.moments import Moments
from jensen.gradients.audit.rare import Reach, spread
from jensen.gradients.audit.reference import Reference
from jensen.gradients.audit.result import Row

__all__ = ["compare"]


def compare(
    method: Method,
    found: Measured,
    truth: Reference,
    *,
    rare: Reach,
    names: tuple[str, ...] = (),
    threshold: float = 4.56,
) -> Row:
    """The row of a method: its moments against the truth.

    Args:
        method: what was measured.
        found: its moments and its price.
        truth: value and gradient as they should be.
        rare: how far an estimate may go where no replicate went.
        names: of the gradient's coordinates; none where they are not to be listed.
        threshold: on the absolute z-scores.
    """
    rounding = _rounding(found.gradient, truth.gradient, truth.eps)
    variance = found.gradient.variance
    noise = found.gradient.std_error.square() + truth.gradient_error.square()
    reach = _per_replicate(method, found, truth, rare)
    bias = found.gradient.mean - truth.gradient
    z = bias / (spread(bias, noise, reach.gradient) + rounding)
    whole = truth.gradient.abs()
    unjudged = whole <= threshold * spread(whole, noise, reach.gradient) + rounding
    value_bias = found.value.mean - truth.value
    value_noise = found.value.std_error.square() + truth.value_error.square()
    value_z = value_bias / (
        spread(value_bias, value_noise, reach.value) + _rounding(found.value, truth.value, truth.eps)
    )
    worst = int(z.abs().argmax())
    total = float(variance.sum())
    return Row(
        name=method.name,
        declared=method.declared,
        fault=_fault(not z.abs().max() <= threshold, not value_z.abs().max() <= threshold),
        worst_z=float(z.abs().max()),
        worst=names[worst] if names else f"coordinate {worst}",
        relative_bias=_ratio(bias.norm(), truth.gradient.norm()),
        relative_noise=_ratio(noise.sum().sqrt(), truth.gradient.norm()),
        value_bias=float(value_bias.sum()),
        value_z=float(value_z.abs().max()),
        variance=total if total > rounding**2 * len(variance) else 0.0,
        tail=found.gradient.tail if total > rounding**2 * len(variance) else 0.0,
        evaluations=found.evaluations,
        differentiated=found.differentiated,
        seconds=found.seconds,
        replicates=found.gradient.count,
        apart=found.apart,
        unjudged=int(unjudged.sum()),
        unjudged_share=_ratio(whole[unjudged].norm(), truth.gradient.norm()),
        bias=tuple(bias.tolist()) if names else (),
        z=tuple(z.tolist()) if names else (),
    )


def _fault(gradient: bool, value: bool) -> str:
    return "both" if gradient and value else "gradient" if gradient else "value" if value else ""


def _per_replicate(method: Method, found: Measured, truth: Reference, rare: Reach) -> Reach:
    """How far a mean may be off by one more rare draw, in the method's replicates and in the reference's run."""
    run = rare.with_draws(truth.reach, truth.value_reach)
    own = run.with_draws(found.gradient.reach, found.value.reach)
    share = 0.0 if method.noise_free else 1 / found.gradient.count
    gradient = own.gradient * share + run.gradient / truth.count
    return Reach(gradient, own.value * share + run.value / truth.count, rare.sizes)


def _rounding(found: Moments, truth: Tensor, eps: float) -> float:
    """How far a coordinate may be off by rounding alone, in numbers of relative precision `eps`."""
    level = max(float(truth.abs().max()), float(found.variance.max().sqrt()))
    return max(100 * eps * level, 1e-30)


def _ratio(part: Tensor, whole: Tensor) -> float:
    return float(part / whole) if whole > 0 else 0.0 if part == 0 else math.inf
