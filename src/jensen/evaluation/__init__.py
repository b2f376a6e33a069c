"""What a trained model is worth: held-out log-likelihood, active units; calibration, selective risk, outliers."""

from jensen.evaluation.active_units import layer_activity
from jensen.evaluation.annealed import evaluate_annealed
from jensen.evaluation.annealed_results import AnnealedBound, AnnealedEvaluation
from jensen.evaluation.calibration import Reliability, ReliabilityBin, reliability
from jensen.evaluation.disentanglement import (
    DCI,
    InformationGap,
    dci,
    dci_of_importance,
    factor_vae_score,
    mutual_information_gap,
)
from jensen.evaluation.likelihood import evaluate
from jensen.evaluation.mutual_information import LatentInformation, has_one_code, latent_information
from jensen.evaluation.out_of_distribution import Detection, detection
from jensen.evaluation.probes import label_error, label_probabilities
from jensen.evaluation.rate_distortion import GaussianRate, gaussian_rate
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
    "DCI",
    "AnnealedBound",
    "AnnealedEvaluation",
    "BoundEstimate",
    "Coverage",
    "Detection",
    "Evaluation",
    "GaussianRate",
    "InformationGap",
    "IntervalCalibration",
    "LatentInformation",
    "LayerActivity",
    "MeanScore",
    "RegressionErrors",
    "Reliability",
    "ReliabilityBin",
    "RiskCoverage",
    "brier_score",
    "dci",
    "dci_of_importance",
    "detection",
    "error_rate",
    "evaluate",
    "evaluate_annealed",
    "factor_vae_score",
    "gaussian_rate",
    "has_one_code",
    "interval_calibration",
    "interval_coverage",
    "interval_score",
    "label_error",
    "label_probabilities",
    "latent_information",
    "layer_activity",
    "mean_score",
    "mutual_information_gap",
    "negative_log_likelihood",
    "pit_of_draws",
    "pit_of_normals",
    "regression_errors",
    "reliability",
    "risk_coverage",
]
