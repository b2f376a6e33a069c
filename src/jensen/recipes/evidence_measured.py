"""What our own runs of `jensen evidence TARGET` gave."""

from jensen.recipes.recipe import Measured

__all__ = ["measured_evidences"]

HARDWARE = "one thread of a shared 2-core machine, torch 2.13 CPU"
FOUND: dict[str, dict[str, tuple[float, float]]] = {}


def measured_evidences(name: str) -> tuple[Measured, ...]:
    """Our log-evidences of a target by method, with their standard errors.

    Example:
        >>> measured_evidences("absent")
        ()
    """
    return tuple(
        Measured(f"log Z, {method}", value, error, name, "default settings", HARDWARE, seed=0, date="2026-11-21")
        for method, (value, error) in FOUND.get(name, {}).items()
    )
