"""The numbers of an audit: frozen, comparable, and plain JSON on disk."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, get_args, get_origin, get_type_hints

from jensen.gradients.audit.recommend import recommend
from jensen.gradients.audit.text import COLUMNS, cells, render

__all__ = ["Audit", "Row", "Skipped"]

_FORMAT = "jensen-gradient-audit-1"
_NON_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class Row:
    r"""What was measured of one estimator.

    Attributes:
        name: the estimator, with its options.
        declared: `unbiased` or `biased`, as the registry has it; empty for an estimator of the user's.
        fault: where it differs from the reference by more than noise explains: `gradient`, `value`, `both`, or empty.
        worst_z: the largest absolute z-score of a coordinate of the gradient's bias.
        worst: the name of that coordinate.
        relative_bias: the norm of the mean gradient's bias, as a share of the reference's norm.
        relative_noise: what that share comes to on average without any bias; a smaller bias cannot be seen.
        value_bias: the bias of the value, summed over the batch.
        value_z: the largest absolute z-score of the value's bias over the batch.
        variance: the trace of the gradient's covariance.
        tail: the share of the one farthest replicate in it; where it is large, bias and variance rest on rare draws.
        evaluations: of f, for one estimate and one element of the batch.
        differentiated: how many of these were at samples that carry a gradient.
        seconds: for one estimate and its backward pass, the median.
        replicates: independent estimates that the moments are over.
        apart: `one pass` where all replicates shared a backward pass, `cotangents` where they shared the graph only,
            `loop` where f or q could not take a further axis.
        unjudged: coordinates in which even a bias as large as the coordinate itself would pass.
        unjudged_share: their share of the gradient's norm.
        bias: of each coordinate, where there are at most 256.
        z: its z-scores, likewise.
    """

    name: str
    declared: str
    fault: str
    worst_z: float
    worst: str
    relative_bias: float
    relative_noise: float
    value_bias: float
    value_z: float
    variance: float
    tail: float
    evaluations: int
    differentiated: int
    seconds: float
    replicates: int
    apart: str
    unjudged: int = 0
    unjudged_share: float = 0.0
    bias: tuple[float, ...] = ()
    z: tuple[float, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no bias was seen."""
        return not self.fault

    @property
    def per_evaluation(self) -> float:
        """Variance times evaluations: the variance at the price of one evaluation, by averaging estimates."""
        return self.variance * self.evaluations

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `Audit.columns`."""
        return cells(self)

    @property
    def per_second(self) -> float:
        """Variance times seconds, likewise at the price of a second."""
        return self.variance * self.seconds


@dataclass(frozen=True)
class Skipped:
    """An estimator that does not apply, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Audit:
    r"""Every estimator's bias, variance and price on one f and one q.

    Attributes:
        rows: one for each estimator that ran.
        skipped: those that do not apply.
        q: the class of the distribution.
        samples: the K that each was given.
        seed: of all draws.
        reference: where the true gradient comes from.
        value: the reference's $\mathbb{E}_q[f]$, summed over the batch.
        gradient_norm: the norm of its gradient.
        threshold: on the z-scores: a false alarm once in a thousand audits, over all coordinates and methods.
        coordinates: names of the gradient's coordinates, where there are at most 256.
        size: the number of coordinates.
        notes: plain sentences on what to be careful about.

    Raises:
        ValueError: if there is no row.

    Example:
        >>> numbers = {"worst_z": 1.0, "worst": "logits[0]", "relative_bias": 0.0, "relative_noise": 0.0, "tail": 0.01}
        >>> numbers |= {"value_bias": 0.0, "value_z": 0.5, "variance": 1.76, "evaluations": 4, "differentiated": 0}
        >>> row = Row("leave_one_out", "unbiased", "", **numbers, seconds=1e-3, replicates=2000, apart="one pass")
        >>> audit = Audit(rows=(row,), q="Categorical", samples=4)
        >>> audit.row("leave_one_out").per_evaluation
        7.04
        >>> Audit.from_json(audit.to_json()) == audit
        True
    """

    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...] = ()
    q: str = ""
    samples: int = 1
    seed: int = 0
    reference: str = ""
    value: float = math.nan
    gradient_norm: float = math.nan
    threshold: float = math.nan
    coordinates: tuple[str, ...] = ()
    size: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an audit of nothing."""
        if not self.rows:
            reasons = "; ".join(f"{each.name}: {each.reason}" for each in self.skipped)
            raise ValueError(f"no method applies to this f and q. {reasons}")

    def row(self, name: str) -> Row:
        """The row of an estimator.

        Raises:
            ValueError: if it has none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"the audit has no row {name!r}; it has {', '.join(row.name for row in self.rows)}")

    @property
    def columns(self) -> tuple[str, ...]:
        """What the cells of a row are."""
        return COLUMNS

    def table(self) -> str:
        """Plain text, aligned, at most 100 columns wide."""
        return render(self)

    @property
    def recommendation(self) -> str:
        """Which estimator to take, and why."""
        return recommend(self)

    def to_json(self) -> str:
        """Plain JSON; what is not finite is written as the string "inf", "-inf" or "nan"."""
        return json.dumps({"format": _FORMAT, **_plain(dataclasses.asdict(self))}, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: if `text` is anything else, naming the entry at fault.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"an audit must be JSON; reading stopped at line {error.lineno}: {error.msg}") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise ValueError(f'an audit must be an object with "format": "{_FORMAT}", got {found!r}; audit again')
        result: Self = _decode(cls, {name: value for name, value in content.items() if name != "format"}, "audit")
        return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _decode(kind: Any, value: Any, where: str) -> Any:
    """`value` as the type `kind`: a dataclass, a tuple of one type, a truth, a number or a text."""
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [each.name for each in dataclasses.fields(kind)]
        if not isinstance(value, dict) or set(value) != set(names):
            found = sorted(value) if isinstance(value, dict) else value
            raise ValueError(f"{where} must have exactly the entries {sorted(names)}, got {found}")
        make: Callable[..., Any] = kind if isinstance(kind, type) else type(kind)
        return make(**{name: _decode(hints[name], value[name], f"{where}.{name}") for name in names})
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list, got {value!r}")
        return tuple(_decode(get_args(kind)[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if kind is float and isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} must be of type {kind.__name__}, got {value!r}")
    return kind(value)
