"""Several estimates of one evidence, side by side: where they agree, and where not."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jensen._evidence import Evidence
from jensen.evidence.accounts import Cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["APART", "Comparison"]

APART = 3.0
"""Combined standard errors beyond which two estimates are said to differ."""

SHOWN = 3
"""Pairs that differ of which the notes tell one by one."""

ROUNDING = 1e-8
"""A difference, relative to log Z, that is none."""

COLUMNS = ("method", "log Z", "error", "seconds", "evaluations", "verdict")
SIGNS = {"estimate": "", "approximation": "≈ ", "bound": "≥ ", "score": ""}


@dataclass(frozen=True)
class Comparison(Mapping[str, Evidence]):
    """What several methods said of one target, by name.

    Attributes:
        results: of each method that came to an end.
        costs: of each, with everything that it rests on, as if it had been run alone.
        failures: why the others did not.
        exact: the log-evidence where it is known.

    Example:
        >>> results = {"bridge": Evidence(-2.398, 0.002), "naive": Evidence(-2.31, 0.01)}
        >>> costs = {"bridge": Cost(0.1, 5000), "naive": Cost(0.01, 10000)}
        >>> comparison = Comparison(results, costs, exact=-2.39790)
        >>> comparison["bridge"].log_z, comparison.disagreements
        (-2.398, (('bridge', 'naive', 8.6...),))
        >>> comparison.verdict("naive")
        '8.8 σ above'
    """

    results: Mapping[str, Evidence]
    costs: Mapping[str, Cost]
    failures: Mapping[str, str] = field(default_factory=dict)
    exact: float | None = None

    def __getitem__(self, name: str) -> Evidence:
        """The result of one method.

        Raises:
            KeyError: if it was not asked for, or failed, saying why.
        """
        if name in self.failures:
            raise KeyError(f"{name} failed: {self.failures[name]}")
        if name not in self.results:
            raise KeyError(f"{name} was not asked for; there are: {', '.join(self.results)}")
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the methods that came to an end."""
        return iter(self.results)

    def __len__(self) -> int:
        """How many they are."""
        return len(self.results)

    @property
    def disagreements(self) -> tuple[tuple[str, str, float], ...]:
        """Pairs of estimates further apart than `APART` combined standard errors, and how far, the farthest first."""
        found = []
        for (a, first), (b, second) in combinations(self._judged.items(), 2):
            distance = _distance(first.log_z - second.log_z, math.hypot(first.std_error, second.std_error), first.log_z)
            if distance > APART:
                found.append((a, b, distance))
        return tuple(sorted(found, key=lambda each: -each[2]))

    @property
    def reference(self) -> str | None:
        """The estimate that the others are held against: of those without a warning the one of least error."""
        calm = {name: each for name, each in self._judged.items() if not each.warnings} or self._judged
        return min(calm, key=lambda name: calm[name].std_error, default=None)

    @property
    def yardstick(self) -> str | None:
        """What verdicts are against: `exact`, or the name of the reference."""
        return "exact" if self.exact is not None else self.reference

    def verdict(self, name: str) -> str:
        """How far a method is from the yardstick: in combined standard errors σ, in nats where it has none."""
        evidence = self[name]
        if evidence.kind == "score":
            return "a score"
        if self.yardstick in (None, name):
            return "yardstick" if self.yardstick == name else "no error bar"
        known, error = self._truth()
        off = evidence.log_z - known
        side = "above" if off > 0 else "below"
        if evidence.kind != "estimate" or not math.isfinite(evidence.std_error):
            return f"{abs(off):.2g} {side}"
        distance = _distance(off, math.hypot(evidence.std_error, error), known)
        return f"{distance:.1f} σ {'ok' if distance <= APART else side}"

    def table(self) -> Table:
        """The comparison for a terminal, the failures and warnings below it."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 0), caption_justify="left")
        against = "the exact value" if self.yardstick == "exact" else self.yardstick
        table.caption = (
            f"log Z in nats; verdicts in standard errors σ, or nats, against {against}" if against else "log Z in nats"
        )
        for i, column in enumerate(COLUMNS):
            table.add_column(column, justify="right" if 0 < i < 5 else "left", no_wrap=i < 5)
        if self.exact is not None:
            table.add_row("exact", f"{self.exact:.4f}", "", "", "", "", style="bold")
        for name in self:
            table.add_row(*self.cells(name))
        for name in self.failures:
            table.add_row(name, "–", "", "", "", "failed", style="dim")
        return table

    def cells(self, name: str) -> tuple[str, str, str, str, str, str]:
        """A method's row as text: name, log Z, error, seconds, evaluations, verdict."""
        evidence, cost = self[name], self.costs[name]
        error = evidence.std_error
        digits = min(max(1 - math.floor(math.log10(error)), 1), 8) if 0 < error < math.inf else 4
        written = "–" if math.isnan(error) else f"{error:.{digits}f}" if error > 0 else "0"
        value = f"{SIGNS[evidence.kind]}{evidence.log_z:.{digits}f}"
        return name, value, written, f"{cost.seconds:.2f}", f"{cost.evaluations:,}", self.verdict(name)

    def notes(self) -> tuple[str, ...]:
        """Every disagreement, failure and warning, as sentences."""
        warned = [f"{name}: {sentence}" for name, each in self.results.items() for sentence in each.warnings]
        pairs = self.disagreements
        apart = [f"{a} and {b} differ by {distance:.1f} combined errors" for a, b, distance in pairs[:SHOWN]]
        if len(pairs) > SHOWN:
            apart.append(f"{len(pairs) - SHOWN} more pairs differ by more than {APART:g} combined errors")
        failed = [f"{name} failed: {reason}" for name, reason in self.failures.items()]
        return (*apart, *failed, *warned)

    def picture(self, path: Path | str | None = None) -> "Figure":
        """Every value with a bar of two standard errors, the exact value as a line.

        Args:
            path: where to write it, too; the ending says in which format.
        """
        from jensen.evidence.picture import draw

        figure = draw(self)
        if path is not None:
            figure.savefig(path)
        return figure

    def __str__(self) -> str:
        """The table as plain text, with the notes."""
        console = Console(width=150, no_color=True)
        with console.capture() as text:
            console.print(self.table())
            for note in self.notes():
                console.print(f"note: {note}", soft_wrap=True, highlight=False)
        return "\n".join(line.rstrip() for line in text.get().strip("\n").splitlines())

    @property
    def _judged(self) -> dict[str, Evidence]:
        return {
            name: each
            for name, each in self.results.items()
            if each.kind == "estimate" and math.isfinite(each.std_error) and math.isfinite(each.log_z)
        }

    def _truth(self) -> tuple[float, float]:
        if self.exact is not None:
            return self.exact, 0.0
        reference = self[str(self.reference)]
        return reference.log_z, reference.std_error


def _distance(difference: float, error: float, size: float) -> float:
    """A difference in standard errors; one within rounding is none."""
    if abs(difference) <= ROUNDING * (1 + abs(size)):
        return 0.0
    return abs(difference) / error if error > 0 else math.inf
