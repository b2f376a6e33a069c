"""All that the command line does with a recipe that separates factors, by the names that `running` has for others."""

from jensen.recipes.factor_build import build
from jensen.recipes.factor_measuring import load_evaluation, measure
from jensen.recipes.factor_running import ASCENDS, check_method, load_model, train

__all__ = ["ASCENDS", "build", "check_method", "load_evaluation", "load_model", "measure", "train"]
