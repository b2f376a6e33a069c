"""The answer to a name that does not exist."""

import difflib
from collections.abc import Iterable

__all__ = ["check_choice"]


def check_choice(what: str, given: str, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones, and suggest the nearest.

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
    near = difflib.get_close_matches(str(given).lower(), choices, n=1)
    advice = f"did you mean {near[0]!r}? Choose" if near else "choose"
    raise ValueError(f"unknown {what} {given!r}; {advice} one of: {', '.join(choices)}")
