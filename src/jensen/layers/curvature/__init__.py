"""The generalised Gauss-Newton curvature of a network in three shapes, and the Gaussians that follow from it."""

from jensen.layers.curvature.blocks import Curvature, DiagonalCurvature, FullCurvature, KroneckerCurvature
from jensen.layers.curvature.covariances import (
    Covariance,
    FullCovariance,
    LayerCovariance,
    LayerwiseCovariance,
    Marginals,
)
from jensen.layers.curvature.outputs import OutputCurvature, output_curvature
from jensen.layers.curvature.precisions import best_precisions
from jensen.layers.curvature.sites import Choice, Site, find_sites, last_site
from jensen.layers.curvature.tape import Tape, record

__all__ = [
    "Choice",
    "Covariance",
    "Curvature",
    "DiagonalCurvature",
    "FullCovariance",
    "FullCurvature",
    "KroneckerCurvature",
    "LayerCovariance",
    "LayerwiseCovariance",
    "Marginals",
    "OutputCurvature",
    "Site",
    "Tape",
    "best_precisions",
    "find_sites",
    "last_site",
    "output_curvature",
    "record",
]
