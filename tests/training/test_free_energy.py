"""The scale of the divergence, held to a model whose posterior and evidence are known."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from training_regression import D, LinearRegression, N, data, log_evidence, mean_field_bound, posterior

from jensen._contracts import Pairs
from jensen.training import (
    BlundellWeights,
    Constant,
    Cosine,
    DoublyReparameterized,
    FreeEnergy,
    ImportanceWeighted,
    Linear,
    Product,
    Renyi,
    Variational,
    describe,
    fit,
)

EXACT = Variational(samples=2 * D, analytic_kl=True)
WEIGHTINGS = [("uniform", 1), ("uniform", 4), ("blundell", 1), ("blundell", 4)]


@pytest.fixture(scope="module")
def pairs():
    return data()


def weighting(name, batches):
    return BlundellWeights(batches) if name == "blundell" else Constant(1.0)


def epoch(objective, model, pairs, *, batches=1, weights=None):
    """The sum over the minibatches of an epoch, as the loop takes it: the mean over each, weighed by a schedule."""
    weights = weights or Constant(1.0)
    parts = [pairs[index] for index in torch.arange(len(pairs)).chunk(batches)]
    return sum(objective(model, part, kl_weight=weights(i / batches)).mean() for i, part in enumerate(parts))


def optimum(objective, model, pairs, **how):
    """The posterior at which the sum over an epoch is largest, found without noise; and the bound per epoch."""
    optimizer = torch.optim.LBFGS(
        [p for p in model.parameters() if p.requires_grad],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimizer.zero_grad()
        value = -epoch(objective, model, pairs, **how)
        value.backward()
        return value

    optimizer.step(loss)
    return model


def assert_exact_posterior(model, pairs):
    mean, precision = posterior(pairs)
    assert_close(model.mean.detach(), mean, atol=1e-7, rtol=0)
    assert_close(model.covariance().detach(), precision.inverse(), atol=1e-7, rtol=0)
    assert_close(N * FreeEnergy(N, bound=EXACT)(model, pairs).mean().detach(), log_evidence(pairs), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("name", "batches"), WEIGHTINGS)
def test_the_optimum_over_all_gaussians_is_posterior_and_evidence(pairs, name, batches):
    model = LinearRegression(full=True)
    optimum(FreeEnergy(N, bound=EXACT), model, pairs, batches=batches, weights=weighting(name, batches))
    assert_exact_posterior(model, pairs)


@pytest.mark.parametrize(("name", "batches"), WEIGHTINGS)
def test_the_optimum_over_factorised_gaussians_has_the_precisions_diagonal(pairs, name, batches):
    model = LinearRegression(full=False)
    optimum(FreeEnergy(N, bound=EXACT), model, pairs, batches=batches, weights=weighting(name, batches))
    mean, precision = posterior(pairs)
    assert_close(model.mean.detach(), mean, atol=1e-7, rtol=0)
    assert_close(model.log_scale.detach(), -0.5 * precision.diagonal().log(), atol=1e-7, rtol=0)
    value = N * FreeEnergy(N, bound=EXACT)(model, pairs).mean()
    assert_close(value.detach(), mean_field_bound(pairs), atol=1e-9, rtol=0)
    assert value < log_evidence(pairs) - 0.05


class KLAveraged(LinearRegression):
    """A twin whose divergence is the mean over weights."""

    def kl(self):
        return super().kl() / D


class SummedDraws(LinearRegression):
    """A twin whose likelihood is the sum over draws."""

    def log_likelihood(self, batch, samples):
        return samples * super().log_likelihood(batch, samples)


def of_the_minibatch(model, batch, *, kl_weight=1.0):
    """A twin that counts the whole divergence in each minibatch: it is that of a data set of B data."""
    return FreeEnergy(len(batch), bound=EXACT)(model, batch, kl_weight=kl_weight)


TWINS = [  # class, objective, minibatches, the power 1 / c of the likelihood that its optimum belongs to
    (KLAveraged, FreeEnergy(N, bound=EXACT), 1, 1 / D),
    (SummedDraws, FreeEnergy(N, bound=EXACT), 1, 1 / (2 * D)),
    (LinearRegression, of_the_minibatch, 4, 4.0),
]


@pytest.mark.parametrize(("twin", "objective", "batches", "tempering"), TWINS)
def test_a_divergence_on_another_scale_is_caught(pairs, twin, objective, batches, tempering):
    """Each plausible mistake finds the posterior of a tempered likelihood, p(w) p(D | w)^(1 / c), and fails above."""
    model = optimum(objective, twin(full=True), pairs, batches=batches)
    mean, precision = posterior(pairs, tempering=tempering)
    assert_close(model.mean.detach(), mean, atol=1e-6, rtol=0)
    assert_close(model.covariance().detach(), precision.inverse(), atol=1e-6, rtol=0)
    with pytest.raises(AssertionError):
        assert_exact_posterior(model, pairs)


def test_weights_of_minibatches_that_do_not_add_up_are_caught(pairs):
    """pi_i from i = 0 sums to two, and pi_i without the factor M to one in M."""
    for weights in (lambda t: 2 * BlundellWeights(4)(t), lambda t: BlundellWeights(4)(t) / 4):
        model = optimum(FreeEnergy(N, bound=EXACT), LinearRegression(full=True), pairs, batches=4)
        assert_exact_posterior(model, pairs)
        gradient = torch.autograd.grad(
            epoch(FreeEnergy(N, bound=EXACT), model, pairs, batches=4, weights=weights), model.mean
        )[0]
        assert gradient.abs().max() > 1e-2


@pytest.mark.parametrize(("name", "batches"), [("uniform", 3), ("uniform", 12), ("blundell", 3), ("blundell", 12)])
def test_gradients_of_minibatches_add_up_to_that_of_the_data_set(pairs, name, batches):
    """At any parameters, for any equally large minibatches: M times the gradient of the whole."""
    model = LinearRegression(full=True).start_at(*somewhere())
    objective = FreeEnergy(N, bound=EXACT)
    parameters = [model.mean, model.log_scale, model.lower]
    whole = torch.autograd.grad(objective(model, pairs).mean(), parameters)
    parts = torch.autograd.grad(
        epoch(objective, model, pairs, batches=batches, weights=weighting(name, batches)), parameters
    )
    for one, all_of_them in zip(whole, parts, strict=True):
        assert_close(all_of_them, batches * one, atol=1e-12, rtol=0)


def somewhere():
    factor = torch.tensor([[0.5, 0.0, 0.0], [0.2, 0.3, 0.0], [-0.1, 0.4, 0.6]], dtype=torch.float64)
    return torch.tensor([0.2, -0.4, 1.0], dtype=torch.float64), factor @ factor.T


@pytest.mark.parametrize(
    "bound",
    [
        Variational(samples=1),
        Variational(samples=7),
        ImportanceWeighted(samples=1),
        ImportanceWeighted(samples=5),
        Renyi(samples=5, alpha=0.3),
        DoublyReparameterized(samples=5),
    ],
    ids=str,
)
def test_every_bound_is_the_evidence_at_the_exact_posterior(pairs, bound):
    """All log-weights are equal there, so there is no noise to average."""
    mean, precision = posterior(pairs)
    model = LinearRegression(full=True).start_at(mean, precision.inverse())
    torch.manual_seed(0)
    found = FreeEnergy(N, bound=bound)(model, pairs)
    assert found.shape == (N,)
    assert_close(N * found, log_evidence(pairs).expand(N), atol=1e-9, rtol=0)


@pytest.mark.parametrize("samples", [1, 4])
def test_the_gradient_along_the_path_is_zero_without_noise_at_the_exact_posterior(pairs, samples):
    mean, precision = posterior(pairs)
    model = LinearRegression(full=True).start_at(mean, precision.inverse())
    value = FreeEnergy(N, bound=DoublyReparameterized(samples=samples))(model, pairs).mean()
    for gradient in torch.autograd.grad(value, [model.mean, model.log_scale, model.lower]):
        assert_close(gradient, torch.zeros_like(gradient), atol=1e-11, rtol=0)


def test_importance_weighting_is_between_the_bound_and_the_evidence(pairs):
    """Of the whole data set: E[L_1] <= E[L_8] <= log p(D), by the means of many draws."""
    mean, precision = posterior(pairs)
    model = LinearRegression(full=False).start_at(mean, precision.diagonal().reciprocal().diag())
    torch.manual_seed(0)
    log_w = model.log_weights(pairs, 80_000).total.detach().reshape(8, 10_000)
    tighter = log_w.logsumexp(0) - math.log(8)
    error = (tighter - log_w[0]).std() / 100
    assert (tighter - log_w[0]).mean() > 4.56 * error
    assert tighter.mean() < log_evidence(pairs) + 4.56 * tighter.std() / 100
    assert abs(log_w.mean() - mean_field_bound(pairs)) < 4.56 * log_w.std() / math.sqrt(log_w.numel())


@pytest.mark.parametrize("bound", [EXACT, Variational(samples=3), ImportanceWeighted(samples=3)], ids=str)
def test_warm_up_changes_the_gradient_and_not_the_value(pairs, bound):
    model = LinearRegression(full=True).start_at(*somewhere())
    objective = FreeEnergy(N, bound=bound)

    def value_and_gradient(kl_weight):
        torch.manual_seed(0)
        value = objective(model, pairs[:4], kl_weight=kl_weight)
        return value.detach(), torch.autograd.grad(value.mean(), model.mean)[0]

    value, gradient = value_and_gradient(1.0)
    for kl_weight in (0.0, 0.25, torch.tensor(0.5), 1500.0):
        tempered, other = value_and_gradient(kl_weight)
        assert_close(tempered, value, atol=1e-9, rtol=0)
        assert (other - gradient).abs().max() > 1e-3


def test_the_value_is_for_each_datum_where_the_divergence_is_in_closed_form(pairs):
    model = LinearRegression(full=True).start_at(*somewhere())
    found = FreeEnergy(N, bound=EXACT)(model, pairs)
    expected = model.log_likelihood(pairs, 2 * D).mean(0) - model.kl() / N
    assert_close(found, expected, atol=1e-13, rtol=0)


class WithoutClosedForm(LinearRegression):
    def kl(self):
        raise ValueError("a scale mixture has no closed form of its divergence")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FreeEnergy(0), "data is the number of data.*got 0"),
        (lambda: FreeEnergy(-3), "got -3"),
        (lambda: FreeEnergy(N)(nn.Linear(2, 1), data()), "Linear has no log_likelihood and no kl.*BayesianNetwork"),
        (lambda: FreeEnergy(N, bound=ImportanceWeighted())(nn.Linear(2, 1), data()), "Linear has no log_weights"),
        (lambda: FreeEnergy(N)(WithoutClosedForm(full=True), data()), r"no closed form.*bound=Variational\(\)"),
    ],
)
def test_what_has_no_free_energy_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_prior_without_a_closed_form_is_drawn(pairs):
    value = FreeEnergy(N, bound=Variational(samples=2))(WithoutClosedForm(full=True), pairs)
    assert value.isfinite().all()


def run(pairs, objective, *, batch_size, epochs, learning_rate, **options):
    model = LinearRegression(full=True)
    schedule = Cosine(learning_rate, epochs=epochs)
    history = fit(
        model, objective, pairs, epochs=epochs, batch_size=batch_size, learning_rate=schedule, precision="64-true",
        accelerator="cpu", progress=False, **options,
    )  # fmt: skip
    return model, history


def deviation(model, pairs):
    """The largest error of mean and covariance, relative to the posterior's largest variance."""
    mean, precision = posterior(pairs)
    covariance = precision.inverse()
    errors = [(model.mean - mean).abs().max() / covariance.max().sqrt()]
    errors += [(model.covariance() - covariance).abs().max() / covariance.max()]
    return max(error.item() for error in errors)


