"""How the docstrings of jensen read on a page: examples as code, references as links."""

import re
from typing import Any

import griffe

__all__ = ["DocstringSections", "rewritten"]

REFERENCES = re.compile(r"^(?P<indent> *)References:\n(?P<lines>(?:(?P=indent) +\|.*\n?)+)", re.MULTILINE)
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class DocstringSections(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the text of the object's docstring, where it has one."""
        if obj.docstring:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(docstring: str) -> str:
    r"""`Example:` under the name that the parser knows, and each pair of reference lines as one linked item.

    Example:
        >>> print(rewritten("References:\n    | A Title (A. Name, 2000), eq. 1\n    | https://example.org"))
        **References**
        <BLANKLINE>
        - [A Title (A. Name, 2000)](https://example.org), eq. 1
    """
    return EXAMPLE.sub(r"\1Examples:", REFERENCES.sub(_as_list, docstring))


def _as_list(found: re.Match[str]) -> str:
    lines = [line.strip().removeprefix("| ") for line in found["lines"].splitlines()]
    items = [_link(title, address) for title, address in zip(lines[::2], lines[1::2], strict=True)]
    indent = found["indent"]
    return "\n".join([f"{indent}**References**", "", *(f"{indent}- {item}" for item in items)])


def _link(title: str, address: str) -> str:
    split = re.fullmatch(r"(.*\(.*, \d{4}[a-z]?\))(.*)", title)
    name, place = (split[1], split[2]) if split else (title, "")
    return f"[{name}]({address}){place}"
