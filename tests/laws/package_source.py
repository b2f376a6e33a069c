"""The package as the laws see it: its files, parsed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["ROOT", "Definition", "Source", "dotted", "sources", "synthetic"]

ROOT = Path(__file__).resolve().parents[2]

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Source:
    """One module: its dotted name and its text."""

    module: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.module.split("."))

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") for part in self.parts)

    @property
    def folder(self) -> str:
        return self.module if self.is_package else self.module.rpartition(".")[0]

    def exported(self) -> list[str] | None:
        """The names in a literal `__all__`, None where there is no such list."""
        for statement in self.tree.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return list(ast.literal_eval(statement.value))
        return None

    def definitions(self) -> Iterator[tuple[str, Definition]]:
        """Every function and class, nested ones too, with its qualified name."""
        yield from _definitions(self.tree, "")


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield prefix + child.name, child
            yield from _definitions(child, f"{prefix}{child.name}.")
        else:
            yield from _definitions(child, prefix)


def sources() -> list[Source]:
    """Every module of the package."""
    folder = ROOT / "src"
    found = []
    for path in sorted((folder / "jensen").rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found.append(Source(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package))
    return found


def synthetic(module: str, text: str, *, is_package: bool = False) -> Source:
    """A module that is not there, for a law to catch."""
    return Source(module, text, is_package)


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of attributes, empty if it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""
