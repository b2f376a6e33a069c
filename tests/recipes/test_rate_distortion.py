"""The rate-distortion study: its settings, its parts and what they measure."""

from dataclasses import replace

import pytest
import torch

from jensen.recipes import get, studies
from jensen.recipes.results import StudyConfig
from jensen.recipes.running import make_objective
from jensen.recipes.studies.constrained import rate_and_distortion
from jensen.recipes.studies.rate_distortion import RateDistortion, sizes_of
from jensen.recipes.studying import parts_of
from jensen.training import Constrained, ReconstructionError

STUDY = studies.get("rate-distortion")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ("64",)}, "sizes such as 100-50-16, got '64'"),
        ({"architectures": ("64-0",)}, "sizes such as 100-50-16, got '64-0'"),
        ({"kappas": (1.0, -1.0)}, "kappas must be positive"),
        ({"warmup": 1.5}, "warmup is a part of the epochs"),
        ({"images": -1}, "images a number"),
    ],
)
def test_what_makes_no_experiment_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(RateDistortion(), **changes)


def test_architectures_are_read():
    assert sizes_of("64-8") == ((64,), 8)


def test_there_is_a_part_for_each_training():
    settings = replace(STUDY.settings, architectures=("64-8", "30-20-4"), kappas=(2.0,), betas=(1.0, 0.5), runs=2)
    names = list(parts_of(STUDY, StudyConfig(STUDY.name, 0, settings)))
    assert len(names) == 1 + 2 * 2 * (1 + 2 + 1)
    assert names[0] == "Gaussian"
    assert "GECO, 30-20-4, kappa = 2, run 2" in names


def test_a_part_measures_both_points_of_a_tolerance():
    parts = parts_of(STUDY, StudyConfig(STUDY.name, 0, STUDY.smoke))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = parts["GECO, 10-3, kappa = 2"]()
    of = {name: found[f"GECO, 10-3, kappa = 2: {name}"][0] for name in ("rate", "distortion", "violation", "lambda")}
    assert of["violation"] == pytest.approx(of["distortion"] / 4.0 - 1.0, abs=0.2)
    assert of["lambda"] > 10 / 4.0
    assert set(found) - {f"GECO, 10-3, kappa = 2: {name}" for name in of} == {
        "at 1/lambda, 10-3, kappa = 2: rate",
        "at 1/lambda, 10-3, kappa = 2: distortion",
    }
    gaussian = parts["Gaussian"]()
    assert list(gaussian) == ["Gaussian, distortion 4: rate"]
    assert gaussian["Gaussian, distortion 4: rate"][0] > 0


def test_rate_and_distortion_are_means_over_all_images():
    from jensen.recipes.studies.constrained import _Training

    training = _Training(STUDY.smoke, "10-3", 0)
    model, x = training.model.eval(), training.x
    with torch.no_grad():
        rate = model.kl(x).mean().item()
        distortion = (model.infer(x, 200).likelihood.mean - x).square().sum(-1).mean().item()
    found = rate_and_distortion(model, x)
    assert found == (pytest.approx(rate, rel=1e-5), pytest.approx(distortion, rel=2e-2))


@pytest.mark.parametrize(("name", "kappa"), [("geco-digits", 1.3), ("geco-mnist", 4.0)])
def test_the_recipes_ask_for_a_squared_error(name, kappa):
    recipe = get(name)
    objective = make_objective(recipe.objective)
    assert isinstance(objective, Constrained)
    assert objective.constraint == ReconstructionError(kappa)
    assert recipe.model.scale**2 == pytest.approx(0.5)
