"""The check that recipes share."""

__all__ = ["check_at_least_one"]


def check_at_least_one(name: str, value: float) -> None:
    """Refuse a number below one, or none at all.

    Raises:
        ValueError: naming it.
    """
    if not value >= 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
