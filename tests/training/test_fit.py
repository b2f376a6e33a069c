"""`fit` trains, refuses what cannot be trained, and does with its arguments what it says."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from training_worlds import Grey, linear_gaussian

from jensen.training import Adam, Burda, ImportanceWeighted, Linear, Variational, fit, isolated


def run(model, objective, data, **options):
    settings = {"batch_size": 10, "epochs": 2, "accelerator": "cpu", "progress": False, **options}
    return fit(model, objective, data, **settings)


def drawn(samples):
    """Data of a linear-Gaussian model that is not the one we start from."""
    truth = linear_gaussian(seed=100)
    with torch.no_grad(), isolated(torch.device("cpu"), seed=0):
        return truth.decoder(torch.randn(samples, 2)) + 0.5 * torch.randn(samples, 3)


def test_it_finds_the_maximum_likelihood_of_a_model_that_has_one():
    """The evidence of a Gaussian with the sample's own moments is the best there is, and q can be exact here."""
    data = drawn(400)
    best = torch.distributions.MultivariateNormal(data.mean(0), data.T.cov(correction=0)).log_prob(data).mean()
    model = linear_gaussian(latent=2)
    history = run(model, Variational(samples=4, analytic_kl=True), data, epochs=80, learning_rate=2e-2, batch_size=50)
    evidence = model.log_evidence(data).mean()
    assert evidence <= best + 1e-4
    assert evidence > best - 0.05
    assert abs(history.epochs[-1].bound - best) < 0.15
    assert linear_gaussian(latent=2).log_evidence(data).mean() < best - 0.5


def test_the_steps_are_those_of_a_hand_written_loop(data):
    """Same noise, same order, the plain optimizer: the parameters agree to the bit."""
    ours, hand = linear_gaussian(), linear_gaussian()
    order, noise = [], []

    def objective(model, x):
        order.append(x.clone())
        noise.append(torch.get_rng_state())
        return ImportanceWeighted(samples=3)(model, x)

    run(ours, objective, data, learning_rate=0.01)
    optimizer = torch.optim.Adam(hand.parameters(), lr=0.01, fused=True)
    with isolated(torch.device("cpu"), seed=0):
        for x, state in zip(order, noise, strict=True):
            torch.set_rng_state(state)
            optimizer.zero_grad()
            loss = -ImportanceWeighted(samples=3)(hand, x).mean()
            loss.backward()
            optimizer.step()
    assert torch.equal(ours.decoder.weight, hand.decoder.weight)
    assert torch.equal(ours.log_r, hand.log_r)


def test_an_epoch_is_a_permutation_and_the_last_batch_may_be_smaller(data):
    seen = []

    def objective(model, x):
        seen.append(x.clone())
        return ImportanceWeighted()(model, x)

    run(linear_gaussian(), objective, data)
    assert [len(x) for x in seen] == [10, 10, 10, 7] * 2
    for epoch in (seen[:4], seen[4:]):
        assert torch.equal(torch.cat(epoch).sort(0).values, data.sort(0).values)
    assert not torch.equal(torch.cat(seen[:4]), torch.cat(seen[4:]))


def test_the_recorded_bound_is_the_mean_over_data_not_over_batches(data):
    values = []

    def objective(model, x):
        bound = ImportanceWeighted()(model, x)
        values.append(bound.detach())
        return bound

    history = run(linear_gaussian(), objective, data, epochs=1)
    assert history.epochs[0].bound == pytest.approx(torch.cat(values).double().mean().item(), abs=1e-6)
    over_batches = torch.stack([v.mean() for v in values]).mean().item()
    assert abs(history.epochs[0].bound - over_batches) > 1e-4


def test_schedules_reach_the_optimizer_and_the_objective(data):
    weights = []

    def objective(model, x, *, kl_weight):
        weights.append(kl_weight)
        return ImportanceWeighted()(model, x, kl_weight=kl_weight)

    history = run(linear_gaussian(), objective, data, epochs=5, kl_weight=Linear(0.0, 1.0, 2), learning_rate=Burda())
    assert weights[:9] == pytest.approx([i / 8 for i in range(9)])
    assert [record.learning_rate for record in history.epochs] == pytest.approx([1e-3] + [7.2e-4] * 3 + [5.2e-4])


