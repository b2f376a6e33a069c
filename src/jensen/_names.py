"""The answer to a name that does not exist: the nearest one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

__all__ = ["check_choice", "pick"]

T = TypeVar("T")


def check_choice(what: str, given: str, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones, suggest the nearest and name all.

    Raises:
        ValueError: if `given` is not in `known`.

    Example:
        >>> check_choice("data set", "mnits", ["digits", "mnist"])
        Traceback (most recent call last):
        ValueError: unknown data set 'mnits'; did you mean 'mnist'? Choose one of: digits, mnist
    """
    choices = list(known)
    if given in choices:
        return
    near = get_close_matches(str(given).lower(), choices, n=1)
    advice = f"did you mean {near[0]!r}? Choose" if near else "choose"
    raise ValueError(f"unknown {what} {given!r}; {advice} one of: {', '.join(choices)}")


def pick(known: Mapping[str, T], name: str, what: str, *, rest: str = "`jensen list` shows all of them") -> T:
    """What is known by a name, where there are too many to name all.

    Raises:
        ValueError: if nothing is; the message suggests the nearest name and ends with `rest`.

    Example:
        >>> pick({"matching": 1}, "matchin", "study")
        Traceback (most recent call last):
        ValueError: unknown study 'matchin'; did you mean 'matching'? `jensen list` shows all of them
    """
    if name not in known:
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown {what} {name!r}; {advice}{rest}")
    return known[name]
