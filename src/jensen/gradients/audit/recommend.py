"""Which estimator an audit speaks for, in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jensen.gradients.audit.result import Audit, Row

__all__ = ["best", "recommend"]

NOTHING = 1e-6
"""A share of the gradient's norm that does not count."""

TIE = 1.1
"""Work-normalised variances within such a factor are no reason to choose."""


def best(audit: "Audit") -> "Row | None":
    """The row to take: of those that pass and are not biased by design, the least variance times evaluations.

    Among rows that tie, the fastest; among rows without variance, the first of those with the fewest evaluations. None
    where every method fails.
    """
    sound = _sound(audit)
    exact = [row for row in sound if row.variance == 0]
    if exact:
        return min(exact, key=lambda row: row.evaluations)
    least = min((row.per_evaluation for row in sound), default=0.0)
    return min((row for row in sound if row.per_evaluation <= TIE * least), key=lambda row: row.seconds, default=None)


def recommend(audit: "Audit") -> str:
    """The choice, its reason, what comes close, and what not to use."""
    chosen = best(audit)
    failed = [row for row in audit.rows if not row.passed]
    sentences = [_choice(audit, chosen), *_ties(audit, chosen), *_lucky(audit, chosen), *_failed(failed)]
    return " ".join(sentences)


def _choice(audit: "Audit", chosen: "Row | None") -> str:
    if chosen is None:
        return "No method without bias by design passes the bias test here; audit others, or more samples."
    passed = sum(row.passed for row in audit.rows)
    if chosen.variance == 0:
        return f"Use {chosen.name}: it is exact at {_count(chosen.evaluations)} of f."
    reason = f"least variance times evaluations of f ({chosen.per_evaluation:.3g})"
    if passed == 1:
        return f"Use {chosen.name}: it is the only one that passes the bias test."
    return f"Use {chosen.name}: of the {passed} methods that pass the bias test it has the {reason}."


def _sound(audit: "Audit") -> "list[Row]":
    """Rows that pass, are not biased by design, and owe their lack of variance, if any, to more than unseen values."""
    rows = [row for row in audit.rows if row.passed and row.declared != "biased"]
    return [row for row in rows if row.variance > 0 or row.unjudged_share < NOTHING]


def _ties(audit: "Audit", chosen: "Row | None") -> list[str]:
    if chosen is None:
        return []
    others = [row for row in _sound(audit) if row is not chosen]
    if chosen.variance == 0:
        ties = [row.name for row in others if row.variance == 0 and row.evaluations <= TIE * chosen.evaluations]
        return [f"So {_is(ties)} {_list(ties)}."] if ties else []
    ties = [row.name for row in others if row.per_evaluation <= TIE * chosen.per_evaluation]
    said = [f"{_list(ties)} {_is(ties)} as good, within 10 %."] if ties else []
    faster = min(others, key=lambda row: row.per_second, default=chosen)
    if faster.name not in ties and 2 * faster.per_second < chosen.per_second:
        said.append(f"Where f is as cheap as here, {faster.name} has less variance in the same time.")
    return said


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _lucky(audit: "Audit", chosen: "Row | None") -> list[str]:
    names = [
        row.name
        for row in audit.rows
        if row.passed and row.declared == "biased" and (chosen is None or row.per_evaluation < chosen.per_evaluation)
    ]
    if not names:
        return []
    return [f"{_list(names)} shows no bias on this problem and varies less, but has one in general."]


def _failed(failed: "list[Row]") -> list[str]:
    if not failed:
        return []
    named = [f"{row.name} ({_fault(row)})" for row in sorted(failed, key=lambda row: -row.relative_bias)]
    return [f"Biased here: {_list(named)}."]


def _fault(row: "Row") -> str:
    if row.fault == "value":
        return f"in the value, z = {row.value_z:.3g}"
    return f"by {100 * row.relative_bias:.3g} % of the gradient, z = {row.worst_z:.3g}"


def _count(evaluations: int) -> str:
    return "1 evaluation" if evaluations == 1 else f"{evaluations:,} evaluations"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
