"""Networks, without probability and with: a conditional distribution is a module whose forward returns one."""

from jensen.layers.perceptrons import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP, mlp
from jensen.layers.support import check_observations

__all__ = ["BernoulliMLP", "ContinuousBernoulliMLP", "GaussianMLP", "check_observations", "mlp"]
