"""What a study is: an experiment that gives numbers and trains nothing to keep. Nothing here imports torch."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from jensen._names import pick
from jensen.recipes._json import decode
from jensen.recipes.recipe import Measured, Paper, Published

__all__ = ["Study", "change", "require_positive", "take"]


@dataclass(frozen=True)
class Study:
    """An experiment of several parts, each a run with numbers, and what others and we got from it.

    Attributes:
        name: what the command line calls it.
        title: one line for a list.
        papers: where the experiment comes from.
        about: what the numbers are, their unit and which direction is better.
        function: where its parts come from, `module:name`; called as `name(settings, seed=seed)` it gives a dict of
            functions without arguments, each of which returns values by what they measure. Values of one name are
            repetitions, in one part or in several.
        settings: a frozen dataclass of numbers.
        smoke: one of the same class that takes seconds, for tests.
        seed: the default.
        threads: CPU threads of a run, torch's own number where None.
        form: how its numbers are written, as in `format(number, form)`.
        differs: what the papers did otherwise, one sentence each.
        published: numbers from the literature.
        measured: our numbers.

    Raises:
        ValueError: if `settings` and `smoke` are not of one class, or `function` has no colon.

    Example:
        >>> from jensen.recipes import studies
        >>> studies.get("permutation-matching").settings.repeats
        40
    """

    name: str
    title: str
    papers: tuple[Paper, ...]
    about: str
    function: str
    settings: Any
    smoke: Any
    seed: int = 0
    threads: int | None = 1
    form: str = ".3f"
    differs: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        """Refuse settings that nobody can read back, and a function that nobody can find."""
        if not is_dataclass(self.settings) or type(self.settings) is not type(self.smoke):
            kinds = f"{type(self.settings).__name__} and {type(self.smoke).__name__}"
            raise ValueError(f"{self.name}: settings and smoke must be of one dataclass, got {kinds}")
        if self.function.count(":") != 1:
            raise ValueError(f"{self.name}: function must read 'module:name', got {self.function!r}")

    def write(self, value: float) -> str:
        """A number as the study writes its numbers, a dash where there is none.

        Example:
            >>> from jensen.recipes import studies
            >>> studies.get("permutation-matching").write(0.25)
            '0.250'
        """
        return "–" if math.isnan(value) else format(value, self.form)


def take(known: Mapping[str, Study], name: str) -> Study:
    """The study of a name.

    Raises:
        ValueError: if there is none; the message suggests the nearest name.

    Example:
        >>> take({}, "matching")
        Traceback (most recent call last):
        ValueError: unknown study 'matching'; `jensen list` shows all of them
    """
    return pick(known, name, "study")


def change(settings: Any, changes: Sequence[str]) -> Any:
    """Settings with other numbers.

    Args:
        settings: a frozen dataclass.
        changes: each of the form `name=value`; several values are separated by commas.

    Raises:
        ValueError: if a change has another form, names no setting, or its value is of another type.

    Example:
        >>> from jensen.recipes import Budget
        >>> change(Budget(epochs=3, batch_size=20), ["epochs=5"]).epochs
        5
        >>> change(Budget(epochs=3, batch_size=20), ["epoch=5"])
        Traceback (most recent call last):
        ValueError: there is no setting 'epoch'; did you mean 'epochs'? There are: epochs, batch_size, ...
    """
    hints = get_type_hints(type(settings))
    changed = {}
    for each in changes:
        name, equals, text = each.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ValueError(f"a change is written name=value, got {each!r}")
        if name not in hints:
            near = get_close_matches(name, hints, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"there is no setting {name!r}; {advice}There are: {', '.join(hints)}")
        changed[name] = decode(hints[name], _read(hints[name], text.strip()), name)
    return replace(settings, **changed)


def require_positive(settings: Any, *, zero: Sequence[str] = ()) -> None:
    """Refuse numbers that are not positive, and empty lists of them.

    Args:
        settings: a dataclass of numbers and tuples of numbers.
        zero: the names of those that may be zero or negative.

    Raises:
        ValueError: naming the setting.

    Example:
        >>> from jensen.recipes import Budget
        >>> require_positive(Budget(epochs=3, batch_size=20))
    """
    for name in (field.name for field in fields(settings) if field.name not in zero):
        value = getattr(settings, name)
        entries = value if isinstance(value, tuple) else (value,)
        numbers = [entry for entry in entries if isinstance(entry, int | float)]
        if not entries or any(not 0 < number < math.inf for number in numbers):
            raise ValueError(f"{name} must be positive, got {value}")


def _read(kind: Any, text: str) -> object:
    if kind is str:
        return text
    if get_origin(kind) is tuple:
        return [_read(get_args(kind)[0], each.strip()) for each in text.strip("()[]").split(",") if each.strip()]
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text
