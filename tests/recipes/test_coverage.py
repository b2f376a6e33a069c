"""The study of coverage: it runs, and an error bar that is too small or in the wrong place shows in it."""

import math
from dataclasses import replace

import pytest
import torch

from jensen.datasets import targets
from jensen.evidence import Evidence, methods
from jensen.evidence.runs import Runs
from jensen.recipes import studies
from jensen.recipes.results import StudyConfig, rows
from jensen.recipes.studies import intervals
from jensen.recipes.studies.coverage import Coverage
from jensen.recipes.studying import run_study

EXACT = targets.load("normal-normal").exact
SMALL = Coverage(targets=("normal-normal",), hard=(), seeds=400, block=400)


def coverage_of(monkeypatch, *, bias=0.0, claimed=1.0, warnings=()):
    """The share of 400 intervals that hold the exact value, of a method whose errors are normal with deviation 1."""

    def run(runs):
        generator = torch.Generator().manual_seed(runs.seed("made up"))
        noise = torch.randn((), generator=generator, dtype=torch.float64)
        return Evidence(EXACT + bias + float(noise), claimed, {}, "naive", warnings=warnings)

    monkeypatch.setattr(intervals, "METHODS", ("naive",))
    monkeypatch.setitem(methods.METHODS, "naive", replace(methods.METHODS["naive"], run=run))
    return intervals._independent("normal-normal", range(400), SMALL)


def share(found, what="naive: normal-normal"):
    return sum(found[what]) / len(found[what])


def test_right_errors_cover_95_percent(monkeypatch):
    found = coverage_of(monkeypatch)
    assert abs(share(found) - 0.95) < 4.56 * math.sqrt(0.95 * 0.05 / 400)
    assert abs(share(found, "naive: normal-normal, z")) < 4.56 / math.sqrt(400)


@pytest.mark.parametrize(
    ("fault", "expected"), [({"claimed": 0.5}, 0.673), ({"bias": 2.0}, 0.484), ({"claimed": 2.0}, 0.9999)]
)
def test_wrong_errors_show(monkeypatch, fault, expected):
    found = coverage_of(monkeypatch, **fault)
    error = math.sqrt(expected * (1 - expected) / 400)
    assert abs(share(found) - expected) < 4.56 * error + 0.001
    assert abs(share(found) - 0.95) > 4.56 * math.sqrt(0.95 * 0.05 / 400) or expected > 0.95


def test_what_gives_no_interval_counts_as_warned(monkeypatch):
    found = coverage_of(monkeypatch, claimed=math.nan)
    assert list(found) == ["naive: normal-normal, warned"]
    assert share(found, "naive: normal-normal, warned") == 0.0
    assert share(coverage_of(monkeypatch, warnings=("Doubt.",)), "naive: normal-normal, warned") == 1.0


def test_a_method_that_raises_is_warned_of(monkeypatch):
    def run(runs):
        raise ValueError("nothing has any weight")

    monkeypatch.setattr(intervals, "METHODS", ("naive",))
    monkeypatch.setitem(methods.METHODS, "naive", replace(methods.METHODS["naive"], run=run))
    found = intervals._independent("normal-normal", range(2), SMALL)
    assert found == {"naive: normal-normal, warned": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("off", "error", "held"),
    [(1.9, 1.0, 1.0), (-1.9, 1.0, 1.0), (2.0, 1.0, 0.0), (1e-12, 0.0, 1.0), (1e-6, 0.0, 0.0)],
)
def test_an_interval_holds_what_lies_within_1_96_errors_or_is_off_by_rounding(off, error, held):
    assert intervals._judge(off, error)[0] == held


def test_given_draws_have_the_posterior_and_the_autocorrelation_that_is_asked_for():
    target = targets.load("normal-normal")
    draws = intervals._chain(target, Coverage(given=3000), 0)
    x = draws.points[..., 0]
    mean, deviation = intervals._posterior()
    z = (x - mean) / deviation
    assert x.shape == (3000, 4)
    innovation = (z[1:] - 0.9 * z[:-1]) / math.sqrt(1 - 0.9**2)
    error = 1 / math.sqrt(innovation.numel())
    assert abs(float(z[0].mean())) < 4.56 / math.sqrt(4)
    assert abs(float((innovation * z[:-1]).mean())) < 4.56 * error
    assert abs(float(innovation.square().mean()) - 1) < 4.56 * math.sqrt(2) * error
    log_posterior = draws.log_joint - target.exact
    expected = -z.square() / 2 - math.log(deviation) - math.log(2 * math.pi) / 2
    torch.testing.assert_close(log_posterior, expected)


def test_harmonic_means_get_the_error_of_the_delta_method():
    target = targets.load("normal-normal")
    runs = Runs(target, draws=intervals._chain(target, SMALL, 0))
    found: dict[str, list[float]] = {}
    intervals._note(found, "here", runs, ("bridge", "harmonic"))
    assert found["bridge: here"] == [1.0]
    assert found["harmonic: here"] == [0.0]
    assert found["harmonic: here, z"][0] > 2


def test_the_study_runs(tmp_path):
    study = studies.get("evidence-coverage")
    done = run_study(tmp_path, study, StudyConfig(study.name, 0, study.smoke))
    table = {row.what: row for row in rows(study, done)}
    assert len(done) == 2
    for name in intervals.METHODS:
        assert table[f"{name}: normal-normal, warned"].runs == 1
    assert table["bridge: normal-normal, draws of autocorrelation 0.9"].runs == 1


def test_settings_that_make_no_study_are_refused():
    with pytest.raises(ValueError, match="rho must be below 1, got 1"):
        Coverage(rho=1.0)
    with pytest.raises(ValueError, match="seeds must be positive, got 0"):
        Coverage(seeds=0)
