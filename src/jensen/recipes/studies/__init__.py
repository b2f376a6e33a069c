"""Every study by its name. No torch is imported."""

from jensen.recipes.studies import coverage, jackknife, permutations, rate_distortion, toys
from jensen.recipes.study import Study, take

__all__ = ["get", "names"]

STUDIES = (
    *permutations.STUDIES,
    *toys.STUDIES,
    *coverage.STUDIES,
    *jackknife.STUDIES,
    *rate_distortion.STUDIES,
)
CATALOGUE = {study.name: study for study in STUDIES}


def names() -> list[str]:
    """The names that `get` knows.

    Example:
        >>> names()[0]
        'permutation-matching'
    """
    return list(CATALOGUE)


def get(name: str) -> Study:
    """A study by its name.

    Raises:
        ValueError: if there is no such study; the message suggests the nearest name.

    Example:
        >>> get("permutation-match")
        Traceback (most recent call last):
        ValueError: unknown study 'permutation-match'; did you mean 'permutation-matching'? `jensen list` shows all ...
    """
    return take(CATALOGUE, name)
