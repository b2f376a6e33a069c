"""What a trained model is worth: held-out log-likelihood with both of its errors, active units, KL per unit."""

from jensen.evaluation.active_units import layer_activity
from jensen.evaluation.likelihood import evaluate
from jensen.evaluation.results import BoundEstimate, Evaluation, LayerActivity

__all__ = ["BoundEstimate", "Evaluation", "LayerActivity", "evaluate", "layer_activity"]
