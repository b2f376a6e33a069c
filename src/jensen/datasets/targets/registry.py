"""Every target with a known evidence by its name."""

from collections.abc import Callable
from functools import partial

from jensen._names import check_choice
from jensen._targets import Target
from jensen.datasets.targets import conjugate, densities, nested_demos, phylogenetic, regressions

__all__ = ["load", "names"]

TARGETS: dict[str, Callable[[], Target]] = {
    "constant": conjugate.constant,
    "beta-binomial": conjugate.beta_binomial,
    "normal-normal": conjugate.normal_normal,
    "poisson-gamma": conjugate.poisson_gamma,
    "linear-gaussian": conjugate.linear_gaussian,
    "linkage": conjugate.linkage,
    "gaussian-2": densities.gaussian_2d,
    "gaussian-200": densities.gaussian_200d,
    "correlated-3": partial(densities.correlated_normal, 3, correlation=0.95, half_width=10.0),
    "correlated-25": partial(densities.correlated_normal, 25, correlation=0.4, half_width=5.0),
    "rosenbrock": densities.rosenbrock,
    "funnel-2": partial(densities.funnel, 2),
    "funnel-10": partial(densities.funnel, 10),
    "bimodal-2": partial(densities.bimodal, 2),
    "bimodal-10": partial(densities.bimodal, 10),
    "student-t-5": partial(densities.student_t, 5),
    "gaussian-shells-2": partial(nested_demos.gaussian_shells, 2),
    "gaussian-shells-5": partial(nested_demos.gaussian_shells, 5),
    "gaussian-shells-10": partial(nested_demos.gaussian_shells, 10),
    "gaussian-shells-20": partial(nested_demos.gaussian_shells, 20),
    "gaussian-shells-30": partial(nested_demos.gaussian_shells, 30),
    "eggbox": nested_demos.eggbox,
    "jc69-pair": phylogenetic.jc69_pair,
    "radiata-density": partial(regressions.radiata_pine, "density"),
    "radiata-adjusted": partial(regressions.radiata_pine, "adjusted"),
    "pima-1": partial(regressions.pima, 1),
    "pima-2": partial(regressions.pima, 2),
    "turtles-0": partial(regressions.turtles, 0),
    "turtles-1": partial(regressions.turtles, 1),
}


def names() -> list[str]:
    """The names that `load` knows; all but `pima-1` and `pima-2` are there without a download.

    Example:
        >>> names()[:3]
        ['constant', 'beta-binomial', 'normal-normal']
    """
    return list(TARGETS)


def load(name: str) -> Target:
    """A target by its name, with the log-evidence that is known of it as `exact`.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: if there is no such target, or a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    Example:
        >>> load("gaussian-shells-5")
        Target(dim=5, parameters=theta)
    """
    check_choice("target", name, TARGETS)
    return TARGETS[name]()
