"""Expansions of integrals with a large parameter, from automatic derivatives."""

from jensen.asymptotics.derivatives import taylor
from jensen.asymptotics.laplace import laplace_integral
from jensen.asymptotics.posterior import LogIntegral, laplace_log_integral
from jensen.asymptotics.series import AsymptoticSeries
from jensen.asymptotics.stationary_phase import stationary_phase
from jensen.asymptotics.steepest_descent import find_saddle, steepest_descent
from jensen.asymptotics.watson import watson

__all__ = [
    "AsymptoticSeries",
    "LogIntegral",
    "find_saddle",
    "laplace_integral",
    "laplace_log_integral",
    "stationary_phase",
    "steepest_descent",
    "taylor",
    "watson",
]
