"""One line of the table of `evidence.py`, and how two sides are timed in turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

__all__ = ["Row", "Timed", "in_turns", "row", "timed"]

T = TypeVar("T")


class Row(NamedTuple):
    """Medians of ours and of the peer, None where there is no peer; a ratio above 1 is to our advantage."""

    case: str
    quantity: str
    ours: float
    theirs: float | None
    ratio: float | None
    note: str = ""


class Timed(NamedTuple):
    """Seconds on the clock and on the processor, and what was made."""

    wall: float
    cpu: float
    result: object


def timed(make: Callable[[], object]) -> Timed:
    """Run it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = make()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu, result)


def in_turns(sides: dict[str, Callable[[int], T]], repeats: int) -> dict[str, list[T]]:
    """What each side gives for every seed; the sides take turns, so that both meet the same load of the machine."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for seed in range(repeats):
        for name, run in sides.items():
            found[name].append(run(seed))
    return found


def row(
    case: str, quantity: str, ours: Sequence[float], theirs: Sequence[float], *, less: bool = True, note: str = ""
) -> Row:
    """The medians and their ratio, where less is better, or more."""
    mine = statistics.median(ours)
    if not theirs:
        return Row(case, quantity, mine, None, None, note)
    other = statistics.median(theirs)
    return Row(case, quantity, mine, other, other / mine if less else mine / other, note)
