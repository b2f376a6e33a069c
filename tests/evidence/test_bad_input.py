"""Every method on what should not be there: NaN, zero likelihoods, too few draws, functions that raise."""

import math

import pytest
import torch
from torch.distributions import Exponential, Normal

from jensen.evidence import Draws, Target, bridge, compare, log_evidence, thames
from jensen.evidence.methods import METHODS, applicable
from jensen.recipes.evidence_recipe import SMOKE

ZERO, ONE = torch.zeros(2).double(), torch.ones(2).double()
NORMAL = -math.log(2)  # of exp(-x^2 / 2) under a standard normal prior in two dimensions


def gaussian(x):
    return -(x**2).sum(-1) / 2


def with_holes(x):
    """NaN where the first coordinate is above 1.5."""
    return gaussian(x).where(x[:, 0] < 1.5, math.nan)


def truncated(x):
    """Zero where the first coordinate is above 1.5."""
    return gaussian(x).where(x[:, 0] < 1.5, -math.inf)


HOLED = NORMAL + math.log(0.5 * (1 + math.erf(1.5)))  # the posterior is N(0, 1/2)
SAMPLING = [name for name in METHODS if METHODS[name].kind == "estimate" and not METHODS[name].positive]
STEADY = ["bridge", "stepping_stone", "nested", "smc", "naive", "importance", "variational_importance"]


@pytest.mark.parametrize("likelihood", [with_holes, truncated])
@pytest.mark.parametrize("name", STEADY)
def test_holes_weigh_nothing_and_spread_nowhere(name, likelihood):
    found = log_evidence(Target(likelihood, Normal(ZERO, 1.0)), method=name, **SMOKE)
    assert math.isfinite(found.log_z)
    assert abs(found.log_z - HOLED) < 5 * found.std_error + 1e-9
    if likelihood is with_holes and name in ("naive", "importance", "variational_importance"):
        assert found.diagnostics["nan"] > 0
        assert any("NaN" in sentence for sentence in found.warnings)


@pytest.mark.parametrize("name", SAMPLING)
def test_a_likelihood_of_zero_everywhere_is_one_clear_line(name):
    target = Target(lambda x: torch.full((len(x),), -math.inf).double(), Normal(ZERO, 1.0))
    with pytest.raises(ValueError, match=r"(zero|-inf|finite|weight|likelihood)") as caught:
        log_evidence(target, method=name, **SMOKE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", list(METHODS))
def test_a_function_that_raises_is_named_with_its_point(name):
    def fragile(x):
        if bool((x > 1.5).any()):
            raise RuntimeError("beyond the table")
        return gaussian(x)

    target = Target(fragile, Exponential(1e3 * ONE), pointwise=lambda x: fragile(x)[:, None])
    with pytest.raises(ValueError, match=r"RuntimeError: beyond the table; first at theta = \[") as caught:
        log_evidence(shifted(target), method=name, **SMOKE)
    assert "\n" not in str(caught.value)


def shifted(target):
    """The same under a prior whose draws do meet the trouble, though the three that a target tries do not."""
    target._joint_prior = Target(lambda x: x.sum(-1), Exponential(ONE))._joint_prior
    return target


def test_one_method_that_fails_does_not_stop_the_others():
    def in_numpy(x):
        return torch.from_numpy(-(x.numpy() ** 2).sum(-1) / 2)

    target = Target(in_numpy, Normal(ZERO, 1.0))
    result = compare(target, ["naive", "bridge", "nested"], quiet=True, **SMOKE)
    assert set(result.failures) == {"bridge"}
    assert "requires grad" in result.failures["bridge"]
    assert abs(result["naive"].log_z - NORMAL) < 5 * result["naive"].std_error


def test_when_all_fail_the_first_reason_is_given():
    target = Target(lambda x: torch.full((len(x),), -math.inf).double(), Normal(ZERO, 1.0))
    with pytest.raises(ValueError, match="every method failed; naive: "):
        compare(target, ["naive", "bridge"], quiet=True, **SMOKE)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("method", [bridge, thames])
def test_fewer_draws_than_dimensions(method, count):
    target = Target(gaussian, Normal(torch.zeros(5).double(), 1.0))
    points = torch.randn(count, 1, 5, generator=torch.Generator().manual_seed(0)).double()
    terms = target.log_terms(points[:, 0])
    draws = Draws(points, terms[0][:, None], terms[1][:, None])
    with pytest.raises(ValueError, match="draw"):
        method(draws, target) if method is bridge else method(draws)


def test_draws_of_other_names_are_refused():
    target = Target(gaussian, Normal(ZERO, 1.0))
    with pytest.raises(ValueError, match=r"\['beta'\].*\['theta'\]|\['theta'\].*\['beta'\]"):
        log_evidence(target, draws={"beta": torch.zeros(4, 100, 2).double()})


def test_a_dropped_constant_shows_in_the_evidence_and_nowhere_else():
    kept = log_evidence(Target(gaussian, Normal(ZERO, 1.0)), **SMOKE)
    dropped = log_evidence(Target(lambda x: gaussian(x) - 3.0, Normal(ZERO, 1.0)), **SMOKE)
    assert dropped.log_z == pytest.approx(kept.log_z - 3.0, abs=1e-6)


def test_an_unknown_method_or_one_that_does_not_apply():
    target = Target(gaussian, Normal(ZERO, 1.0))
    with pytest.raises(ValueError, match="did you mean 'bridge'"):
        log_evidence(target, method="bridges")
    with pytest.raises(ValueError, match="positive numbers"):
        log_evidence(target, method="gamma_laplus")
    with pytest.raises(ValueError, match="each observation"):
        compare(target, ["cpo"])
    for several in ("all", ["bridge", "naive"], None):
        with pytest.raises(ValueError, match="takes the name of one method"):
            log_evidence(target, method=several)
    with pytest.raises(ValueError, match="expected a Target"):
        log_evidence(gaussian)
    assert "cpo" not in applicable(target)


def test_two_estimates_apart_are_warned_of():
    target = Target(gaussian, Normal(ZERO, 1.0))
    wrong = METHODS["naive"]
    broken = type(wrong)("naive", "", lambda runs: shift(wrong.run(runs)))

    def shift(found):
        return type(found)(found.log_z + 1.0, found.std_error, method="naive")

    METHODS["naive"] = broken
    try:
        with pytest.warns(UserWarning, match="differ by .* combined standard errors"):
            compare(target, ["naive", "importance"], quiet=True, **SMOKE)
    finally:
        METHODS["naive"] = wrong
    compare(target, ["naive", "importance"], quiet=True, **SMOKE)
