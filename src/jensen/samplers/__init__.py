"""Draws, and the arrays of log-values that come with them: nothing here knows of estimates."""

from jensen._chains import effective_sample_size, split_r_hat
from jensen.samplers.annealed import AnnealedRun, Transitions, annealed_importance, learn_transitions, sigmoid_betas
from jensen.samplers.annealing import Reference, fit_reference
from jensen.samplers.em import (
    EMResult,
    LouisInformation,
    MCEMResult,
    expectation_maximization,
    growing_samples,
    louis_information,
    monte_carlo_em,
)
from jensen.samplers.hmc import Chains, hamiltonian
from jensen.samplers.mode import Mode, find_mode, highest_likelihood
from jensen.samplers.nested import NestedRun, nested_sampling
from jensen.samplers.nuts import nuts
from jensen.samplers.smc import SMCRun, sequential_monte_carlo
from jensen.samplers.tempered import BothLadders, TemperedRun, temper, temper_both
from jensen.samplers.variational import GaussianFit, fit_gaussian

__all__ = [
    "AnnealedRun",
    "BothLadders",
    "Chains",
    "EMResult",
    "GaussianFit",
    "LouisInformation",
    "MCEMResult",
    "Mode",
    "NestedRun",
    "Reference",
    "SMCRun",
    "TemperedRun",
    "Transitions",
    "annealed_importance",
    "effective_sample_size",
    "expectation_maximization",
    "find_mode",
    "fit_gaussian",
    "fit_reference",
    "growing_samples",
    "hamiltonian",
    "highest_likelihood",
    "learn_transitions",
    "louis_information",
    "monte_carlo_em",
    "nested_sampling",
    "nuts",
    "sequential_monte_carlo",
    "sigmoid_betas",
    "split_r_hat",
    "temper",
    "temper_both",
]
