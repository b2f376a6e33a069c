"""What methods share, and what they are charged."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from jensen import samplers
from jensen._targets import Target
from jensen.evidence import METHODS, Settings, log_evidence
from jensen.evidence.runs import Runs
from jensen.samplers.tempered import temper

SMALL = Settings(
    temperatures=6, reference_temperatures=4, ladder_chains=24, ladder_draws=20, ladder_warmup=20, draws_per_chain=20
)
ON_A_LADDER = ("stepping_stone", "path", "modified_path", "generalized_stepping_stone")


def target():
    return Target(lambda x: -((x - 1) ** 2).sum(-1), Normal(torch.zeros(2, dtype=torch.float64), 2.0))


def test_four_methods_share_one_run(monkeypatch):
    made = []

    def counted(*args, **settings):
        made.append(settings)
        return temper_both(*args, **settings)

    temper_both = samplers.temper_both
    monkeypatch.setattr(samplers, "temper_both", counted)
    runs = Runs(target(), settings=SMALL)
    costs = {name: runs.measure(name, METHODS[name].run)[1].evaluations for name in ON_A_LADDER}
    assert len(made) == 1
    assert set(costs.values()) == {runs.accounts.evaluations}
    assert runs.ladder.evaluations + runs.reference_ladder.evaluations > runs.accounts.evaluations
    for name in ON_A_LADDER:
        assert runs.accounts.used(f"method {name}") == {f"method {name}", "ladders"}


@pytest.mark.parametrize("name", ON_A_LADDER)
def test_no_chain_of_the_posterior_is_run(monkeypatch, name):
    def refuse(*args, **settings):
        raise AssertionError

    for sampler in ("hamiltonian", "nuts", "temper", "sequential_monte_carlo", "find_mode"):
        monkeypatch.setattr(samplers, sampler, refuse)
    small = {key: getattr(SMALL, key) for key in ("temperatures", "ladder_chains", "ladder_draws", "ladder_warmup")}
    assert log_evidence(target(), method=name, **small).method == name


def test_a_method_gives_the_same_whatever_else_is_asked_for():
    together, given = Runs(target(), settings=SMALL), torch.zeros(10, 4, 2, dtype=torch.float64)
    for name in ON_A_LADDER:
        alone = Runs(target(), settings=SMALL, draws=given).measure(name, METHODS[name].run)[0]
        assert together.measure(name, METHODS[name].run)[0] == alone


def test_chains_do_not_make_a_ladder():
    runs = Runs(target(), settings=SMALL)
    runs.measure("bridge", METHODS["bridge"].run)
    assert "ladders" not in runs.accounts.used("method bridge")


def test_the_two_paths_have_temperatures_of_their_own():
    runs = Runs(target(), settings=SMALL)
    assert (len(runs.ladder.betas), len(runs.reference_ladder.betas)) == (6, 4)


def far_islands(d=3):
    """A prior of narrow modes 2000 apart, cut off one deviation from each: a Gaussian over all of them misses each."""
    centre = torch.tensor([-1000.0, 1000.0], dtype=torch.float64)
    halves = Categorical(torch.ones(d, 2, dtype=torch.float64))
    prior = MixtureSameFamily(halves, Normal(centre.expand(d, 2), torch.ones(d, 2, dtype=torch.float64)))

    def log_likelihood(x):
        return torch.where(((x.abs() - 1000).abs() < 1).all(-1), 0.0, -math.inf).double()

    return Target(log_likelihood, prior, exact=d * math.log(math.erf(math.sqrt(0.5))))


@pytest.mark.parametrize("names", [ON_A_LADDER, ON_A_LADDER[::-1]])
def test_methods_from_the_prior_do_not_fail_with_the_reference(names):
    runs = Runs(far_islands(), settings=SMALL)
    with pytest.raises(
        ValueError, match=r"no path leads from a Gaussian reference .* the likelihood is zero at \d+ of"
    ):
        runs.measure("generalized_stepping_stone", METHODS["generalized_stepping_stone"].run)
    alone = temper(far_islands(), temperatures=6, chains=24, draws=20, warmup=20, seed=runs.seed("ladders"))
    assert torch.equal(runs.ladder.log_ratio, alone.log_ratio)
    for name in names:
        if name != "generalized_stepping_stone":
            found = runs.measure(name, METHODS[name].run)[0]
            assert abs(found.log_z - runs.target.exact) < 4.56 * found.std_error


def test_what_fails_at_the_prior_fails_in_all():
    nowhere = Target(lambda x: torch.full_like(x, -math.inf).sum(-1), Normal(torch.zeros(2, dtype=torch.float64), 1.0))
    runs = Runs(nowhere, settings=SMALL)
    for name in ON_A_LADDER:
        with pytest.raises(ValueError, match="the likelihood is zero at 500 of a run's 500 first particles"):
            runs.measure(name, METHODS[name].run)
