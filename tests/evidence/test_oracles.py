"""Every world whose evidence is known, by every method that can reach it, within four of the errors it reports."""

import functools
import math
import os
from dataclasses import replace

import pytest

from jensen.datasets import targets
from jensen.evidence import METHODS, Settings
from jensen.evidence.runs import Runs

REACHING = ("bridge", "warp_bridge", "stepping_stone", "generalized_stepping_stone", "nested", "smc")
NEEDS_DATA = pytest.mark.skipif("JENSEN_DATA" not in os.environ, reason="the Pima data are downloaded; set JENSEN_DATA")

ERRORS = 4
ROUNDING = 1e-9
WIDEST = 0.5

SMALL = Settings(
    chains=64,
    draws_per_chain=60,
    warmup=150,
    temperatures=12,
    ladder_chains=32,
    ladder_draws=30,
    ladder_warmup=60,
    live=100,
    particles=400,
    runs=4,
)
QUICK = ("constant", "beta-binomial", "normal-normal", "gaussian-2")

MODES = ("bimodal-2", "bimodal-10", "eggbox", *(f"gaussian-shells-{d}" for d in (2, 5, 10, 20, 30)))
FUNNELS = ("funnel-2", "funnel-10")
OUT_OF_REACH = {
    **{(name, "bridge"): "chains keep to the mode they start in, or to where its shell is" for name in MODES},
    **{(name, "warp_bridge"): "the same chains" for name in MODES},
    **{(name, method): "chains do not go down the neck" for name in FUNNELS for method in REACHING[:4]},
    ("eggbox", "generalized_stepping_stone"): "a Gaussian reference lies between modes that its ladder seldom changes",
}
"""Cells whose error bar is not to be trusted, and why; each has to say so in a warning."""

SILENT = {
    ("funnel-10", "smc"): "-0.46 +- 0.05 for 0: particles do not go down the neck, and no diagnosis tells",
    ("funnel-10", "nested"): "-0.39 +- 0.12 for 0: slices in the neck do not reach far enough, nor does any tell",
}
"""Cells that are out of reach and do not say so."""

TOO_LONG = {
    ("gaussian-200", "nested"): "304 slices for each of ten thousand points, in 200 dimensions: minutes",
    **{("gaussian-shells-30", method): "shells in 20 dimensions show the same" for method in REACHING},
}
"""Cells that are left out for their cost alone."""


@functools.lru_cache(maxsize=1)
def runs(name, settings, seed=0):
    return Runs(targets.load(name), settings=settings, seed=seed)


def conforms(found, exact):
    """Within four reported errors, or within rounding where no error is left."""
    return abs(found.log_z - exact) <= ERRORS * found.std_error + ROUNDING * max(1.0, abs(exact))


def measured(name, method, settings):
    shared = runs(name, settings)
    return shared.measure(method, METHODS[method].run)[0], shared.target.exact


def in_reach(name, method):
    return not any((name, method) in kept for kept in (OUT_OF_REACH, SILENT, TOO_LONG))


def out_of_reach(name, method):
    return (name, method) in OUT_OF_REACH and (name, method) not in TOO_LONG


def cells(names, keep):
    found = [(name, method) for name in names for method in REACHING if keep(name, method)]
    return [pytest.param(name, method, marks=NEEDS_DATA if name.startswith("pima") else ()) for name, method in found]


@pytest.mark.parametrize(("name", "method"), cells(QUICK, in_reach))
def test_small_budgets_reach_what_is_known(name, method):
    found, exact = measured(name, method, SMALL)
    assert conforms(found, exact), f"{found} but exactly {exact}"
    assert found.std_error < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), cells(targets.names(), in_reach))
def test_every_method_reaches_every_world(name, method):
    found, exact = measured(name, method, Settings())
    assert conforms(found, exact), f"{found} but exactly {exact}"
    assert found.std_error < WIDEST


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), cells(targets.names(), out_of_reach))
def test_what_is_out_of_reach_says_so(name, method):
    found, _ = measured(name, method, Settings())
    assert found.warnings


def test_a_constant_likelihood_has_evidence_zero():
    exactly = {"stepping_stone", "nested", "smc"}
    for method in REACHING:
        found, exact = measured("constant", method, SMALL)
        assert exact == 0
        assert abs(found.log_z) <= (1e-12 if method in exactly else ERRORS * found.std_error)


@pytest.mark.parametrize("method", REACHING)
def test_an_estimate_that_is_five_errors_off_does_not_conform(method):
    found, exact = measured("beta-binomial", method, SMALL)
    assert conforms(replace(found, log_z=exact + 3.9 * found.std_error), exact)
    assert not conforms(replace(found, log_z=exact + 5 * found.std_error), exact)
    assert not conforms(replace(found, log_z=exact - 5 * found.std_error), exact)
    assert not conforms(replace(found, log_z=exact + 1e-3, std_error=0.0), exact)
    assert not conforms(replace(found, std_error=math.nan), exact)


def test_what_is_out_of_reach_is_there():
    for name, method in (*OUT_OF_REACH, *SILENT, *TOO_LONG):
        assert name in targets.names()
        assert method in REACHING
