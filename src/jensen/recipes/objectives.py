"""What training ascends, in numbers; `recipes.running.make_objective` makes the callable. No torch is imported."""

from dataclasses import dataclass
from typing import Literal

from jensen.recipes._checks import check_at_least_one

__all__ = ["Constraint", "Objective"]


@dataclass(frozen=True)
class Constraint:
    r"""What a run must reach in expectation, $\mathbb{E}[C(x, z)] \le 0$, at the least divergence.

    Attributes:
        kappa: the tolerance $\kappa$.
        name: `reconstruction` (squared error summed over the pixels, minus $\kappa^2$), `pixel` (its mean over the
            pixels, minus $\kappa^2$) or `likelihood` ($-\log p(x \mid z) - \kappa$).
        alpha: decay of the moving average of $C$.
        rate: how fast the logarithm of the multiplier follows the moving average, in units of the tolerance.
        initial: the multiplier at the start, times the tolerance ($\kappa^2$ of an error).
        warm_start: steps in which the multiplier is held.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> print(Constraint(kappa=2.0))
        reconstruction within kappa = 2
    """

    kappa: float
    name: Literal["reconstruction", "pixel", "likelihood"] = "reconstruction"
    alpha: float = 0.99
    rate: float = 0.02
    initial: float = 10.0
    warm_start: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that control nothing."""
        signed = self.name == "likelihood" and abs(self.kappa) < float("inf")
        for name in ("rate", "initial") if signed else ("kappa", "rate", "initial"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a positive number, got {getattr(self, name)}")
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha is a decay between 0 and 1, got {self.alpha}")
        if self.warm_start < 0:
            raise ValueError(f"warm_start must not be negative, got {self.warm_start}")

    def __str__(self) -> str:
        """What is asked for."""
        return f"{self.name} within kappa = {self.kappa:g}"


@dataclass(frozen=True)
class Objective:
    r"""The bound that training ascends and how many draws a datum gets.

    Attributes:
        name: `iwae`; `elbo` (Monte Carlo) or `sgvb_b` (analytic KL); `dreg` or `resampled`, which have the value of
            `iwae` and another gradient; `estimated`, for discrete units; `free_bits` or `balanced`, the ELBO with a
            gradient that leaves small KL terms alone or evens them out; `geco`, the least KL under a constraint.
        samples: draws for each datum in a step.
        method: for `estimated`, a gradient estimator by its name in `gradients`; otherwise empty.
        options: of that estimator, such as `(("tau", 0.5),)`.
        beta: constant weight $\beta$ of the KL terms in the gradient; the value stays the bound.
        free_bits: for `free_bits`, nats that each unit may keep at no cost; otherwise 0.
        constraint: for `geco`.

    Raises:
        ValueError: if a number is out of range, or there is a method, free bits or a constraint where none can be, or
            none where one must be.

    Example:
        >>> print(Objective("geco", constraint=Constraint(kappa=2.0)))
        geco, reconstruction within kappa = 2
        >>> print(Objective("sgvb_b", beta=4.0))
        sgvb_b, beta = 4
    """

    name: Literal["iwae", "elbo", "sgvb_b", "dreg", "resampled", "estimated", "free_bits", "balanced", "geco"]
    samples: int = 1
    method: str = ""
    options: tuple[tuple[str, int | float | str], ...] = ()
    beta: float = 1.0
    free_bits: float = 0.0
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        """Refuse to train without a draw or without a gradient, and numbers that go to nobody."""
        check_at_least_one("samples", self.samples)
        if (self.name == "estimated") != bool(self.method):
            pair = f"objective {self.name!r} with method {self.method!r}"
            raise ValueError(f"{pair}; a method is for 'estimated', the objective of discrete units, and only for it")
        if self.options and not self.method:
            raise ValueError(f"objective {self.name!r} takes no options, got {', '.join(dict(self.options))}")
        if not 0 <= self.beta < float("inf"):
            raise ValueError(f"beta is a weight of at least 0, got {self.beta}")
        if (self.name == "free_bits") != (self.free_bits > 0):
            pair = f"objective {self.name!r} with free_bits {self.free_bits:g}"
            raise ValueError(f"{pair}; nats above 0 are for 'free_bits' and only for it")
        if (self.name == "geco") != (self.constraint is not None):
            pair = f"objective {self.name!r} with {'a' if self.constraint else 'no'} constraint"
            raise ValueError(f"{pair}; a constraint, with its kappa, is for 'geco' and only for it")
        if self.name == "geco" and self.beta != 1:
            raise ValueError(f"objective 'geco' finds the weight of its KL itself, got beta {self.beta:g}")

    def __str__(self) -> str:
        """The bound, and what else its gradient depends on."""
        options = ", ".join(f"{name}={value}" for name, value in self.options)
        words = [f"{self.name} by {self.method}{options and f' ({options})'}" if self.method else self.name]
        if self.constraint is not None:
            words.append(str(self.constraint))
        if self.free_bits:
            words.append(f"{self.free_bits:g} nats free")
        if self.beta != 1:
            words.append(f"beta = {self.beta:g}")
        return ", ".join(words)
