"""Expansions of integrals with a large parameter."""

__all__: list[str] = []
