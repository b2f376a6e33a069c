"""All that the command line does with a network's recipe, by the names that `running` has for an autoencoder's."""

from jensen.recipes.network_build import build
from jensen.recipes.network_measuring import load_evaluation, measure
from jensen.recipes.network_running import ASCENDS, check_method, load_model, train

__all__ = ["ASCENDS", "build", "check_method", "load_evaluation", "load_model", "measure", "train"]
