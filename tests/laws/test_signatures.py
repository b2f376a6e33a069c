"""At most three arguments by position, none of them optional after two, and never a boolean."""

import ast
from collections.abc import Iterator

import pytest
from package_source import Source, sources, synthetic

BY_POSITION = 3
OPTIONAL_BY_POSITION = 2


def public_functions(source: Source) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, node in source.definitions():
        private = any(part.startswith("_") and part != "__init__" for part in name.split("."))
        if source.is_public and not private and not isinstance(node, ast.ClassDef) and not node.args.posonlyargs:
            yield name, node


def by_position(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    """The arguments that may be given by position, with their defaults."""
    arguments = node.args.args
    defaults = [None] * (len(arguments) - len(node.args.defaults)) + list(node.args.defaults)
    pairs = list(zip(arguments, defaults, strict=True))
    return pairs[1:] if pairs and pairs[0][0].arg in {"self", "cls"} else pairs


def too_many_by_position(source: Source) -> list[str]:
    found = []
    for name, node in public_functions(source):
        arguments = by_position(node)
        optional_late = [argument.arg for argument, default in arguments[OPTIONAL_BY_POSITION:] if default is not None]
        if len(arguments) > BY_POSITION or optional_late:
            found.append(f"{source.module}.{name}({', '.join(argument.arg for argument, _ in arguments)})")
    return found


def booleans_by_position(source: Source) -> list[str]:
    found = []
    for name, node in public_functions(source):
        for argument, default in by_position(node):
            is_flag = isinstance(default, ast.Constant) and isinstance(default.value, bool)
            if is_flag or (argument.annotation is not None and ast.unparse(argument.annotation) == "bool"):
                found.append(f"{source.module}.{name}: {argument.arg}")
    return found


LAWS = [too_many_by_position, booleans_by_position]


@pytest.mark.parametrize("law", LAWS)
def test_the_package_keeps_the_law(law):
    assert [offence for source in sources() for offence in law(source)] == []


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (too_many_by_position, "def f(a, b, c, d): ..."),
        (too_many_by_position, "def f(a, b, c=1): ..."),
        (too_many_by_position, "class A:\n    def f(self, a, b, c=1): ..."),
        (booleans_by_position, "def f(a, b=True): ..."),
        (booleans_by_position, "class A:\n    def __init__(self, flag: bool): ..."),
    ],
)
def test_an_offence_is_caught(law, text):
    assert len(law(synthetic("jensen.bounds.x", text))) == 1


@pytest.mark.parametrize("law", LAWS)
def test_what_is_allowed_passes(law):
    text = "def f(a, b=1, *, c=True): ...\ndef _g(a, b, c, d): ...\nclass A:\n    def f(self, a, b, c): ..."
    assert law(synthetic("jensen.bounds.x", text)) == []