def test_warm_up_reports_the_bound_itself(data):
    """At a learning rate of zero the same noise gives the same bound, whatever the weight of the KL."""
    bounds = [
        run(linear_gaussian(), ImportanceWeighted(3), data, learning_rate=0.0, kl_weight=weight).epochs[-1].bound
        for weight in (1.0, Linear(0.0, 0.5, 2))
    ]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-5)


def test_validation_disturbs_nothing_and_repeats_its_noise(data):
    without, within = linear_gaussian(), linear_gaussian()
    run(without, ImportanceWeighted(3), data)
    held_out = Grey(torch.full((15, 3), 0.5))
    history = run(within, ImportanceWeighted(3), data, validation=held_out, learning_rate=1e-3)
    assert torch.equal(without.decoder.weight, within.decoder.weight)
    still = run(linear_gaussian(), ImportanceWeighted(3), data, validation=held_out, learning_rate=0.0, epochs=3)
    assert len({record.validation for record in still.epochs}) == 1
    assert len({record.bound for record in still.epochs}) == 3
    assert history.epochs[0].validation != still.epochs[0].validation


def test_validation_is_without_gradient_and_in_evaluation_mode(data):
    model, modes = linear_gaussian().eval(), []

    def objective(model, x):
        modes.append((model.training, torch.is_grad_enabled()))
        return ImportanceWeighted()(model, x)

    run(model, objective, data, epochs=1, validation=data[:5])
    assert modes == [(True, True)] * 4 + [(False, False)]
    assert not model.training


def test_the_average_follows_its_recursion(data):
    kept = []

    def objective(model, x):
        kept.append(model.decoder.weight.detach().clone())
        return ImportanceWeighted()(model, x)

    model = linear_gaussian()
    history = run(model, objective, data, ema=0.8)
    average = kept[1]
    for weight in [*kept[2:], model.decoder.weight.detach()]:
        average = 0.8 * average + 0.2 * weight
    assert_close(history.averaged.decoder.weight, average)
    assert not torch.allclose(history.averaged.decoder.weight, model.decoder.weight)


def test_clipping_bounds_the_gradient(data):
    """Plain gradient ascent moves by at most learning rate times norm a step."""
    for clip_norm, holds in ((0.1, True), (None, False)):
        model = linear_gaussian()
        before = nn.utils.parameters_to_vector(model.parameters())
        run(model, ImportanceWeighted(), data, epochs=1, batch_size=37, clip_norm=clip_norm, optimizer=torch.optim.SGD)
        moved = (nn.utils.parameters_to_vector(model.parameters()) - before).norm().item()
        assert (moved <= 0.1 * 1e-3 * 1.0001) is holds


def test_adam_s_numbers_reach_adam():
    optimizer = Adam(betas=(0.5, 0.6), eps=1e-4)([nn.Parameter(torch.zeros(1))], lr=0.25)
    wanted = {"betas": (0.5, 0.6), "eps": 1e-4, "lr": 0.25, "fused": True}
    assert {name: optimizer.defaults[name] for name in wanted} == wanted


def test_bfloat16_products_train_float32_parameters(data):
    model = linear_gaussian()
    whole = linear_gaussian()
    history = run(model, ImportanceWeighted(3), data, precision="bf16-mixed", validation=data)
    exact = run(whole, ImportanceWeighted(3), data, validation=data)
    assert model.decoder.weight.dtype == torch.float32
    assert not torch.equal(model.decoder.weight, whole.decoder.weight)
    assert_close(model.decoder.weight, whole.decoder.weight, atol=2e-3, rtol=0)
    assert history.epochs[-1].validation == pytest.approx(exact.epochs[-1].validation, abs=0.05)


