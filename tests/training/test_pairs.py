"""`fit` on inputs and targets: the same promises as on plain data."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from training_pairs import BATCHES, classifier, labelled, log_probability, plain, train
from training_runs import differences, final_state

from jensen._contracts import LogWeights, Pairs
from jensen.training import NonFiniteError, Stepper, checkpoint_path, fit, read_records

SCRIPT = Path(__file__).parent / "training_pairs.py"


def test_it_learns_and_validates():
    _, history = train(None, objective=plain, kl_weight=1.0, epochs=40, ema=None, learning_rate=3e-2)
    first, last = history.epochs[0], history.epochs[-1]
    assert last.bound > -0.4 > -0.8 > first.bound
    assert last.validation > -0.4
    assert last.step == 40 * BATCHES


def test_the_steps_are_those_of_a_hand_written_loop():
    ours, hand, order = classifier(), classifier(), []

    def objective(model, batch):
        order.append(batch)
        return plain(model, batch)

    fit(ours, objective, labelled(), epochs=2, batch_size=10, accelerator="cpu", progress=False)
    optimizer = torch.optim.Adam(hand.parameters(), lr=1e-3, fused=True)
    for batch in order:
        optimizer.zero_grad()
        nn.functional.cross_entropy(hand.last(hand.first(batch.inputs).tanh()), batch.targets).backward()
        optimizer.step()
    for one, other in zip(ours.parameters(), hand.parameters(), strict=True):
        assert_close(one, other, atol=1e-6, rtol=0)
    assert [len(batch) for batch in order] == [10, 10, 10, 7] * 2
    for epoch in (order[:4], order[4:]):
        together = torch.cat([torch.cat([batch.inputs, batch.targets[:, None]], 1) for batch in epoch])
        every = torch.cat([labelled().inputs, labelled().targets[:, None]], 1)
        assert torch.equal(together[together[:, 0].argsort()], every[every[:, 0].argsort()])


@pytest.mark.parametrize("position", [(0, 2), (1, 0), (2, 3)])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tmp_path, position):
    train(tmp_path / "whole", checkpoint_seconds=0.0, keep=1000)
    epoch, batch = position
    path = checkpoint_path(tmp_path / "part", epoch=epoch, batch=batch)
    path.parent.mkdir(parents=True)
    path.write_bytes(checkpoint_path(tmp_path / "whole", epoch=epoch, batch=batch).read_bytes())
    (tmp_path / "part" / "metrics.jsonl").write_bytes((tmp_path / "whole" / "metrics.jsonl").read_bytes())
    train(tmp_path / "part", resume=True)
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "part")) == []


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_no_precision_casts_a_label(precision):
    _, history = train(None, precision=precision, epochs=2)
    assert math.isfinite(history.epochs[-1].bound)
    assert math.isfinite(history.epochs[-1].validation)


def test_a_stepper_takes_them_alone():
    stepper = Stepper(classifier(), plain, learning_rate=1e-2)
    values = [stepper.step(labelled()).item() for _ in range(30)]
    assert values[-1] > values[0] + 0.2
    assert stepper.bound(labelled()).shape == (37,)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_stepper_takes_them():
    compiled, eager = (Stepper(classifier(), plain, learning_rate=1e-2, compile=flag) for flag in (True, False))
    for _ in range(3):
        assert_close(compiled.step(labelled()), eager.step(labelled()), atol=1e-5, rtol=0)


def spoilt(name, index=20):
    pairs = Pairs(labelled().inputs.clone(), labelled().inputs.clone())
    getattr(pairs, name)[index, 0] = math.nan
    return pairs


def squares(model, batch):
    return -(model(batch.inputs)[:, :2] - batch.targets).square().sum(-1)


@pytest.mark.parametrize("name", ["inputs", "targets"])
def test_what_is_not_finite_is_named_before_the_first_step(name):
    with pytest.raises(ValueError, match=f"the {name} hold NaN or infinity"):
        train(None, data=spoilt(name), objective=squares, validation=None, kl_weight=1.0)


class Unchecked(nn.Module):
    """A model that has its own idea of what to refuse: nothing."""

    def __init__(self):
        super().__init__()
        self.net = classifier()

    def forward(self, x):
        return self.net(x)

    def check(self, batch):
        pass

    def log_weights(self, batch, samples):
        terms = self.net(batch.inputs)[:, :1].expand(-1, samples).T  # (K, B)
        broken = torch.where(torch.arange(samples) == 1, math.inf, 0.0)[:, None]
        return LogWeights(terms.sum(1, keepdim=True), broken, torch.zeros(samples, 1))


@pytest.mark.parametrize("name", ["inputs", "targets"])
def test_what_is_not_finite_is_named_at_the_step(name):
    settings = {"epochs": 1, "batch_size": 37, "accelerator": "cpu", "progress": False}
    with pytest.raises(NonFiniteError) as caught:
        fit(Unchecked(), squares, spoilt(name), **settings)
    assert caught.value.term == f"{name} (1 of 37 in the batch)"


class ThreeDraws:
    samples = 3

    def __call__(self, model, batch):
        return (model.log_weights(batch, 3).total.logsumexp(0) / len(batch)).expand(len(batch))


def test_a_term_of_the_whole_data_set_is_counted_in_draws():
    with pytest.raises(NonFiniteError) as caught:
        fit(Unchecked(), ThreeDraws(), labelled(), epochs=1, accelerator="cpu", progress=False)
    assert caught.value.term == "log_prior (inf for 1 of 3 draws)"


def test_there_must_be_data():
    with pytest.raises(ValueError, match="data is empty"):
        train(None, data=labelled()[:0], kl_weight=1.0)


@pytest.mark.slow
def test_two_processes_do_what_one_does_and_resume_to_the_bit(tmp_path):
    def launch(run, *arguments):
        run.mkdir(exist_ok=True)
        command = [sys.executable, str(SCRIPT), str(run), *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [torch.tensor(json.loads((run / f"rank-{rank}").read_text())) for rank in (0, 1)]

    ours, theirs = launch(tmp_path / "two", "3")
    assert torch.equal(ours, theirs)
    model, history = train(tmp_path / "one", epochs=3, objective=plain, kl_weight=1.0)
    assert_close(ours, torch.cat([p.detach().flatten() for p in model.parameters()]), atol=1e-6, rtol=0)
    for one, two in zip(history.epochs, read_records(tmp_path / "two"), strict=True):
        assert two.bound == pytest.approx(one.bound, abs=1e-5)
        assert two.validation == pytest.approx(one.validation, abs=1e-5)
    launch(tmp_path / "parts", "1")
    launch(tmp_path / "parts", "3", "resume")
    assert differences(final_state(tmp_path / "two"), final_state(tmp_path / "parts")) == []


def test_the_objective_of_these_runs_refuses_cast_labels():
    """The check above would notice: a batch whose labels were cast is refused."""
    cast = Pairs(labelled().inputs, labelled().targets.float())
    with pytest.raises(ValueError, match="labels were cast"):
        log_probability(classifier(), cast)
