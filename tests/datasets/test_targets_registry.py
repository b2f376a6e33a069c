import pytest
import torch

from jensen._random import seeded_generator
from jensen.datasets import targets

OFFLINE = [name for name in targets.names() if not name.startswith("pima")]


@pytest.mark.parametrize("name", OFFLINE)
def test_every_target_is_finite_at_its_prior_with_its_gradient(name, no_network):
    target = targets.load(name)
    u = target.sample_prior(20, generator=seeded_generator(0)).requires_grad_()
    terms = target.log_terms(u)
    (gradient,) = torch.autograd.grad(terms.sum(), u)
    assert target.dtype == torch.float64
    assert target.exact is not None
    assert terms.isfinite().all()
    assert gradient.isfinite().all()
    assert no_network == []


@pytest.mark.parametrize("name", OFFLINE)
def test_the_pointwise_terms_sum_to_the_log_likelihood(name):
    target = targets.load(name)
    u = target.sample_prior(6, generator=seeded_generator(1))
    if target.is_pointwise:
        torch.testing.assert_close(target.pointwise(u).sum(-1), target.log_terms(u)[0])


def test_the_models_of_independent_data_have_pointwise_terms():
    found = {name for name in OFFLINE if targets.load(name).is_pointwise}
    assert found >= {
        "normal-normal",
        "poisson-gamma",
        "linkage",
        "jc69-pair",
        "radiata-density",
        "turtles-0",
        "turtles-1",
    }


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    targets.load("turtles-1")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("wrong", "right"), [("pima1", "pima-1"), ("Eggbox", "eggbox"), ("gaussian-shell-5", "gaussian-shells-5")]
)
def test_an_unknown_name_gets_the_nearest_one(wrong, right):
    with pytest.raises(ValueError, match=f"unknown target '{wrong}'; did you mean '{right}'") as caught:
        targets.load(wrong)
    for name in targets.names():
        assert name in str(caught.value)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(ValueError, match="unknown target 'xyzzy'; choose one of: constant, "):
        targets.load("xyzzy")
