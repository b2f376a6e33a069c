"""Experiments as numbers: data, model, objective, schedule, published values and ours. No torch is imported."""

from jensen.recipes import evidences, studies
from jensen.recipes.architectures import (
    Architecture,
    ConvolutionalArchitecture,
    DrawArchitecture,
    Flow,
    LadderArchitecture,
)
from jensen.recipes.catalogue import DEFAULT, get, names
from jensen.recipes.evidence_recipe import EvidenceRecipe
from jensen.recipes.factor_recipe import FactorLosses, FactorNetworks, FactorRecipe
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import (
    Dropout,
    LaplaceFit,
    Network,
    NetworkOptimizer,
    NetworkRecipe,
    Noise,
    Prior,
    Task,
    Weights,
)
from jensen.recipes.objectives import Constraint, Objective
from jensen.recipes.overrides import adapt
from jensen.recipes.recipe import (
    Budget,
    Data,
    Measured,
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
    "Constraint",
    "ConvolutionalArchitecture",
    "Data",
    "DrawArchitecture",
    "Dropout",
    "EvidenceRecipe",
    "FactorLosses",
    "FactorNetworks",
    "FactorRecipe",
    "Flow",
    "LadderArchitecture",
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
