"""A room imports rooms on lower floors, and of those only the ones in the table."""

import ast
import sys
from collections.abc import Iterator

import pytest
from package_source import ROOT, Source, dotted, sources, synthetic

FLOORS = (
    ("_math", "_contracts", "_names", "_random", "_evidence", "_chains", "_pareto"),
    ("_priors",),
    ("_targets",),
    ("distributions", "bounds"),
    ("gradients", "information", "samplers", "asymptotics", "datasets"),
    ("evidence", "layers", "phylogenetics"),
    ("models", "training", "evaluation"),
    ("recipes",),
    ("report",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
CORE = frozenset(room for room in FLOOR if room.startswith("_") and room != "__main__")
BELOW_MODELS = frozenset(room for room, number in FLOOR.items() if number < FLOOR["models"])

MAY_IMPORT = {
    **dict.fromkeys(FLOORS[0], frozenset()),
    "_priors": frozenset(FLOORS[0]),
    "_targets": frozenset({*FLOORS[0], "_priors"}),
    "distributions": CORE,
    "bounds": CORE,
    "gradients": CORE | {"distributions"},
    "information": CORE | {"distributions", "bounds"},
    "samplers": CORE | {"distributions"},
    "asymptotics": CORE,
    "datasets": CORE | {"distributions"},
    "evidence": CORE | {"bounds", "asymptotics"},
    "layers": CORE | {"distributions", "information"},
    "phylogenetics": CORE | {"distributions"},
    "models": BELOW_MODELS - {"datasets", "samplers"},
    "training": CORE | {"bounds", "gradients"},
    "evaluation": BELOW_MODELS,
    "recipes": frozenset(room for room, number in FLOOR.items() if number < FLOOR["recipes"]),
    "report": CORE | {"recipes", "training", "evaluation", "evidence"},
    "cli": CORE | {"recipes", "training", "evaluation", "evidence", "report"},
    "__main__": frozenset({"cli"}),
}
DRIVERS = dict.fromkeys(("jensen.evidence.driver", "jensen.evidence.runs"), frozenset({"samplers"}))
STANDARD_LIBRARY = sys.stdlib_module_names


def imported(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, wherever in it the import stands."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in {"import_module", "__import__"}:
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)
        elif isinstance(node, ast.Attribute) and (chain := dotted(node)).startswith("jensen."):
            yield node.lineno, chain


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parent = source.folder.split(".")
    parent = parent[: len(parent) - node.level + 1]
    return ".".join([*parent, node.module] if node.module else parent)


def room_of(name: str) -> str | None:
    """The room that a dotted name lies in; None outside the package and for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "jensen" and len(parts) > 1 and not _is_dunder(parts[1]) else None


def _is_dunder(name: str) -> bool:
    return name != "__main__" and name.startswith("__") and name.endswith("__")


def wrong_rooms(source: Source) -> list[str]:
    """The imports that the table does not allow; the package itself may name every room."""
    room = room_of(source.module)
    if room is not None and room not in MAY_IMPORT:
        return [f"{source.module}: the room {room!r} is not in the table"]
    allowed = MAY_IMPORT[room] | {room} | DRIVERS.get(source.module, frozenset()) if room else frozenset(FLOOR)
    wrong = []
    for line, name in imported(source):
        target = room_of(name)
        if target is not None and target not in allowed:
            wrong.append(f"{source.module}:{line}: {room or 'jensen'} may not import {target} ({name})")
    return wrong


def foreign_libraries(source: Source) -> list[str]:
    """On the lowest floors only torch is imported, and each other."""
    if room_of(source.module) not in CORE:
        return []
    roots = ((line, name, name.split(".")[0]) for line, name in imported(source))
    return [
        f"{source.module}:{line}: {name}"
        for line, name, root in roots
        if root not in {"torch", "jensen", *STANDARD_LIBRARY}
    ]


def borrowed_private_names(source: Source) -> list[str]:
    """Private modules and names of another folder; floor 0 is everyone's."""
    found = []
    for line, name in imported(source):
        if not name.startswith("jensen."):
            continue
        parts = name.split(".")
        private = [i for i, part in enumerate(parts) if part.startswith("_") and not _is_dunder(part)]
        private = [i for i in private if not (i == 1 and parts[1] in CORE)]
        if private and _folder_of(parts[: private[0]]) != source.folder:
            found.append(f"{source.module}:{line}: {name}")
    return found + _private_attributes(source)


def _folder_of(parts: list[str]) -> str:
    is_package = (ROOT / "src").joinpath(*parts).is_dir()
    return ".".join(parts if is_package else parts[:-1])


def _private_attributes(source: Source) -> list[str]:
    rooms = {alias.asname or alias.name for node in ast.walk(source.tree) if isinstance(node, ast.ImportFrom)
             if (node.module or "").startswith("jensen") for alias in node.names}  # fmt: skip
    return [
        f"{source.module}:{node.lineno}: {dotted(node)}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in rooms
        if node.attr.startswith("_") and not _is_dunder(node.attr)
    ]


def other_models(source: Source) -> list[str]:
    """A model's file imports no other model."""
    if source.is_package or room_of(source.module) != "models":
        return []
    own = ".".join(source.parts[:3])
    return [f"{source.module}:{line}: {name}" for line, name in imported(source)
            if room_of(name) == "models" and not f"{name}.".startswith(f"{own}.")]  # fmt: skip


@pytest.mark.parametrize("law", [wrong_rooms, foreign_libraries, borrowed_private_names, other_models])
def test_the_package_keeps_the_law(law):
    assert [offence for source in sources() for offence in law(source)] == []


def test_the_table_goes_downwards_only():
    rising = [(room, other) for room, others in MAY_IMPORT.items() for other in others if FLOOR[other] >= FLOOR[room]]
    assert rising == []
    assert set(MAY_IMPORT) == set(FLOOR)


def test_training_and_models_do_not_know_each_other():
    assert not MAY_IMPORT["training"] & {"models", "layers", "datasets"}
    assert not MAY_IMPORT["models"] & {"models", "training", "datasets", "samplers"}


@pytest.mark.parametrize(
    ("law", "module", "text"),
    [
        (wrong_rooms, "jensen.bounds.x", "from jensen.distributions import DiagonalNormal"),
        (wrong_rooms, "jensen.bounds.x", "from jensen import distributions"),
        (wrong_rooms, "jensen.bounds.x", "def f():\n    import jensen.models.vae"),
        (wrong_rooms, "jensen.bounds.x", "if TYPE_CHECKING:\n    from jensen.layers import GaussianMLP"),
        (wrong_rooms, "jensen.bounds.x", "from ..training import fit"),
        (wrong_rooms, "jensen.bounds.x", "import jensen\njensen.recipes.get()"),
        (wrong_rooms, "jensen.bounds.x", "importlib.import_module('jensen.models')"),
        (wrong_rooms, "jensen.training.x", "from jensen.models import VAE"),
        (wrong_rooms, "jensen.training.x", "from jensen.layers import GaussianMLP"),
        (wrong_rooms, "jensen.training.x", "from jensen.datasets import load"),
        (wrong_rooms, "jensen.models.x", "from jensen.datasets import load"),
        (wrong_rooms, "jensen.models.x", "from jensen.samplers import hmc"),
        (wrong_rooms, "jensen.evaluation.x", "from jensen.models import VAE"),
        (wrong_rooms, "jensen.evidence.x", "from jensen.samplers import hmc"),
        (wrong_rooms, "jensen.recipes.x", "from jensen.report import write"),
        (wrong_rooms, "jensen.report.x", "from jensen.cli import main"),
        (wrong_rooms, "jensen.attic.x", ""),
        (foreign_libraries, "jensen._math", "import numpy"),
        (borrowed_private_names, "jensen.models.x", "from jensen.layers.perceptrons import _glorot"),
        (borrowed_private_names, "jensen.recipes.x", "from jensen.datasets._fetch import fetch"),
        (borrowed_private_names, "jensen.recipes.x", "from jensen import datasets\ndatasets._fetch.fetch()"),
        (borrowed_private_names, "jensen.cli", "from jensen.datasets._fetch import fetch"),
        (borrowed_private_names, "jensen.recipes.x", "from jensen.bounds.jackknife import _sharot"),
        (other_models, "jensen.models.iwae", "from jensen.models.vae import VAE"),
        (other_models, "jensen.models.iwae", "from jensen.models import VAE"),
        (other_models, "jensen.models.iwae", "from . import vae"),
    ],
)
def test_an_offence_is_caught(law, module, text):
    assert len(law(synthetic(module, text))) >= 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("jensen.bounds.x", "from jensen._math import log_mean_exp\nfrom jensen.bounds.y import _helper"),
        ("jensen.datasets.x", "from jensen.datasets._fetch import fetch\nfrom ._fetch import Source"),
        ("jensen.models.x", "from jensen import bounds\nfrom jensen.layers import GaussianMLP"),
        ("jensen.evidence.driver", "from jensen.samplers import hmc"),
        ("jensen.cli", "from jensen import __version__\nfrom jensen.report import write"),
    ],
)
def test_what_is_allowed_passes(module, text):
    source = synthetic(module, text)
    laws = (wrong_rooms, foreign_libraries, borrowed_private_names, other_models)
    assert [offence for law in laws for offence in law(source)] == []
