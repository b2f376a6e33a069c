"""The estimators by name: what each asks for, costs and promises."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from torch import Tensor

from jensen.gradients._parts import Cost, UnsupportedError

__all__ = ["ESTIMATORS", "Cost", "Estimator", "UnsupportedError", "get"]


@dataclass(frozen=True)
class Estimator:
    r"""An estimator of $\nabla \mathbb{E}_q[f]$ as the audit, `expect` and training objectives know it.

    Attributes:
        name: what it is called.
        summary: one line for a table.
        evaluations: how often `f` is evaluated for one estimate of K = `samples`, in words.
        unbiased: whether the gradient is unbiased for every f and every q that it takes; the tests hold it to both
            answers.
        least_samples: the smallest K it can work with.
        differentiates_f: whether it uses $\partial f / \partial z$.
        higher_order: whether derivatives of the result of every order can be estimates, too; the score function has to
            be asked for it.
        noise_free: whether it draws nothing, so that one estimate is as good as many.
        needs: what must be given besides f and q.
        module: the file below `jensen.gradients`, where it is not called `name`.

    Example:
        >>> get("leave_one_out").least_samples
        2
    """

    name: str
    summary: str
    evaluations: str = "K"
    unbiased: bool = True
    least_samples: int = 1
    differentiates_f: bool = False
    higher_order: bool = False
    noise_free: bool = False
    needs: tuple[str, ...] = ()
    module: str = ""

    @property
    def function(self) -> Callable[..., Tensor]:
        """The driver, `function(f, q, *, samples, generator, **options)`, imported when first asked for."""
        module = import_module(f"jensen.gradients.{self.module or self.name}")
        found: Callable[..., Tensor] = getattr(module, self.name)
        return found


ESTIMATORS: dict[str, Estimator] = {
    each.name: each
    for each in (
        Estimator(
            "enumerate_exact",
            "the sum over every value of z",
            evaluations="number of values",
            higher_order=True,
            noise_free=True,
        ),
        Estimator(
            "pathwise",
            "the derivative of f along the reparameterised draw",
            differentiates_f=True,
            higher_order=True,
        ),
        Estimator(
            "score_function",
            "cost times the gradient of log q, without a baseline",
            higher_order=True,
        ),
        Estimator(
            "leave_one_out",
            "the score function, the mean cost of the other draws as baseline",
            least_samples=2,
            module="score_function",
        ),
        Estimator(
            "measure_valued",
            "differences of f under the two halves of the derivative of q",
            evaluations="K (1 + 4 D) for D Gaussians, K (1 + C D) for D entries of C values",
        ),
        Estimator("unordered_set", "distinct values, weighed by leave-one-out ratios, with the built-in baseline"),
        Estimator(
            "importance_without_replacement",
            "distinct values, weighed by their chance to be in the set",
        ),
        Estimator(
            "rao_blackwell",
            "the most probable values summed, the rest drawn; K evaluations in all",
        ),
        Estimator("arm", "antithetic uniform pairs, augmented (bits)", evaluations="2 K"),
        Estimator("disarm", "antithetic pairs of bits, conditioned on the bits", evaluations="2 K"),
        Estimator(
            "muprop",
            "the score function of what the Taylor expansion at the mean leaves",
            evaluations="K + 1",
            differentiates_f=True,
        ),
        Estimator(
            "rebar",
            "the score function with the relaxed cost as control variate",
            evaluations="3 K",
            differentiates_f=True,
        ),
        Estimator(
            "relax",
            "the score function with a learned network as control variate",
            needs=("control",),
        ),
        Estimator(
            "gumbel_softmax",
            "pathwise through the relaxed draw",
            unbiased=False,
            differentiates_f=True,
        ),
        Estimator(
            "straight_through",
            "f at the discrete draw, its gradient sent through the relaxed one",
            unbiased=False,
            differentiates_f=True,
        ),
        Estimator(
            "straight_through_mean",
            "f at the discrete draw, its gradient sent through the mean",
            unbiased=False,
            differentiates_f=True,
            module="straight_through",
        ),
        Estimator(
            "reinmax",
            "straight-through by Heun's rule: unbiased for quadratic f",
            unbiased=False,
            differentiates_f=True,
        ),
        Estimator(
            "concrete",
            "pathwise through the relaxed draw, with the relaxed densities in place of the discrete ones",
            unbiased=False,
            differentiates_f=True,
            needs=("tau",),
        ),
    )
}
"""Every estimator of $\\mathbb{E}_q[f]$; multi-sample bounds (`vimco`) estimate another quantity and are not here."""


def get(name: str) -> Estimator:
    """An estimator by its name.

    Raises:
        ValueError: if there is none; the message suggests the nearest name.

    Example:
        >>> get("leave_one_uot")
        Traceback (most recent call last):
        ValueError: unknown estimator 'leave_one_uot'; did you mean 'leave_one_out'?
    """
    if name not in ESTIMATORS:
        near = get_close_matches(name.lower(), ESTIMATORS, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(ESTIMATORS)}"
        raise ValueError(f"unknown estimator {name!r}; {advice}")
    return ESTIMATORS[name]
