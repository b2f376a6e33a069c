"""All public names and their arguments stand in tests/api.txt, so that growth shows in a diff.

After a deliberate change: `make api`.
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from package_source import ROOT, Source, sources

SNAPSHOT = ROOT / "tests" / "api.txt"


def public_names() -> list[str]:
    """One line for each public name: where a user finds it, and its arguments."""
    seen: set[int] = set()
    lines: list[str] = []
    for source in sorted((each for each in sources() if each.is_public and each.parts[-1] != "__main__"), key=_depth):
        module = importlib.import_module(source.module)
        lines += (f"{source.module}.{line}" for name in module.__all__ for line in _describe(module, name, seen))
    return sorted(lines)


def _depth(source: Source) -> tuple[int, str]:
    return len(source.parts), source.module


def _describe(owner: Any, name: str, seen: set[int]) -> Iterator[str]:
    value = getattr(owner, name)
    if isinstance(value, ModuleType):
        yield name
    elif inspect.isroutine(value):
        yield from _once(value, f"{name}{_arguments(value)}", seen)
    elif isinstance(value, type) and id(value) not in seen:
        seen.add(id(value))
        yield f"{name}{_arguments(value)}"
        yield from (f"{name}.{line}" for line in _members(value))
    elif not isinstance(value, type):
        yield name


def _once(value: Any, line: str, seen: set[int]) -> Iterator[str]:
    if id(value) not in seen:
        seen.add(id(value))
        yield line


def _members(owner: type) -> Iterator[str]:
    fields = set(getattr(owner, "__dataclass_fields__", ())) | set(getattr(owner, "_fields", ()))
    for name, value in vars(owner).items():
        if name.startswith("_") or name in fields:
            continue
        if isinstance(value, property):
            yield name
        elif inspect.isroutine(value) or isinstance(value, staticmethod | classmethod):
            yield f"{name}{_arguments(getattr(owner, name))}"


def _arguments(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, Exception) and "__init__" not in vars(value):
        return ""
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return "(...)"
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    words, keyword_only = [], False
    for parameter in parameters:
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            words.append("*")
        keyword_only = keyword_only or parameter.kind in {
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_POSITIONAL,
        }
        optional = "=" if parameter.default is not inspect.Parameter.empty else ""
        words.append(f"{marks.get(parameter.kind, '')}{parameter.name}{optional}")
    return f"({', '.join(words)})"


def difference(recorded: list[str], found: list[str]) -> list[str]:
    changed = difflib.unified_diff(recorded, found, "tests/api.txt", "jensen", lineterm="", n=0)
    return [line for line in changed if not line.startswith("@@")]


def test_the_public_names_are_the_recorded_ones():
    changed = difference(SNAPSHOT.read_text("utf-8").splitlines(), public_names())
    assert changed == [], "public names changed; if that is meant, run `make api`"


def test_a_change_is_caught():
    assert difference(["jensen.bounds.iwae(log_w, *, dim=)"], ["jensen.bounds.iwae(log_w, dim=)"]) != []
    assert difference(["jensen.a()"], ["jensen.a()", "jensen.b()"])[-1] == "+jensen.b()"


def test_the_arguments_are_written_out():
    def function(first, second=0, *rest, third, fourth=1, **others): ...
    def short(first, /, second, *, third=None): ...

    assert _arguments(function) == "(first, second=, *rest, third, fourth=, **others)"
    assert _arguments(short) == "(first, second, *, third=)"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("usage: python tests/laws/test_api.py --write")
    SNAPSHOT.write_text("\n".join(public_names()) + "\n", "utf-8")
