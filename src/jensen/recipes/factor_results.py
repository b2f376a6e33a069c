"""What was measured of separated factors: `evaluation.json`, a table of numbers with errors."""

from dataclasses import dataclass

from jensen.recipes._json import decode, parse_object, write_object
from jensen.recipes.network_results import Quantity, quantity_of

__all__ = ["FactorEvaluation"]

FORMAT = "jensen-factor-evaluation-1"


@dataclass(frozen=True)
class FactorEvaluation:
    """All that an evaluation of separated factors found.

    Attributes:
        data: test images.
        seed: of partners, noise and probes.
        quantities: the table.
        seconds: the time it took.
        notes: plain sentences on what to be careful about.

    Example:
        >>> found = FactorEvaluation(300, 0, (Quantity("label error from z, mlp probe", 72.0, 2.6, "%"),))
        >>> FactorEvaluation.from_json(found.to_json()) == found
        True
        >>> found["label error from z, mlp probe"].value
        72.0
    """

    data: int
    seed: int
    quantities: tuple[Quantity, ...]
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def __getitem__(self, what: str) -> Quantity:
        """A quantity by what it measures.

        Raises:
            ValueError: if it was not measured.
        """
        return quantity_of(self.quantities, what)

    def to_json(self) -> str:
        """Plain JSON; what is not finite is written as the string "inf", "-inf" or "nan"."""
        return write_object(self, FORMAT)

    @staticmethod
    def from_json(text: str) -> "FactorEvaluation":
        """What `to_json` wrote.

        Raises:
            ValueError: if `text` is anything else, naming the entry at fault.
        """
        found: FactorEvaluation = decode(FactorEvaluation, parse_object(text, FORMAT), "evaluation")
        return found
