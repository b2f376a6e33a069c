"""Small files, small functions, a list of names in each, and nothing unfinished, unpickled or asserted."""

import ast
import io
import tokenize

import pytest
from package_source import Source, dotted, sources, synthetic

LINES_OF_A_FILE = 500
LINES_OF_A_FUNCTION = 60
UNFINISHED = ("TODO", "FIXME", "XXX", "HACK")
UNPICKLING = {"torch.load", "pickle.load", "pickle.loads", "joblib.load", "torch.package.PackageImporter"}


def long_files(source: Source) -> list[str]:
    lines = source.text.count("\n")
    return [f"{source.module}: {lines} lines"] if lines > LINES_OF_A_FILE else []


def long_functions(source: Source) -> list[str]:
    """Functions over the limit, their docstring not counted."""
    return [
        f"{source.module}.{name}: {lines} lines"
        for name, node in source.definitions()
        if not isinstance(node, ast.ClassDef) and (lines := _lines(node)) > LINES_OF_A_FUNCTION
    ]


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = ast.get_docstring(node) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def unfinished(source: Source) -> list[str]:
    """`assert`, `NotImplementedError`, and the words that promise work."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assert):
            found.append(f"{source.module}:{node.lineno}: assert")
        if (
            isinstance(node, ast.Name)
            and node.id in {"NotImplementedError", "NotImplemented"}
            and _is_raised(node, source)
        ):
            found.append(f"{source.module}:{node.lineno}: {node.id}")
    return found + [
        f"{source.module}:{token.start[0]}: {token.string.strip()[:60]}"
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline)
        if token.type in {tokenize.COMMENT, tokenize.STRING} and any(word in token.string for word in UNFINISHED)
    ]


def _is_raised(name: ast.Name, source: Source) -> bool:
    raises = (node for node in ast.walk(source.tree) if isinstance(node, ast.Raise) and node.exc is not None)
    return any(name in ast.walk(node) for node in raises)


def missing_lists(source: Source) -> list[str]:
    """Modules without `__all__`, and names in it that the module does not have."""
    exported = source.exported()
    if exported is None and source.parts[-1] == "__main__":
        return []
    if exported is None:
        return [f"{source.module}: no __all__"]
    if source.module == "jensen":
        return []
    bound = {alias.asname or alias.name for node in ast.walk(source.tree)
             if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}  # fmt: skip
    bound |= {node.name for node in source.tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {
        node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    private = [name for name in exported if name.startswith("_")]
    return [f"{source.module}: __all__ names {name!r}" for name in [*private, *sorted(set(exported) - bound)]]


def unpickled(source: Source) -> list[str]:
    """Calls that run what a file says."""
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if dotted(node.func) in UNPICKLING or _is_true(keywords.get("allow_pickle")):
            found.append(f"{source.module}:{node.lineno}: {dotted(node.func)}")
    return found


def _is_true(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and value.value is False)


LAWS = [long_files, long_functions, unfinished, missing_lists, unpickled]


@pytest.mark.parametrize("law", LAWS)
def test_the_package_keeps_the_law(law):
    assert [offence for source in sources() for offence in law(source)] == []


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (long_files, "x = 1\n" * 501),
        (long_functions, "def f():\n" + "    x = 1\n" * 60),
        (long_functions, "class A:\n    def f(self):\n" + "        x = 1\n" * 60),
        (unfinished, "assert True"),
        (unfinished, "def f():\n    raise NotImplementedError"),
        (unfinished, "def f():\n    raise NotImplementedError('later')"),
        (unfinished, "x = 1  # TODO: more"),
        (unfinished, '"""FIXME: words."""'),
        (missing_lists, "x = 1"),
        (missing_lists, "__all__ = ['y']"),
        (missing_lists, "__all__ = ['_x']\n_x = 1"),
        (unpickled, "torch.load(path)"),
        (unpickled, "numpy.load(path, allow_pickle=True)"),
        (unpickled, "pickle.loads(data)"),
    ],
)
def test_an_offence_is_caught(law, text):
    assert len(law(synthetic("jensen.bounds.x", text))) == 1


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (long_files, "x = 1\n" * 500),
        (long_functions, "def f():\n" + "    x = 1\n" * 59),
        (long_functions, 'def f():\n    """One.\n' + "    more\n" * 80 + '    """\n' + "    x = 1\n" * 50),
        (unfinished, "def __eq__(self, other):\n    return NotImplemented"),
        (missing_lists, "__all__ = ['f', 'x', 'Y']\nfrom a import f\nx: int = 1\nclass Y: ..."),
        (unpickled, "numpy.load(path, allow_pickle=False)"),
    ],
)
def test_what_is_allowed_passes(law, text):
    assert law(synthetic("jensen.bounds.x", text)) == []
