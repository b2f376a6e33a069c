"""Every public name is documented: what it is, its arguments, and where it comes from."""

import ast
import functools
import inspect
import re
from collections.abc import Iterator

import pytest
from package_source import Definition, Source, sources, synthetic

REFERENCE = re.compile(r"\| \S.* \(\S.*, \d{4}[a-z]?\)(, \S.*)?")
ADDRESS = re.compile(r"\| https?://\S+")
NUMBERED = re.compile(r"(^|\s)\[\d+\](?!\()", re.MULTILINE)
SECTION = re.compile(r"^(\w[\w ]*):$")


def public_definitions(source: Source) -> Iterator[tuple[str, Definition]]:
    """Functions and classes of a public module with no private part in their name, none nested in a function."""
    if source.is_public:
        yield from _public(source.tree.body, "")


def _public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{prefix}{node.name}.")


def docstrings(source: Source) -> Iterator[tuple[str, str]]:
    """The docstring of the module and of every definition that has one."""
    yield source.module, ast.get_docstring(source.tree) or ""
    yield from ((f"{source.module}.{name}", ast.get_docstring(node) or "") for name, node in source.definitions())


def sections(docstring: str) -> dict[str, list[str]]:
    """The lines under each `Name:` that stands alone at the left margin."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in inspect.cleandoc(docstring).splitlines():
        if heading := SECTION.match(line):
            current = found.setdefault(heading[1], [])
        elif line and not line.startswith(" "):
            current = []
        elif line.strip():
            current.append(line)
    return found


def undocumented(source: Source) -> list[str]:
    found = [] if ast.get_docstring(source.tree) else [source.module]
    return found + [
        f"{source.module}.{name}"
        for name, node in public_definitions(source)
        if not ast.get_docstring(node) and not _overloads(node)
    ]


def _overloads(node: Definition) -> bool:
    return any(
        "overload" in ast.unparse(decorator) or ".setter" in ast.unparse(decorator) for decorator in node.decorator_list
    )


def bad_references(source: Source) -> list[str]:
    """References that are not pairs of a title line and an address line, and numbered ones."""
    found = []
    for name, docstring in docstrings(source):
        lines = [line.strip() for line in sections(docstring).get("References", [])]
        if len(lines) % 2:
            found.append(f"{name}: a reference is two lines")
        for title, address in zip(lines[::2], lines[1::2], strict=False):
            if not REFERENCE.fullmatch(title) or not ADDRESS.fullmatch(address):
                found.append(f"{name}: {title!r} {address!r}")
        if NUMBERED.search(docstring.partition("Example:")[0]):
            found.append(f"{name}: a numbered reference")
    return found


def undocumented_arguments(source: Source) -> list[str]:
    """Arguments of what a room exports that the docstring does not name, and strangers that any docstring does."""
    exported = set(source.exported() or []) & exports_of(".".join(source.parts[:2]))
    found = []
    for name, node in public_definitions(source):
        parameters = _parameters(node)
        docstring = ast.get_docstring(node) or ""
        described = _entries(sections(docstring).get("Args", []))
        missing = [each for each in parameters if each not in described]
        if not described:
            missing = [each for each in missing if name in exported and not re.search(rf"\b{each}\b", docstring)]
        strangers = [each for each in described if each not in parameters] if parameters or described else []
        found += [f"{source.module}.{name}: {each} is not described" for each in missing]
        found += [f"{source.module}.{name}: there is no {each}" for each in strangers]
    return found


@functools.cache
def exports_of(room: str) -> frozenset[str]:
    """The names that a room gives to the outside."""
    return frozenset(name for source in sources() if source.module == room for name in source.exported() or [])


def _entries(lines: list[str]) -> list[str]:
    margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    names = (re.match(rf" {{{margin}}}\*{{0,2}}(\w+)( \(.*\))?:", line) for line in lines)
    return [name[1] for name in names if name]


def _parameters(node: Definition) -> list[str]:
    if isinstance(node, ast.ClassDef):
        constructors = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        return _parameters(constructors[0]) if constructors else []
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    names = [each.arg for each in every if each is not None]
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


LAWS = [undocumented, bad_references, undocumented_arguments]


@pytest.mark.parametrize("law", LAWS)
def test_the_package_keeps_the_law(law):
    assert [offence for source in sources() for offence in law(source)] == []


def function(signature: str, *docstring: str) -> str:
    body = "\n    ".join(docstring)
    return f'"""Module."""\n__all__ = ["iwae"]\ndef iwae({signature}):\n    """{body}\n    """\n'


GOOD_TITLE = "    | Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), eq. 8"
GOOD_ADDRESS = "    | https://arxiv.org/abs/1509.00519v4"


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (undocumented, "x = 1"),
        (undocumented, '"""Module."""\ndef f(): ...'),
        (undocumented, '"""Module."""\nclass A:\n    """A."""\n    def f(self): ...'),
        (bad_references, function("", "F.", "", "References:", GOOD_TITLE)),
        (bad_references, function("", "F.", "", "References:", GOOD_ADDRESS, GOOD_TITLE)),
        (bad_references, function("", "F.", "", "References:", "    | Burda et al. 2016", GOOD_ADDRESS)),
        (bad_references, function("", "F.", "", "References:", "    Burda, Grosse & Salakhutdinov", GOOD_ADDRESS)),
        (bad_references, function("", "F, see [12].", "", "References:", GOOD_TITLE, GOOD_ADDRESS)),
        (undocumented_arguments, function("x", "F.")),
        (undocumented_arguments, function("x, *, dim=0", "F.", "", "Args:", "    x: the numbers.")),
        (undocumented_arguments, function("x", "F.", "", "Args:", "    x: the numbers.", "    y: more.")),
        (
            undocumented_arguments,
            '"""M."""\n__all__ = ["iwae"]\nclass iwae:\n    """A."""\n    def __init__(self, x): ...',
        ),
    ],
)
def test_an_offence_is_caught(law, text):
    assert len(law(synthetic("jensen.bounds.x", text))) == 1


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (undocumented, '"""Module."""\ndef _f(): ...\ndef f():\n    """F."""\n    def inner(): ...'),
        (bad_references, function("", "F.", "", "References:", *[GOOD_TITLE, GOOD_ADDRESS] * 2)),
        (bad_references, function("", "F of x[1].")),
        (undocumented_arguments, function("x", "F of `x`.")),
        (undocumented_arguments, function("x, *y", "F.", "", "Args:", "    x: 1.", "        see: 2.", "    *y: 3.")),
    ],
)  # fmt: skip
def test_what_is_allowed_passes(law, text):
    assert law(synthetic("jensen.bounds.x", text)) == []
