"""What each run of a sampler cost, and which runs a method used."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

__all__ = ["Accounts", "Cost"]

T = TypeVar("T")


class Cost(NamedTuple):
    """What something took.

    Attributes:
        seconds: of wall time.
        evaluations: points at which the log-likelihood was asked for; a gradient counts as one.
    """

    seconds: float
    evaluations: int

    def __add__(self, other: Any) -> "Cost":
        """The sum of both."""
        return Cost(self.seconds + other.seconds, self.evaluations + other.evaluations)


@dataclass
class _Frame:
    """Something under way: what it used, and what that cost inside of it."""

    used: set[str] = field(default_factory=set)
    inside: Cost = field(default_factory=lambda: Cost(0.0, 0))


class Accounts:
    """Results by name, each made once, with what it cost by itself.

    A method that uses a run which another has made is charged the whole of it, as if it had been alone.

    Example:
        >>> accounts = Accounts()
        >>> def double():
        ...     return 2 * accounts.take("one", lambda: 1)
        >>> accounts.take("two", double), sorted(accounts.used("two"))
        (2, ['one', 'two'])
    """

    def __init__(self) -> None:
        self.evaluations = 0
        self._values: dict[str, Any] = {}
        self._costs: dict[str, Cost] = {}
        self._used: dict[str, set[str]] = {}
        self._frames: list[_Frame] = [_Frame()]

    def count(self, points: int) -> None:
        """Note that the log-likelihood was asked for at so many points."""
        self.evaluations += points

    def take(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returns, made the first time only."""
        if name not in self._values:
            frame = _Frame()
            self._frames.append(frame)
            started, before = time.perf_counter(), self.evaluations
            try:
                value = make()
            finally:
                self._frames.pop()
            whole = Cost(time.perf_counter() - started, self.evaluations - before)
            own = Cost(whole.seconds - frame.inside.seconds, whole.evaluations - frame.inside.evaluations)
            self._values[name], self._costs[name], self._used[name] = value, own, {name} | frame.used
            self._frames[-1].inside += whole
        self._frames[-1].used |= self._used[name]
        result: T = self._values[name]
        return result

    def used(self, name: str) -> frozenset[str]:
        """The names of everything that a result rests on, itself included."""
        return frozenset(self._used[name])

    def cost(self, name: str) -> Cost:
        """What a result and everything that it rests on cost."""
        total = Cost(0.0, 0)
        for each in sorted(self._used[name]):
            total += self._costs[each]
        return total
