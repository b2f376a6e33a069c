"""Experiments as numbers: data, model, objective, schedule, published values and ours. No torch is imported."""

from jensen.recipes import evidences, studies
from jensen.recipes.catalogue import DEFAULT, get, names
from jensen.recipes.evidence_recipe import EvidenceRecipe
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import (
    LaplaceFit,
    Network,
    NetworkOptimizer,
    NetworkRecipe,
    Noise,
    Prior,
    Task,
    Weights,
)
from jensen.recipes.overrides import adapt
from jensen.recipes.recipe import (
    Architecture,
    Budget,
    Data,
    Measured,
    Objective,
    Optimizer,
    Paper,
    Published,
    Recipe,
)
from jensen.recipes.study import Study

__all__ = [
    "DEFAULT",
    "AnyRecipe",
    "Architecture",
    "Budget",
    "Data",
    "EvidenceRecipe",
    "LaplaceFit",
    "Measured",
    "Network",
    "NetworkOptimizer",
    "NetworkRecipe",
    "Noise",
    "Objective",
    "Optimizer",
    "Paper",
    "Prior",
    "Published",
    "Recipe",
    "Study",
    "Task",
    "Weights",
    "adapt",
    "evidences",
    "get",
    "names",
    "studies",
]
