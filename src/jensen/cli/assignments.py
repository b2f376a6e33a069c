"""Words such as `tau=0.5` on a command line, as names and values."""

__all__ = ["assignments"]


def assignments(words: tuple[str, ...], option: str) -> tuple[tuple[str, int | float | str], ...]:
    """Words such as `tau=0.5` as names and numbers, or names and words.

    Args:
        words: as they were typed.
        option: what they were typed behind, for the message.

    Raises:
        ValueError: if a word is no assignment.

    Example:
        >>> assignments(("tau=0.5", "hidden=100-50"), "--option")
        (('tau', 0.5), ('hidden', '100-50'))
    """
    pairs = [word.partition("=") for word in words]
    if wrong := [name for name, equals, value in pairs if not (name and equals and value)]:
        raise ValueError(f"{option} takes NAME=VALUE, such as tau=0.5, got {wrong[0]!r}")
    return tuple((name, _number(value)) for name, _, value in pairs)


def _number(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
