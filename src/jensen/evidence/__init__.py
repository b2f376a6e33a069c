"""The logarithm of a normalising constant, with an error bar that can be trusted."""

from jensen._evidence import Evidence
from jensen._targets import Draws, Target

__all__ = ["Draws", "Evidence", "Target"]
