"""What training ascends, in numbers: what goes together, what does not, and which callable it makes."""

import json
from dataclasses import replace

import pytest

from jensen import recipes
from jensen.recipes import Constraint, Objective, Recipe, fitting, running
from jensen.recipes.running import make_objective
from jensen.training import Constrained, PixelError, ReconstructionError
from jensen.training.schedules import Linear

RECIPE = recipes.get("vae-digits")
GECO = Objective("geco", samples=2, constraint=Constraint(2.0, "pixel", rate=0.1, initial=3.0, warm_start=5))


@pytest.mark.parametrize("objective", [GECO, Objective("sgvb_b", beta=4.0), Objective("free_bits", free_bits=0.5)])
def test_an_objective_survives_json(objective):
    recipe = replace(RECIPE, objective=objective)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_a_configuration_from_before_there_were_constraints_is_read():
    stored = RECIPE.to_json()
    for name in ("beta", "free_bits", "constraint"):
        del stored["objective"][name]
    assert Recipe.from_json(stored) == RECIPE


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Objective("geco"), "objective 'geco' with no constraint"),
        (lambda: Objective("elbo", constraint=Constraint(1.0)), "objective 'elbo' with a constraint"),
        (lambda: replace(GECO, beta=2.0), "finds the weight of its KL itself, got beta 2"),
        (lambda: Objective("elbo", beta=-1.0), "beta is a weight of at least 0, got -1.0"),
        (lambda: Objective("free_bits"), "objective 'free_bits' with free_bits 0"),
        (lambda: Objective("elbo", free_bits=1.0), "nats above 0 are for 'free_bits'"),
        (lambda: Constraint(-1.0), "kappa must be a positive number, got -1.0"),
        (lambda: Constraint(float("nan"), "likelihood"), "kappa must be a positive number, got nan"),
        (lambda: Constraint(1.0, alpha=1.0), "alpha is a decay between 0 and 1, got 1.0"),
        (lambda: Constraint(1.0, rate=0.0), "rate must be a positive number, got 0.0"),
        (lambda: Constraint(1.0, warm_start=-1), "warm_start must not be negative, got -1"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_constraint_and_a_warm_up_of_the_divergence_do_not_go_together():
    warm = recipes.get("ladder-digits")
    assert warm.optimizer.kl_warmup > 0
    with pytest.raises(ValueError, match="ladder-digits: objective 'geco' with kl_warmup 20; it finds"):
        recipes.adapt(warm, objective="geco", options=(("kappa", 3),))
    assert recipes.adapt(warm, objective="geco", options=(("kappa", 3), ("kl_warmup", 0))).objective.name == "geco"


def test_a_log_likelihood_may_be_asked_to_be_a_density():
    assert Constraint(-3.0, "likelihood").kappa == -3.0


def test_every_number_of_a_constraint_reaches_training():
    made = make_objective(GECO)
    assert isinstance(made, Constrained)
    assert made.constraint == PixelError(2.0)
    assert (made.samples, made.alpha, made.rate, made.initial, made.warm_start) == (2, 0.99, 0.1, 3.0, 5)
    assert make_objective(GECO) is not made
    assert make_objective(Objective("geco", constraint=Constraint(3.0))).constraint == ReconstructionError(3.0)


@pytest.mark.parametrize(("warmup", "beta", "expected"), [(0.0, 4.0, 4.0), (5.0, 4.0, Linear(0.0, 4.0, 5.0))])
def test_beta_is_the_weight_that_training_gets(warmup, beta, expected, monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(fitting, "fit", lambda *arguments, **options: given.update(options))
    recipe = recipes.adapt(RECIPE, smoke=True, options=(("beta", beta), ("kl_warmup", warmup)))
    config = recipes.config.Config(recipe, 0, (8, 8))
    running.train(tmp_path, config, running.build(recipe), progress=False)
    assert given["kl_weight"] == expected


def test_another_bound_leaves_the_numbers_of_the_first_behind():
    geco = recipes.adapt(RECIPE, objective="geco", samples=2, options=(("kappa", 2), ("constraint", "pixel")))
    assert geco.objective == Objective("geco", samples=2, constraint=Constraint(2.0, "pixel"))
    assert recipes.adapt(geco, objective="elbo").objective == Objective("elbo", samples=2)
    assert recipes.adapt(geco, options=(("kappa", 3),)).objective.constraint == Constraint(3.0, "pixel")
    with pytest.raises(ValueError, match="a constraint, with its kappa, is for 'geco'"):
        recipes.adapt(RECIPE, objective="geco")
    with pytest.raises(ValueError, match=r"recipe.objective.constraint lacks 'kappa'"):
        recipes.adapt(RECIPE, objective="geco", options=(("rate", 1),))


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (Objective("sgvb_b"), "sgvb_b"),
        (Objective("sgvb_b", beta=0.5), "sgvb_b, beta = 0.5"),
        (Objective("free_bits", free_bits=0.25), "free_bits, 0.25 nats free"),
        (GECO, "geco, pixel within kappa = 2"),
    ],
)
def test_an_objective_says_what_it_is(objective, text):
    assert str(objective) == text
