"""Targets whose evidence is known or was published, by name. No torch is imported."""

from jensen.recipes.evidence_measured import measured_evidences
from jensen.recipes.evidence_recipe import EvidenceRecipe, take_evidence
from jensen.recipes.papers import (
    BRIDGE,
    DYNESTY,
    EM,
    FRIEL,
    MULTINEST,
    NEAL_SLICE,
    NINETEEN,
    ROSENBROCK,
    TURTLES,
    TUTORIAL,
)
from jensen.recipes.recipe import Paper, Published

__all__ = ["get", "names"]

LOG_Z = "log Z"
EXACT = {
    "radiata-density": -310.1282855,
    "radiata-adjusted": -301.7046021,
    "pima-1": -257.2325942,
    "pima-2": -259.8576063,
    "turtles-0": -156.4785898,
    "turtles-1": -156.7197320,
    "jc69-pair": -1712.8943621,
    "linkage": 65.3300671,
    "beta-binomial": -2.3978953,
    "normal-normal": -8.2607523,
    "poisson-gamma": -10.5261852,
    "linear-gaussian": -1.8280121,
    "gaussian-200": -253.1024247,
    "gaussian-shells-2": -1.7456419,
    "gaussian-shells-5": -5.6736012,
    "gaussian-shells-10": -14.5904911,
    "gaussian-shells-20": -36.0865476,
    "eggbox": 235.8559403,
    "rosenbrock": -7.1493440,
    "funnel-10": 0.0,
    "bimodal-2": 0.0,
    "student-t-5": 3.9920485,
    "correlated-3": -8.9871968,
}
REACH = (
    "bridge",
    "warp_bridge",
    "stepping_stone",
    "generalized_stepping_stone",
    "path",
    "modified_path",
    "nested",
    "smc",
    "importance",
    "thames",
    "laplace",
)
ALL_REAL = (
    *REACH,
    "variational_importance",
    "jackknife",
    "naive",
    "harmonic",
    "stabilized_harmonic",
    "elbo",
    "map",
    "ml",
)
POINTWISE = (*ALL_REAL, "cpo", "ppd")
NINETEEN_WAYS = (
    *POINTWISE,
    "gamma_laplus",
    "beta_prime_laplus",
    "lognormal_laplus",
    "gamma_laplus_importance",
)
MODES = ("nested", "smc", "stepping_stone", "path", "bridge", "warp_bridge", "thames")
DENSITY = (
    "bridge",
    "warp_bridge",
    "generalized_stepping_stone",
    "stepping_stone",
    "nested",
    "smc",
    "importance",
    "laplace",
)


def _recipe(
    name: str,
    title: str,
    paper: Paper,
    methods: tuple[str, ...],
    *published: tuple[float, str],
    differs: tuple[str, ...] = (),
    **settings: int | str,
) -> EvidenceRecipe:
    return EvidenceRecipe(
        name,
        title,
        f"jensen.datasets.targets:load({name})",
        paper,
        methods,
        settings,
        differs=differs,
        exact=EXACT[name],
        published=tuple(Published(LOG_Z, value, source) for value, source in published),
        measured=measured_evidences(name),
    )


RECIPES = (
    _recipe(
        "radiata-density",
        "pine strength regressed on density, conjugate",
        FRIEL,
        POINTWISE,
        (-310.1283, "Friel & Wyse 2012, as usually quoted"),
    ),
    _recipe(
        "radiata-adjusted",
        "pine strength regressed on resin-adjusted density, conjugate",
        FRIEL,
        POINTWISE,
        (-301.7046, "Friel & Wyse 2012, as usually quoted"),
    ),
    _recipe("pima-1", "diabetes among the Pima, logistic on four covariates", FRIEL, POINTWISE),
    _recipe("pima-2", "diabetes among the Pima, age as a fifth covariate", FRIEL, POINTWISE),
    _recipe("turtles-0", "survival of newborn turtles by weight, probit regression", TURTLES, POINTWISE),
    _recipe("turtles-1", "the same with an intercept for each of 31 clutches", TURTLES, REACH),
    _recipe("jc69-pair", "the branch between two DNA sequences, Jukes-Cantor", NINETEEN, NINETEEN_WAYS),
    _recipe("linkage", "the genetic linkage of 197 animals", EM, ALL_REAL),
    _recipe(
        "beta-binomial",
        "two successes of ten, a uniform prior",
        TUTORIAL,
        ALL_REAL,
        (-2.3979, "exact, Gronau et al. 2017"),
    ),
    _recipe("normal-normal", "four normal observations, a vague normal prior", TUTORIAL, ALL_REAL),
    _recipe("poisson-gamma", "five counts, a gamma prior", NINETEEN, NINETEEN_WAYS),
    _recipe("linear-gaussian", "one normal observation of a normal latent", TUTORIAL, (*ALL_REAL, "sumo")),
    _recipe("gaussian-200", "a normal likelihood and prior in 200 dimensions", DYNESTY, REACH,
            (-253.1024, "dynesty's demonstration, exact")),
    _recipe("gaussian-shells-2", "two thin shells in 2 dimensions", MULTINEST, MODES,
            (-1.75, "dynesty's demonstration, analytic")),
    _recipe("gaussian-shells-5", "two thin shells in 5 dimensions", MULTINEST, MODES,
            (-5.67, "dynesty's demonstration, analytic")),
    _recipe("gaussian-shells-10", "two thin shells in 10 dimensions", MULTINEST, MODES,
            (-14.59, "dynesty's demonstration, analytic")),
    _recipe("gaussian-shells-20", "two thin shells in 20 dimensions", MULTINEST, MODES,
            (-36.09, "dynesty's demonstration, analytic")),
    _recipe("eggbox", "eighteen narrow peaks", MULTINEST, MODES, (235.856, "dynesty's tests")),
    _recipe("rosenbrock", "a curved valley under a uniform prior", ROSENBROCK, REACH),
    _recipe("funnel-10", "Neal's funnel, which a normal proposal does not fit", NEAL_SLICE, DENSITY),
    _recipe("bimodal-2", "two normals ten apart in 2 dimensions", BRIDGE, MODES),
    _recipe("student-t-5", "a heavy-tailed density in 5 dimensions", BRIDGE, DENSITY),
    _recipe("correlated-3", "three normals of correlation .95 in a box", DYNESTY, REACH),
)  # fmt: skip

CATALOGUE = {recipe.name: recipe for recipe in RECIPES}


def names() -> list[str]:
    """The names that `get` knows.

    Example:
        >>> names()[0]
        'radiata-density'
    """
    return list(CATALOGUE)


def get(name: str) -> EvidenceRecipe:
    """A recipe of an evidence by its name.

    Raises:
        ValueError: if there is no such recipe; the message suggests the nearest name.

    Example:
        >>> get("turtels-1")
        Traceback (most recent call last):
        ValueError: unknown target 'turtels-1'; did you mean 'turtles-1'? `jensen list` shows all of them, and ...
    """
    return take_evidence(CATALOGUE, name)
