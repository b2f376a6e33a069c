"""An objective that remembers: in checkpoints, in records, in every process, and only while training."""

import json
import math

import pytest
import torch
from torch import nn
from training_rates import HALF
from training_runs import differences, final_state

from jensen.layers import GaussianMLP
from jensen.models import VAE
from jensen.training import (
    CheckpointError,
    Constrained,
    FeatureError,
    PixelError,
    ReconstructionError,
    Stepper,
    Variational,
    checkpoint_path,
    describe,
    fit,
    load,
    read_records,
)
from jensen.training.records import EpochRecord
from jensen.training.stepper import state_of, takes

KAPPA = 0.6


def autoencoder():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return VAE(encoder=GaussianMLP(3, (5,), 2), decoder=GaussianMLP(2, (5,), 3, scale=HALF), latent=2)


def constrained(constraint=None, **options):
    return Constrained(constraint or ReconstructionError(KAPPA), rate=0.5, **options)


def train(out, data, *, objective=None, **options):
    model, objective = autoencoder(), objective or constrained()
    settings = {"epochs": 3, "batch_size": 10, "ema": 0.9, "validation": data[:20], "accelerator": "cpu", **options}
    return objective, fit(model, objective, data, out=out, progress=False, **settings)


def test_every_epoch_tells_what_the_objective_monitors(tmp_path, data):
    objective, history = train(tmp_path, data)
    assert [sorted(record.monitor) for record in history.epochs] == [
        ["constraint", "kl", "multiplier", "violation"]
    ] * 3
    assert history.epochs[-1].monitor == objective.monitor()
    assert read_records(tmp_path) == history.epochs
    assert objective.updates == history.step == 12
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[1]["monitor"]["multiplier"] == history.epochs[1].monitor["multiplier"]


def test_objectives_that_monitor_nothing_leave_an_empty_mapping(tmp_path, data):
    _, history = train(tmp_path, data, objective=Variational(1, analytic_kl=True))
    assert history.epochs[-1].monitor == {}


def test_what_is_no_finite_number_is_told_by_name(tmp_path, data):
    class Undefined(Constrained):
        def monitor(self):
            return {"kl": 1.0, "ratio": math.nan}

    with pytest.raises(ValueError, match=r"monitor\(\) of the objective tells {'ratio': nan} after epoch 1"):
        train(tmp_path, data, objective=Undefined(ReconstructionError(KAPPA)))


def test_records_from_before_there_was_a_monitor_are_read(tmp_path):
    values = {"epoch": 1, "step": 4, "bound": -2.0, "validation": None, "learning_rate": 0.1, "kl_weight": 1.0}
    values |= {"seconds": 1.0, "images_per_second": 10.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(values) + "\n")
    assert read_records(tmp_path) == [EpochRecord(**values)]


def test_tensorboard_gets_every_number(tmp_path, data):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, data, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"bound", "monitor/multiplier", "monitor/constraint"} <= set(events.Tags()["scalars"])


def test_a_resumed_run_equals_one_at_a_stretch_to_the_bit(tmp_path, data):
    train(tmp_path / "whole", data)
    train(tmp_path / "parts", data, epochs=1)
    objective, _ = train(tmp_path / "parts", data, resume=True)
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    assert objective.updates == 12
    assert {"objective/averages", "objective/log_multiplier", "objective/updates"} <= set(
        load(tmp_path / "parts").tensors
    )


class Forgetful(Constrained):
    """Its state is where checkpoints do not look."""

    def state_dict(self, *arguments, **options):
        return {}

    def load_state_dict(self, *arguments, **options):
        pass


def test_without_its_state_it_would_not(tmp_path, data):
    for name, parts in (("whole", (3,)), ("parts", (1, 3))):
        for i, epochs in enumerate(parts):
            objective = Forgetful(ReconstructionError(KAPPA), rate=0.5)
            train(tmp_path / name, data, objective=objective, epochs=epochs, resume=i > 0)
    assert "model/encoder.network.0.weight" in differences(
        final_state(tmp_path / "whole"), final_state(tmp_path / "parts")
    )