def test_a_whole_run_in_one_batch_ends_at_the_posterior(pairs):
    options = {"batch_size": N, "epochs": 400, "learning_rate": 0.2, "kl_weight": Linear(0.0, 1.0, 50)}
    model, history = run(pairs, FreeEnergy(N, bound=EXACT), **options)
    assert deviation(model, pairs) < 1e-4
    assert N * history.epochs[-1].bound == pytest.approx(log_evidence(pairs).item(), abs=1e-5)


def test_a_whole_run_in_reshuffled_minibatches_of_unequal_size_ends_near_the_posterior(pairs):
    options = {"batch_size": 5, "epochs": 100, "learning_rate": 0.1}
    model, history = run(pairs, FreeEnergy(N, bound=EXACT), **options)
    assert deviation(model, pairs) < 0.2
    assert N * history.epochs[-1].bound == pytest.approx(log_evidence(pairs).item(), abs=0.03)
    twin, _ = run(pairs, of_the_minibatch, **options)
    assert deviation(twin, pairs) > 1.0


@pytest.mark.parametrize(
    ("objective", "weights", "message"),
    [
        (FreeEnergy(N + 1), 1.0, "data=13, but there are 12"),
        (FreeEnergy(N), BlundellWeights(batches=4), r"BlundellWeights\(batches=4\).*batches=3"),
        (FreeEnergy(N), Product(Linear(0.0, 1.0, 5), BlundellWeights(batches=2)), "give batches=3"),
    ],
)
def test_a_run_of_other_sizes_is_refused(pairs, objective, weights, message):
    with pytest.raises(ValueError, match=message):
        fit(LinearRegression(full=True), objective, pairs, epochs=1, batch_size=5, kl_weight=weights)


def test_settings_tell_nested_bounds_apart():
    one, other = (describe(FreeEnergy(N, bound=bound(samples=2))) for bound in (Renyi, ImportanceWeighted))
    assert one["bound"]["name"] == "Renyi"
    assert other["bound"] == {"name": "ImportanceWeighted", "samples": 2}
    assert FreeEnergy(N, bound=Renyi(samples=2)).samples == 2


def test_pairs_reach_the_objective_whole(pairs):
    seen = []

    def objective(model, batch):
        seen.append(batch)
        return FreeEnergy(N, bound=EXACT)(model, batch)

    fit(LinearRegression(full=True), objective, pairs, epochs=1, batch_size=5, accelerator="cpu", progress=False)
    assert [type(batch) for batch in seen] == [Pairs] * 3
    order = torch.cat([batch.inputs for batch in seen])[:, 0].argsort()
    targets = torch.cat([batch.targets for batch in seen])[order]
    assert torch.equal(targets, pairs.targets[pairs.inputs[:, 0].argsort()])
