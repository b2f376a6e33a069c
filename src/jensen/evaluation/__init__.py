"""What a trained model is worth: held-out log-likelihood, active units; calibration, selective risk, outliers."""

from jensen.evaluation.active_units import layer_activity
from jensen.evaluation.calibration import Reliability, ReliabilityBin, reliability
from jensen.evaluation.likelihood import evaluate
from jensen.evaluation.out_of_distribution import Detection, detection
from jensen.evaluation.regression import (
    Coverage,
    IntervalCalibration,
    RegressionErrors,
    interval_calibration,
    interval_coverage,
    interval_score,
    pit_of_draws,
    pit_of_normals,
    regression_errors,
)
from jensen.evaluation.results import BoundEstimate, Evaluation, LayerActivity
from jensen.evaluation.scores import MeanScore, brier_score, error_rate, mean_score, negative_log_likelihood
from jensen.evaluation.selective import RiskCoverage, risk_coverage

__all__ = [
    "BoundEstimate",
    "Coverage",
    "Detection",
    "Evaluation",
    "IntervalCalibration",
    "LayerActivity",
    "MeanScore",
    "RegressionErrors",
    "Reliability",
    "ReliabilityBin",
    "RiskCoverage",
    "brier_score",
    "detection",
    "error_rate",
    "evaluate",
    "interval_calibration",
    "interval_coverage",
    "interval_score",
    "layer_activity",
    "mean_score",
    "negative_log_likelihood",
    "pit_of_draws",
    "pit_of_normals",
    "regression_errors",
    "reliability",
    "risk_coverage",
]
