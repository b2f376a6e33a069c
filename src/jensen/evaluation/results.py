"""The numbers of an evaluation: frozen, comparable, and plain JSON on disk."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

__all__ = ["BoundEstimate", "Evaluation", "LayerActivity", "read_result", "write_result"]

R = TypeVar("R")

_FORMAT = "jensen-evaluation-1"
_NON_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class BoundEstimate:
    r"""One bound, averaged over the data, with both of its errors; all in nats per datum.

    Attributes:
        name: `elbo`, `iwae`, `jackknife` (leaves out one draw at a time) or `block_jackknife` (one of `blocks` blocks
            of draws). The jackknives are estimates of $\log p(x)$ with less bias, no bounds.
        k: the number of draws in a group.
        value: the mean over the data of the mean over groups.
        std_error: how far another test set of this size would move `value`: the standard deviation over the data
            divided by $\sqrt{N}$; it holds the Monte Carlo noise too. NaN for a single datum.
        mc_error: how far other draws would move `value` on these same data; NaN where a single draw gives no idea.
        mc_method: `groups` where `mc_error` is the spread over the groups of draws, `delta` where it comes from the
            effective sample size.
        groups: the number of groups of k draws, for each datum.
        blocks: how many blocks a jackknife leaves out in turn; 0 for a bound.
    """

    name: str
    k: int
    value: float
    std_error: float
    mc_error: float
    mc_method: str = "groups"
    groups: int = 1
    blocks: int = 0


@dataclass(frozen=True)
class LayerActivity:
    r"""How much of the data each unit of one stochastic layer knows.

    Attributes:
        variance: the variance over the data of each unit's posterior mean,
            $\mathrm{Var}_x\left(\mathbb{E}_{q(z \mid x)}[z_d]\right)$.
        kl: each unit's divergence from its prior, averaged over the data, in nats.
        threshold: a unit is active where its variance is above this.

    Example:
        >>> layer = LayerActivity(variance=(0.9, 1e-5), kl=(2.0, 0.01))
        >>> layer.active, layer.units
        (1, 2)

    References:
        | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.2
        | https://arxiv.org/abs/1509.00519v4
    """

    variance: tuple[float, ...]
    kl: tuple[float, ...]
    threshold: float = 0.01

    @property
    def units(self) -> int:
        """The number of units."""
        return len(self.variance)

    @property
    def active(self) -> int:
        """The number of active units."""
        return sum(variance > self.threshold for variance in self.variance)


@dataclass(frozen=True)
class Evaluation:
    r"""What `evaluate` found: every bound from the same draws, and how far to trust it.

    Attributes:
        rows: the bounds and jackknives, k ascending.
        layers: one entry for each stochastic layer, lowest first; empty where the model does not tell.
        data: the number N of data.
        samples: the number K of draws for each datum.
        seed: what the draws were seeded with; together with `batch_size` and `chunk` it fixes them.
        batch_size: the number of data in a minibatch.
        chunk: the number of draws that were held at once.
        ess_mean: the mean over the data of the effective sample size of the K draws, in $[1, K]$.
        ess_minimum: the smallest one.
        ess_low: how many data have one below `ess_threshold`; there even the largest k is still loose.
        ess_threshold: the threshold.
        zero_weights: how many of the N K log-weights were `-inf`.
        seconds: the time it took.
        notes: plain sentences on what to be careful about.

    Raises:
        ValueError: if `rows` holds no bound.

    Example:
        >>> rows = (BoundEstimate("elbo", 1, -90.0, 0.5, 0.01), BoundEstimate("iwae", 50, -87.0, 0.5, 0.02))
        >>> result = Evaluation(rows=rows, data=100, samples=50)
        >>> result.nll, result.gap
        (87.0, 3.0)
        >>> Evaluation.from_json(result.to_json()) == result
        True
    """

    rows: tuple[BoundEstimate, ...]
    layers: tuple[LayerActivity, ...] = ()
    data: int = 0
    samples: int = 0
    seed: int = 0
    batch_size: int = 0
    chunk: int = 0
    ess_mean: float = math.nan
    ess_minimum: float = math.nan
    ess_low: int = 0
    ess_threshold: float = 10.0
    zero_weights: int = 0
    seconds: float = math.nan
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a result without a bound."""
        if not self.bounds:
            raise ValueError("an evaluation needs at least one row named elbo or iwae")

    @property
    def bounds(self) -> tuple[BoundEstimate, ...]:
        """The rows that are lower bounds in expectation: no jackknife."""
        return tuple(row for row in self.rows if row.blocks == 0)

    @property
    def tightest(self) -> BoundEstimate:
        """The bound at the largest k."""
        return max(self.bounds, key=lambda row: row.k)

    @property
    def nll(self) -> float:
        r"""Minus the bound at the largest k, in nats per datum: positive for a bad model, and too large on average."""
        return -self.tightest.value

    @property
    def gap(self) -> float:
        r"""The bound at the largest k minus the one at the smallest, in nats.

        From the ELBO on it estimates, from below, $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$: what the posterior's
        family and its network cost.
        """
        return self.tightest.value - min(self.bounds, key=lambda row: row.k).value

    def table(self) -> list[dict[str, str | int | float]]:
        """Rows for a report, one dictionary each with the same keys, the negative log-likelihood last.

        Example:
            >>> Evaluation(rows=(BoundEstimate("elbo", 1, -90.0, 0.5, 0.01),)).table()[-1]["value"]
            90.0
        """
        nll = dataclasses.replace(self.tightest, name="nll", value=self.nll)
        return [dataclasses.asdict(row) for row in (*self.rows, nll)]

    def to_json(self) -> str:
        """Plain JSON; what is not finite is written as the string "inf", "-inf" or "nan"."""
        return write_result(self, _FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: if `text` is anything else, naming the entry at fault.
        """
        return read_result(cls, text, form=_FORMAT, what="an evaluation")


def write_result(result: Any, form: str) -> str:
    """A frozen dataclass of numbers as plain JSON that names its form."""
    return json.dumps({"format": form, **_plain(dataclasses.asdict(result))}, indent=2, allow_nan=False) + "\n"


def read_result(kind: type[R], text: str, *, form: str, what: str) -> R:
    """What `write_result` wrote.

    Args:
        kind: the dataclass.
        text: the JSON.
        form: the name of the form that it must have.
        what: what it is, with its article, for the message.

    Raises:
        ValueError: if `text` is anything else, naming the entry at fault.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}: {error.msg}"
        raise ValueError(f"{what} must be JSON; reading stopped at {where}") from None
    if not isinstance(content, dict) or content.get("format") != form:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'{what} must be an object with "format": "{form}", got {found!r}; evaluate again')
    result: R = _decode(kind, {name: value for name, value in content.items() if name != "format"}, what.split()[-1])
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f'an evaluation must be plain JSON, got {name}; write the string "inf", "-inf" or "nan"')


def _decode(kind: Any, value: Any, where: str) -> Any:
    """`value` as the type `kind`: a dataclass, a tuple of one type, a number or a text."""
    if dataclasses.is_dataclass(kind):
        return _decode_fields(kind, value, where)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list, got {value!r}")
        return tuple(_decode(get_args(kind)[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if kind is float and isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise ValueError(f"{where} must be of type {kind.__name__}, got {value!r}")
    try:
        return kind(value)
    except OverflowError:
        raise ValueError(f"{where} is too large a number") from None


def _decode_fields(kind: Any, value: Any, where: str) -> Any:
    hints = get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(value, dict) or value.keys() != names:
        found = sorted(value) if isinstance(value, dict) else value
        raise ValueError(f"{where} must have exactly the entries {sorted(names)}, got {found}")
    return kind(**{name: _decode(hints[name], value[name], f"{where}.{name}") for name in names})
