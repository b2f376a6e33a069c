"""What a recipe of an evidence is: a target, the methods to try, and what others and we got. No torch is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jensen._names import pick
from jensen.recipes.recipe import Measured, Paper, Published

__all__ = ["EvidenceRecipe", "take_evidence"]

SMOKE: Mapping[str, int | str] = {
    "chains": 32,
    "draws_per_chain": 50,
    "warmup": 100,
    "temperatures": 8,
    "reference_temperatures": 4,
    "ladder_chains": 16,
    "ladder_draws": 25,
    "ladder_warmup": 50,
    "samples": 1000,
    "live": 50,
    "particles": 100,
    "runs": 4,
}
"""Settings of seconds, which show that everything works."""


@dataclass(frozen=True)
class EvidenceRecipe:
    """A target whose evidence is known or was published, and how it is estimated.

    Attributes:
        name: what the command line calls it.
        title: one line for a list.
        target: where it comes from, `module:function` or `module:function(argument)`.
        paper: its source.
        methods: what is tried when nothing else is asked for.
        settings: of `jensen.evidence.Settings` where they differ from the default.
        seed: the default.
        differs: what the papers did otherwise, one sentence each.
        exact: the log-evidence itself, in nats.
        published: numbers from the literature.
        measured: our numbers.
        form: how its numbers are written, as in `format(number, form)`.

    Raises:
        ValueError: if `target` has no colon or no method is named.

    Example:
        >>> from jensen.recipes import evidences
        >>> evidences.get("pima-1").target
        'jensen.datasets.targets:load(pima-1)'
    """

    name: str
    title: str
    target: str
    paper: Paper
    methods: tuple[str, ...]
    settings: Mapping[str, int | str] = field(default_factory=dict)
    seed: int = 0
    differs: tuple[str, ...] = ()
    exact: float | None = None
    published: tuple[Published, ...] = ()
    measured: tuple[Measured, ...] = ()
    form: str = ".4f"

    def __post_init__(self) -> None:
        """Refuse a target that nobody can find, and nothing to do."""
        if self.target.count(":") != 1:
            raise ValueError(f"{self.name}: target must read 'module:function', got {self.target!r}")
        if not self.methods:
            raise ValueError(f"{self.name}: no method is named")


def take_evidence(known: Mapping[str, EvidenceRecipe], name: str) -> EvidenceRecipe:
    """The recipe of a name.

    Raises:
        ValueError: if there is none; the message suggests the nearest name.

    Example:
        >>> take_evidence({}, "pima")
        Traceback (most recent call last):
        ValueError: unknown target 'pima'; `jensen list` shows all of them, and a target of your own is `module:name`
    """
    own = "`jensen list` shows all of them, and a target of your own is `module:name`"
    return pick(known, name, "target", rest=own)
