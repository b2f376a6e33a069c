"""Monte Carlo gradient estimators: the value estimates an expectation, the backward pass its gradient."""

from jensen.gradients._parts import UnsupportedError
from jensen.gradients.arm import arm
from jensen.gradients.audit import Audit, audit
from jensen.gradients.baselines import MovingAverage
from jensen.gradients.beam_search import stochastic_beam_search
from jensen.gradients.concrete import concrete
from jensen.gradients.disarm import disarm
from jensen.gradients.distinct import Distinct, distinct
from jensen.gradients.enumerate_exact import enumerate_exact
from jensen.gradients.expect import Choice, choose, expect
from jensen.gradients.gumbel_softmax import gumbel_softmax
from jensen.gradients.importance_without_replacement import importance_without_replacement
from jensen.gradients.measure_valued import measure_valued
from jensen.gradients.multi_sample import multi_sample_score_function
from jensen.gradients.muprop import muprop
from jensen.gradients.pathwise import pathwise
from jensen.gradients.rao_blackwell import optimal_categories, rao_blackwell
from jensen.gradients.rebar import rebar, rebar_with_variance
from jensen.gradients.registry import ESTIMATORS, Estimator
from jensen.gradients.reinmax import reinmax
from jensen.gradients.relax import ValueAndVariance, relax, relax_with_variance
from jensen.gradients.relaxation import BinaryRelaxation, CategoricalRelaxation, Relaxation, relaxation
from jensen.gradients.score_function import leave_one_out, score_function
from jensen.gradients.states import domain_size, log_prob_table, states
from jensen.gradients.straight_through import straight_through, straight_through_mean
from jensen.gradients.unordered_set import unordered_set
from jensen.gradients.vimco import vimco

__all__ = [
    "ESTIMATORS",
    "Audit",
    "BinaryRelaxation",
    "CategoricalRelaxation",
    "Choice",
    "Distinct",
    "Estimator",
    "MovingAverage",
    "Relaxation",
    "UnsupportedError",
    "ValueAndVariance",
    "arm",
    "audit",
    "choose",
    "concrete",
    "disarm",
    "distinct",
    "domain_size",
    "enumerate_exact",
    "expect",
    "gumbel_softmax",
    "importance_without_replacement",
    "leave_one_out",
    "log_prob_table",
    "measure_valued",
    "multi_sample_score_function",
    "muprop",
    "optimal_categories",
    "pathwise",
    "rao_blackwell",
    "rebar",
    "rebar_with_variance",
    "reinmax",
    "relax",
    "relax_with_variance",
    "relaxation",
    "score_function",
    "states",
    "stochastic_beam_search",
    "straight_through",
    "straight_through_mean",
    "unordered_set",
    "vimco",
]