def test_double_precision(data):
    model = linear_gaussian()
    run(model, ImportanceWeighted(3), data, precision="64-true", validation=data)
    assert model.decoder.weight.dtype == torch.float64


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_it_follows_the_same_path(data):
    """Warm-up included, and the smaller last batch; one deterministic objective, so that noise does not matter."""

    def objective(model, x, *, kl_weight=1.0):
        noise = torch.zeros(2, len(x), 2)
        return model.log_weights(x, 2, noise=noise).tempered(kl_weight).logsumexp(0) - math.log(2)

    models = [linear_gaussian(), linear_gaussian()]
    histories = [
        run(model, objective, data, epochs=3, compile=compiled, kl_weight=Linear(0.0, 1.0, 2), validation=data)
        for model, compiled in zip(models, (False, True), strict=True)
    ]
    assert_close(models[0].decoder.weight, models[1].decoder.weight, atol=1e-5, rtol=0)
    assert histories[0].epochs[-1].bound == pytest.approx(histories[1].epochs[-1].bound, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"keep": 0}, "keep must be at least 1"),
        ({"validate_every": 0}, "validate_every must be at least 1"),
        ({"checkpoint_every": -1}, "checkpoint_every must be at least 1"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds must not be negative"),
        ({"seed": -1}, "seed must not be negative"),
        ({"learning_rate": math.nan}, "finite and not negative"),
        ({"clip_norm": 0.0}, "clip_norm must be positive, got 0.0; None does not clip"),
        ({"ema": 1.0}, "ema is a decay between 0 and 1, got 1.0"),
        ({"precision": "16-mixed"}, "precision must be one of 32-true, bf16-mixed"),
        ({"accelerator": "abacus"}, "no such set-up .*abacus"),
        ({"strategy": "fsdp", "devices": 2}, "strategy 'fsdp' is not supported|no such set-up"),
        ({"resume": True}, "need a run folder: give out"),
        ({"tensorboard": True}, "need a run folder: give out"),
    ],
)
def test_arguments_out_of_range_are_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        run(linear_gaussian(), ImportanceWeighted(), data, **options)


@pytest.mark.parametrize("name", ["data", "validation"])
def test_empty_data_are_refused(data, name):
    with pytest.raises(ValueError, match=f"{name} is empty; give at least one datum"):
        run(linear_gaussian(), ImportanceWeighted(), **{"data": data, name: data[:0]})


def test_data_of_a_wrong_shape_are_refused(data):
    with pytest.raises(ValueError, match=r"data have shape \(37, 2\), expected \(B, 3\)"):
        run(linear_gaussian(), ImportanceWeighted(), data[:, :2])


@pytest.mark.parametrize("row", [0, 2344])
def test_nan_in_any_datum_is_refused_before_anything_starts(row):
    data = torch.zeros(2345, 3)
    data[row, 1] = math.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        run(linear_gaussian(), ImportanceWeighted(), data)
    with pytest.raises(ValueError, match="NaN or infinity"):
        run(nn.Linear(3, 1), lambda model, x: model(x).squeeze(-1), data)


def test_a_warning_of_the_model_about_the_data_is_given_once():
    class Grumbling(nn.Linear):
        def check(self, x):
            import warnings

            warnings.warn("grey pixels under a Bernoulli", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="grey pixels") as caught:
        run(Grumbling(3, 1), lambda model, x: -model(x).squeeze(-1).square(), torch.zeros(5000, 3), batch_size=1000)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (
            lambda model, x: model.log_weights(x, 2).total,
            r"shape \(2, 10\), expected shape \(10,\): one bound for each datum",
        ),
        (lambda model, x: model.log_weights(x).total.mean(), r"shape \(\), expected shape \(10,\)"),
        (lambda model, x: 1.0, r"returned float, expected shape \(10,\)"),
    ],
)
def test_an_objective_of_a_wrong_shape_is_refused(data, objective, message):
    with pytest.raises(ValueError, match=message):
        run(linear_gaussian(), objective, data)


def test_a_weight_for_an_objective_that_takes_none_is_refused(data):
    with pytest.raises(ValueError, match="kl_weight needs an objective with the argument kl_weight"):
        run(linear_gaussian(), lambda model, x: model.log_weights(x).total.mean(0), data, kl_weight=0.5)


def test_a_model_with_nothing_to_train_is_refused(data):
    with pytest.raises(ValueError, match="has no parameter that requires a gradient"):
        run(linear_gaussian().requires_grad_(False), ImportanceWeighted(), data)
