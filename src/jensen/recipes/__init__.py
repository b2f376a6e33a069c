"""Experiments as numbers: data, model, objective, schedule, published values and ours. No torch is imported."""

from jensen.recipes import evidences, studies
from jensen.recipes.catalogue import DEFAULT, get, names
from jensen.recipes.evidence_recipe import EvidenceRecipe
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
    "Architecture",
    "Budget",
    "Data",
    "EvidenceRecipe",
    "Measured",
    "Objective",
    "Optimizer",
    "Paper",
    "Published",
    "Recipe",
    "Study",
    "adapt",
    "evidences",
    "get",
    "names",
    "studies",
]
