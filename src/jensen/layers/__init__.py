"""Networks, without probability and with: a conditional distribution is a module whose forward returns one."""

from jensen.layers.controls import ControlVariate
from jensen.layers.perceptrons import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP, mlp
from jensen.layers.support import check_observations
from jensen.layers.units import DiscreteMLP, check_units, discrete

__all__ = [
    "BernoulliMLP",
    "ContinuousBernoulliMLP",
    "ControlVariate",
    "DiscreteMLP",
    "GaussianMLP",
    "check_observations",
    "check_units",
    "discrete",
    "mlp",
]
