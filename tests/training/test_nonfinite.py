"""NaN and infinity stop a run before they reach the parameters."""

import math

import pytest
import torch
from torch import nn
from training_worlds import linear_gaussian

from jensen.training import ImportanceWeighted, NonFiniteError, Stepper, fit, latest, load
from jensen.training import loop as loop_file


class BreaksAt:
    """An objective on a model one term of which is not finite from a given step on."""

    samples = 2

    def __init__(self, step, term, value):
        self.step, self.term, self.value, self.calls = step, term, value, 0

    def __call__(self, model, x):
        self.calls += 1
        if self.calls == self.step:
            model.spoiled = (self.term, self.value)
        return ImportanceWeighted(self.samples)(model, x)


class Spoilable(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.spoiled = linear_gaussian(), None

    def log_weights(self, x, samples=1):
        log_weights = self.inner.log_weights(x, samples)
        if self.spoiled is not None:
            name, value = self.spoiled
            broken = getattr(log_weights, name).clone()
            broken[0, 1] = value
            log_weights = log_weights._replace(**{name: broken})
        return log_weights


class SpoiledData:
    """Data that turn to NaN after so many uses."""

    def __init__(self, data, uses):
        self.data, self.uses = data, uses

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        self.uses -= 1
        x = self.data[index].clone()
        if self.uses < 0:
            x[0, 0] = math.nan
        return x


@pytest.fixture(params=["every step", "deferred"])
def checking(request, monkeypatch):
    """How the bound is looked at: on a CPU in every step, on a GPU now and then, which is simulated here."""
    if request.param == "deferred":

        def deferred(*arguments, **options):
            stepper = Stepper(*arguments, **options)
            stepper.deferred = True
            return stepper

        monkeypatch.setattr(loop_file, "Stepper", deferred)
    return request.param


def run(model, objective, data, **options):
    settings = {"batch_size": 10, "epochs": 4, "accelerator": "cpu", "progress": False, **options}
    return fit(model, objective, data, **settings)


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("log_likelihood", math.nan),
        ("log_prior", math.nan),
        ("log_posterior", math.nan),
        ("log_likelihood", math.inf),
        ("log_prior", math.inf),
        ("log_posterior", -math.inf),
    ],
)
def test_the_term_the_position_and_the_checkpoint_are_named(checking, data, tmp_path, term, value):
    model = Spoilable()
    with pytest.raises(NonFiniteError) as stop:
        run(model, BreaksAt(7, term, value), data, out=tmp_path)
    error = stop.value
    assert (error.epoch, error.batch) == (2, 2)
    assert error.term == f"{term} ({value} for 1 of 10 data)"
    assert error.checkpoint == latest(tmp_path)
    assert error.checkpoint.name == "epoch-0001.safetensors"
    assert str(error).startswith("epoch 2, batch 2: the bound is not finite; the offending term is ")
    assert str(error).endswith(f"the last good checkpoint is {latest(tmp_path)}")


def test_one_weight_of_zero_among_others_is_no_error(checking, data):
    history = run(Spoilable(), BreaksAt(7, "log_posterior", math.inf), data)
    assert math.isfinite(history.epochs[-1].bound)


def test_the_parameters_are_those_before_the_step(checking, data):
    model, whole = Spoilable(), Spoilable()
    with pytest.raises(NonFiniteError):
        run(model, BreaksAt(7, "log_prior", math.nan), data, epochs=2)

    class StopError(Exception):
        pass

    class StopsAt(BreaksAt):
        def __call__(self, model, x):
            if self.calls == self.step - 1:
                raise StopError
            return super().__call__(model, x)

    with pytest.raises(StopError):
        run(whole, StopsAt(7, "", 0.0), data, epochs=2)
    assert torch.equal(parameters(model), parameters(whole))
    assert not torch.equal(parameters(model), parameters(Spoilable()))


def test_data_are_named(checking, data):
    with pytest.raises(NonFiniteError) as stop:
        run(linear_gaussian(), ImportanceWeighted(), SpoiledData(data, uses=1 + 5), epochs=2)
    assert (stop.value.epoch, stop.value.batch, stop.value.term) == (2, 1, "data (1 of 10 in the batch)")


def test_a_parameter_is_named(checking, data, tmp_path):
    """An objective with a finite value and a gradient that is not: the parameter breaks, the next bound shows it."""

    def objective(model, x):
        bound = ImportanceWeighted()(model, x)
        model.calls += 1
        if model.calls == 5:
            bound = bound + (model.decoder.bias[1] * 0.0).sqrt()
        return bound

    with pytest.raises(NonFiniteError) as stop:
        run(linear_gaussian(), objective, data, out=tmp_path)
    assert (stop.value.epoch, stop.value.batch, stop.value.term) == (2, 1, "parameter 'decoder.bias'")
    stored = load(tmp_path).tensors
    assert all(torch.isfinite(value).all() for value in stored.values())


def test_a_parameter_that_breaks_in_the_last_step_of_an_epoch_is_not_saved(data, tmp_path):
    def objective(model, x):
        bound = ImportanceWeighted()(model, x)
        model.calls += 1
        return bound + (model.decoder.bias[1] * 0.0).sqrt() if model.calls == 4 else bound

    with pytest.raises(NonFiniteError, match=r"parameter 'decoder\.bias'"):
        run(linear_gaussian(), objective, data, out=tmp_path)
    assert latest(tmp_path).name == "epoch-0000.safetensors"


def test_a_clipped_gradient_stops_before_the_step(data):
    model = linear_gaussian()
    before = parameters(model)

    def objective(model, x):
        return ImportanceWeighted()(model, x) + (model.decoder.bias[1] * 0.0).sqrt()

    with pytest.raises(NonFiniteError, match="epoch 1, batch 0: the gradient's norm is not finite"):
        run(model, objective, data, clip_norm=1.0)
    assert torch.equal(before, parameters(model))


def test_an_objective_without_log_weights_is_an_honest_unknown(checking, data):
    model = nn.Linear(3, 1)
    with pytest.raises(NonFiniteError, match="not in data, parameters or log-weights"):
        run(model, lambda model, x: model(x).squeeze(-1) / 0.0, data)


def test_validation_is_watched_as_well(data):
    def objective(model, x):
        bound = ImportanceWeighted()(model, x)
        return bound if torch.is_grad_enabled() else bound * math.nan

    with pytest.raises(NonFiniteError, match="epoch 1, batch 4: the bound after the epoch is not finite"):
        run(linear_gaussian(), objective, data, validation=data)


def test_the_optimizer_stands_still_from_the_bad_step_on(data):
    model = Spoilable()
    stepper = Stepper(model, BreaksAt(3, "log_prior", math.nan))
    stepper.deferred = True
    after = []
    for _ in range(6):
        stepper.step(data)
        after.append(parameters(model))
    assert stepper.steps_since_healthy() == 4
    assert not torch.equal(after[0], after[1])
    assert all(torch.equal(after[1], later) for later in after[2:])
