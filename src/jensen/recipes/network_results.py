"""What was measured of a trained network: `evaluation.json`, numbers with errors, layers, curves."""

import math
from dataclasses import dataclass
from typing import Literal

from jensen.recipes._json import decode, parse_object, write_object

__all__ = ["Curve", "Findings", "LayerRow", "NetworkEvaluation", "Quantity", "quantity_of"]

FORMAT = "jensen-network-evaluation-1"


@dataclass(frozen=True)
class Quantity:
    """A number with its standard error over the test data, nan where there is none, and its unit."""

    what: str
    value: float
    error: float
    unit: str


@dataclass(frozen=True)
class LayerRow:
    """What is left of a layer.

    Attributes:
        name: the layer's.
        shape: of its weight.
        kept: weights that are not pruned.
        inputs: how many inputs, or input channels, the shrunk layer reads; of how many, see `shape`.
        outputs: how many units, or filters, it puts out.
        bits: for each kept weight, by the posterior's variance; 32 where that says nothing.
        threshold: of log alpha; inf where nothing was pruned.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    inputs: int
    outputs: int
    bits: int
    threshold: float

    @property
    def weights(self) -> int:
        """The number of weights before."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """The fraction that is pruned."""
        return 1 - self.kept / self.weights


@dataclass(frozen=True)
class Curve:
    """Points of a figure, with the size of an error bar where there is one; x may be a bin's middle."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse points without a height."""
        if len(self.x) != len(self.y) or len(self.error) not in (0, len(self.x)):
            sizes = f"{len(self.x)} x, {len(self.y)} y, {len(self.error)} errors"
            raise ValueError(f"curve {self.name!r} has {sizes}; give as many of each")


@dataclass(frozen=True)
class Findings:
    """Part of an evaluation: what one look at a network found."""

    quantities: tuple[Quantity, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    outside: str = ""
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Findings") -> "Findings":
        """Both, one after the other."""
        return Findings(
            self.quantities + other.quantities,
            self.layers + other.layers,
            self.curves + other.curves,
            self.outside or other.outside,
            self.notes + other.notes,
        )


def quantity_of(quantities: tuple[Quantity, ...], what: str) -> Quantity:
    """A quantity by what it measures.

    Raises:
        ValueError: if it was not measured.
    """
    for quantity in quantities:
        if quantity.what == what:
            return quantity
    raise ValueError(f"{what!r} was not measured; there are {', '.join(each.what for each in quantities)}")


@dataclass(frozen=True)
class NetworkEvaluation:
    """All that an evaluation of a network found.

    Attributes:
        task: `classification` or `regression`.
        data: test data.
        samples: draws of the weights.
        seed: of the draws.
        quantities: the table.
        layers: what is left of each, where weights were pruned.
        curves: for the figures, by name.
        outside: what was out of distribution; empty where nothing was.
        seconds: the time it took.
        notes: plain sentences on what to be careful about.

    Example:
        >>> found = NetworkEvaluation("classification", 100, 5, 0, (Quantity("error", 2.0, 1.4, "%"),))
        >>> NetworkEvaluation.from_json(found.to_json()) == found
        True
        >>> found["error"].value
        2.0
    """

    task: Literal["classification", "regression"]
    data: int
    samples: int
    seed: int
    quantities: tuple[Quantity, ...]
    layers: tuple[LayerRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    outside: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def __getitem__(self, what: str) -> Quantity:
        """A quantity by what it measures.

        Raises:
            ValueError: if it was not measured.
        """
        return quantity_of(self.quantities, what)

    def curve(self, name: str) -> Curve | None:
        """A curve by its name, None where there is none."""
        return next((curve for curve in self.curves if curve.name == name), None)

    def to_json(self) -> str:
        """Plain JSON; what is not finite is written as the string "inf", "-inf" or "nan"."""
        return write_object(self, FORMAT)

    @staticmethod
    def from_json(text: str) -> "NetworkEvaluation":
        """What `to_json` wrote.

        Raises:
            ValueError: if `text` is anything else, naming the entry at fault.
        """
        found: NetworkEvaluation = decode(NetworkEvaluation, parse_object(text, FORMAT), "evaluation")
        return found
