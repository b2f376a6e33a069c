"""What a sampler knows of its run, added to the result that was made of it."""

from collections.abc import Sequence
from dataclasses import replace

from jensen._evidence import Evidence

__all__ = ["noted"]


def noted(evidence: Evidence, problems: Sequence[str], *, not_finite: int, said: bool = False) -> Evidence:
    """A result with what its sampler knows: sentences, and how many points had a density that was NaN or infinite."""
    count = f"A log-density was NaN or infinite at {not_finite} points of the run; they were given weight zero."
    sentences = [*evidence.warnings, *problems, *([count] if not_finite and not said else [])]
    return replace(evidence, warnings=tuple(sentences), diagnostics={**evidence.diagnostics, "not_finite": not_finite})
