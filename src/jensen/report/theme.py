"""Colours of figures and pages, on a light and on a dark ground."""

from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "THEMES", "Theme"]


@dataclass(frozen=True)
class Theme:
    """A handful of colours that read well together.

    Attributes:
        name: `light` or `dark`.
        paper: the ground.
        ink: text and axes.
        muted: secondary text.
        rule: grid lines and gaps between images.
        first: the main series.
        second: the series beside it.
        faint: bars that are there for completeness.
    """

    name: str
    paper: str
    ink: str
    muted: str
    rule: str
    first: str
    second: str
    faint: str


LIGHT = Theme(
    "light",
    paper="#ffffff",
    ink="#1d2330",
    muted="#667085",
    rule="#e4e7ec",
    first="#2f6db5",
    second="#cf5f2a",
    faint="#c9d3e0",
)
DARK = Theme(
    "dark",
    paper="#161a21",
    ink="#e7eaf0",
    muted="#98a2b3",
    rule="#2b313c",
    first="#6fa8e8",
    second="#f0935f",
    faint="#3d4757",
)
THEMES = (LIGHT, DARK)
