"""Worlds whose evidence is known: by conjugacy, by quadrature, or because the density was normalised to begin with."""

from jensen.datasets.targets import conjugate, densities, nested_demos, phylogenetic, regressions
from jensen.datasets.targets.registry import load, names

__all__ = ["conjugate", "densities", "load", "names", "nested_demos", "phylogenetic", "regressions"]