def test_in_the_middle_of_an_epoch_too(tmp_path, data):
    train(tmp_path / "whole", data, epochs=2, checkpoint_seconds=0.0, keep=100)
    path = checkpoint_path(tmp_path / "whole", epoch=1, batch=2)
    assert load(path).tensors["objective/updates"] == 6
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "metrics.jsonl").write_text((tmp_path / "whole" / "metrics.jsonl").read_text())
    train(parts, data, epochs=2, resume=path, checkpoint_seconds=0.0)
    assert differences(final_state(tmp_path / "whole"), final_state(parts)) == []


def test_another_tolerance_is_another_run(tmp_path, data):
    train(tmp_path, data, epochs=1)
    with pytest.raises(CheckpointError, match=r"made with objective=.*kappa=0\.6.*, not .*kappa=0\.7"):
        train(tmp_path, data, objective=constrained(ReconstructionError(0.7)), resume=True)
    assert "kappa=0.5" in describe(constrained(FeatureError(nn.Linear(3, 2), kappa=0.5)))


def test_validation_changes_nothing_and_is_the_bound(data):
    objective = constrained()
    stepper = Stepper(autoencoder(), objective, ema=0.9)
    stepper.step(data[:10])
    before = objective.monitor()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = stepper.bound(data)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        expected = Variational(1, analytic_kl=True)(stepper.averaged.module, data)
    torch.testing.assert_close(found, expected)
    assert objective.monitor() == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("validation")
def test_compiled_it_follows_the_same_path(data):
    torch.compiler.reset()
    found = []
    for flag in (True, False):
        objective = constrained(PixelError(KAPPA))
        stepper = Stepper(Frozen(), objective, compile=flag, learning_rate=1e-2)
        values = [stepper.step(data[:10]).item() for _ in range(4)]
        found.append((values, objective.monitor()))
    (compiled, theirs), (eager, ours) = found
    assert compiled == pytest.approx(eager, abs=2e-3)
    assert theirs == pytest.approx(ours, rel=1e-3)
    assert ours["multiplier"] != constrained(PixelError(KAPPA)).multiplier.item()


class Frozen(nn.Module):
    """A VAE with the same noise for every datum and every step."""

    def __init__(self):
        super().__init__()
        self.vae = autoencoder()

    def infer(self, x, samples=1):
        noise = torch.linspace(-1, 1, 2 * samples).reshape(samples, 1, 2)
        return self.vae.infer(x, samples, noise=noise.expand(samples, len(x), 2))


def test_the_kl_weight_is_its_own_affair(data):
    assert not takes(constrained(), "kl_weight")
    assert takes(constrained(), "share")
    with pytest.raises(ValueError, match="kl_weight needs an objective with the argument kl_weight"):
        train(None, data, kl_weight=0.5)


def test_parameters_that_nobody_trains_are_refused(data):
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, model, x):
            return model.infer(x).kl.mean(0) * self.weight

    with pytest.raises(ValueError, match="parameter 'weight' of the objective Learned requires a gradient"):
        train(None, data, objective=Learned())


def test_a_plain_function_has_no_state():
    assert state_of(lambda model, x: x) == {}
    assert sorted(state_of(constrained())) == ["averages", "log_multiplier", "updates"]


def test_its_numbers_are_those_of_the_training_steps(data):
    """One step: the averages are the batch's own means, and the multiplier has moved by the clipped violation."""
    objective, model = constrained(), Frozen()
    inference = model.infer(data)
    violation = objective.constraint(data, inference).mean().item()
    Stepper(model, objective).step(data)
    expected = math.log(10.0) + 0.5 * max(-0.1, min(0.1, violation / KAPPA**2))
    assert objective.moving_average.item() == pytest.approx(violation, rel=1e-5)
    assert objective.log_multiplier.item() == pytest.approx(expected, abs=1e-6)
