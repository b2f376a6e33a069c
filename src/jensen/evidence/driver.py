"""From a target to its log-evidence in one call: the sampling, the estimate, and the comparison of several."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from jensen._evidence import Evidence
from jensen._targets import Target
from jensen.evidence.accounts import Cost
from jensen.evidence.comparison import APART, Comparison
from jensen.evidence.methods import METHODS, choose_methods
from jensen.evidence.progress import bars
from jensen.evidence.runs import Runs
from jensen.evidence.settings import Settings, change_settings

__all__ = ["compare", "log_evidence"]

Told = Callable[[str, Evidence, Cost], None]


def log_evidence(
    target: Target, *, method: str = "bridge", draws: Any = None, seed: int = 0, progress: bool = False, **settings: Any
) -> Evidence:
    r"""The log-evidence of a target by one method: it draws what the method needs, and makes the estimate.

    $$\log Z = \log \int p(y \mid \theta)\, p(\theta)\, d\theta$$

    Args:
        target: likelihood and prior.
        method: a name from `METHODS`.
        draws: ready-made draws of the posterior, in any form that `as_draws` takes, for the methods that need some.
        seed: of everything random.
        progress: whether to show how far it is.
        settings: of `Settings`, by name, such as `chains=1000`.

    Returns:
        The value with its standard error, in nats, its diagnostics and warnings.

    Raises:
        ValueError: if the method is unknown or does not apply, a setting is, or a function of the target's raises.

    Example:
        >>> import torch
        >>> from torch.distributions import Beta, Binomial
        >>> target = Target(lambda p: Binomial(10, p).log_prob(torch.tensor(2.0)), Beta(*torch.ones(2).double()))
        >>> found = log_evidence(target, method="bridge", chains=64)
        >>> abs(found.log_z + 2.3979) < 4 * found.std_error
        True
    """
    names = choose_methods(target, method)
    if len(names) != 1:
        raise ValueError(f"log_evidence takes the name of one method, got {method!r}; compare takes several")
    name = names[0]
    with bars(show=progress) as report:
        runs = Runs(target, settings=change_settings(Settings(), settings), seed=seed, draws=draws, progress=report)
        return runs.measure(name, METHODS[name].run)[0]


def compare(
    target: Target,
    methods: str | Sequence[str] | None = None,
    *,
    draws: Any = None,
    seed: int = 0,
    quiet: bool = False,
    progress: bool = False,
    picture: Path | str | None = None,
    done: Mapping[str, tuple[Evidence, Cost]] | None = None,
    tell: Told | None = None,
    **settings: Any,
) -> Comparison:
    """Several methods on one target; runs of samplers are shared, a method that fails does not stop the others.

    Prints the table unless `quiet`, and warns where two estimates differ by more than three combined standard errors.

    Args:
        target: likelihood and prior.
        methods: names from `METHODS`; the default ones if None, every one that applies if `all`.
        draws: ready-made draws of the posterior, in any form that `as_draws` takes.
        seed: of everything random; a method's result does not depend on which others are asked for.
        quiet: whether to print nothing.
        progress: whether to show how far it is.
        picture: where to write the picture, if anywhere.
        done: results of an interrupted comparison, which are taken over.
        tell: called with each result as soon as it is there.
        settings: of `Settings`, by name, such as `chains=1000`.

    Returns:
        Each method's `Evidence` by its name, with costs, verdicts, table and picture.

    Raises:
        ValueError: if a method or setting is unknown or does not apply, or every method fails.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> prior = Normal(torch.zeros(()).double(), 1.0)
        >>> target = Target(lambda z: Normal(z, 1.0).log_prob(torch.tensor(1.5)), prior, exact=-1.8280121)
        >>> result = compare(target, ["naive", "laplace"], quiet=True)
        >>> round(result["laplace"].log_z, 4), result.verdict("naive")[3:]
        (-1.828, ' σ ok')
    """
    names = choose_methods(target, methods)
    changed = change_settings(Settings(), settings)
    found, failures = dict(done or {}), {}
    with bars(show=progress) as report:
        runs = Runs(target, settings=changed, seed=seed, draws=draws, progress=report)
        for name in names:
            if name in found:
                continue
            try:
                found[name] = runs.measure(name, METHODS[name].run)
            except (ValueError, RuntimeError, ArithmeticError) as error:
                failures[name] = str(error)
                continue
            if tell is not None:
                tell(name, *found[name])
    if len(failures) == len(names):
        raise ValueError(f"every method failed; {names[0]}: {failures[names[0]]}")
    result = Comparison(
        {name: found[name][0] for name in names if name in found},
        {name: found[name][1] for name in names if name in found},
        failures,
        target.exact,
    )
    if picture is not None:
        result.picture(picture)
    if not quiet:
        _print(result)
    for a, b, distance in result.disagreements[:1]:
        count = len(result.disagreements)
        more = f", and {count - 1} more pairs are apart" if count > 1 else ""
        message = f"{a} and {b} differ by {distance:.1f} combined standard errors (more than {APART:g}){more}"
        warnings.warn(message, stacklevel=2)
    return result


def _print(result: Comparison) -> None:
    console = Console()
    console.print(result.table())
    for note in result.notes():
        console.print(f"note: {note}", style="yellow", highlight=False)
