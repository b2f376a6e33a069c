"""Draws, and the arrays of log-values that come with them: nothing here knows of estimates."""

__all__: list[str] = []
