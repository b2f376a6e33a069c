import json

import pytest
import torch
from torch.testing import assert_close

from jensen import bounds
from jensen.training import (
    DoublyReparameterized,
    ImportanceWeighted,
    Renyi,
    Resampled,
    Variational,
    describe,
)

OBJECTIVES = {
    "importance weighted": (ImportanceWeighted(samples=4), bounds.iwae),
    "variational": (Variational(samples=4), bounds.elbo),
    "doubly reparameterised": (DoublyReparameterized(samples=4), bounds.iwae),
    "resampled": (Resampled(samples=4), bounds.iwae),
    "renyi": (Renyi(samples=4, alpha=0.5), lambda log_w: bounds.renyi(log_w, alpha=0.5)),
}
ALL = [*(objective for objective, _ in OBJECTIVES.values()), Variational(samples=4, analytic_kl=True)]


def gradient(model, bound):
    parameters = list(model.parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(bound.mean(), parameters)])


def seeded(function, *arguments, **options):
    torch.manual_seed(11)
    return function(*arguments, **options)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
@pytest.mark.parametrize("grad", [True, False])
def test_the_value_is_the_bound_whatever_the_weight_of_the_kl(model, data, name, kl_weight, grad):
    objective, bound = OBJECTIVES[name]
    with torch.set_grad_enabled(grad):
        value = seeded(objective, model, data, kl_weight=kl_weight)
        exact = bound(seeded(model.log_weights, data, 4).total)
    assert value.shape == (37,)
    assert_close(value, exact)


def test_estimator_b_takes_the_divergence_in_closed_form(model, data):
    value = seeded(Variational(samples=4, analytic_kl=True), model, data)
    exact = seeded(model.log_weights, data, 4).log_likelihood.mean(0) - model.kl(data)
    assert_close(value, exact)


@pytest.mark.parametrize("kl_weight", [0.3, torch.tensor(0.3)], ids=["number", "tensor"])
@pytest.mark.parametrize("name", ["importance weighted", "variational", "renyi"])
def test_the_gradient_is_that_of_the_tempered_bound(model, data, name, kl_weight):
    objective, bound = OBJECTIVES[name]
    ours = gradient(model, seeded(objective, model, data, kl_weight=kl_weight))
    tempered = gradient(model, bound(seeded(model.log_weights, data, 4).tempered(0.3)))
    plain = gradient(model, bound(seeded(model.log_weights, data, 4).total))
    assert_close(ours, tempered)
    assert (ours - plain).abs().max() > 0.1 * plain.abs().max()


def test_the_tempered_gradient_of_estimator_b(model, data):
    ours = gradient(model, seeded(Variational(analytic_kl=True), model, data, kl_weight=0.3))
    log_likelihood = seeded(model.log_weights, data, 1).log_likelihood
    assert_close(ours, gradient(model, log_likelihood.mean(0) - 0.3 * model.kl(data)))


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_one_resampled_draw_is_the_draw(model, data, kl_weight):
    ours = gradient(model, seeded(Resampled(samples=1), model, data, kl_weight=kl_weight))
    exact = gradient(model, seeded(ImportanceWeighted(samples=1), model, data, kl_weight=kl_weight))
    assert_close(ours, exact)


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_with_one_sample_the_doubly_reparameterised_gradient_is_the_path(model, data, kl_weight):
    ours = gradient(model, seeded(DoublyReparameterized(samples=1), model, data, kl_weight=kl_weight))
    log_weights = seeded(model.log_weights, data, 1, path_derivative=True)
    assert_close(ours, gradient(model, log_weights.tempered(kl_weight).squeeze(0)))


def test_the_decoder_of_both_reparameterisations_learns_the_same(model, data):
    plain = seeded(ImportanceWeighted(samples=4), model, data)
    doubly = seeded(DoublyReparameterized(samples=4), model, data)
    weight, encoder = model.decoder.weight, model.encoder.weight
    for parameter, same in ((weight, True), (encoder, False)):
        one, other = (torch.autograd.grad(b.mean(), parameter, retain_graph=True)[0] for b in (plain, doubly))
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6) is same


@pytest.mark.parametrize("objective", ALL, ids=repr)
def test_an_objective_is_a_value_that_json_can_hold(objective):
    stored = json.loads(json.dumps(describe(objective)))
    assert stored.pop("name") == type(objective).__name__
    assert type(objective)(**stored) == objective


@pytest.mark.parametrize("kind", [ImportanceWeighted, Variational, DoublyReparameterized, Resampled, Renyi])
def test_no_samples_are_refused(kind):
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        kind(samples=0)


def test_a_closed_form_that_is_not_there_is_refused(data):
    with pytest.raises(ValueError, match="Linear has no closed-form kl"):
        Variational(analytic_kl=True)(torch.nn.Linear(3, 1), data)
