import itertools
import time

import pytest
import torch
from torch import nn
from training_worlds import linear_gaussian

from jensen.training import ImportanceWeighted, Stepper
from jensen.training.optimizers import set_learning_rate


def test_a_step_ascends_the_mean_and_returns_it_from_before(data):
    model = linear_gaussian()
    stepper = Stepper(model, lambda model, x: -model.encoder(x).square().sum(-1), optimizer=torch.optim.SGD)
    before, weight = stepper.bound(data).mean(), model.encoder.weight.detach().clone()
    (gradient,) = torch.autograd.grad(-model.encoder(data).square().sum(-1).mean(), model.encoder.weight)
    set_learning_rate(stepper.optimizer, 0.1)
    value = stepper.step(data)
    assert torch.equal(value, before)
    assert not value.requires_grad
    torch.testing.assert_close(model.encoder.weight, weight + 0.1 * gradient)
    assert stepper.bound(data).mean() > before


def test_shares_add_up_to_the_whole(data):
    """Two processes with 30 and 7 data, their gradients averaged: the weights that make it the mean over 37."""
    whole = gradient_of_a_step(data, 1.0)
    parts = [gradient_of_a_step(x, 2 * len(x) / 37) for x in (data[:30], data[30:])]
    torch.testing.assert_close(sum(parts) / 2, whole)
    unweighted = [gradient_of_a_step(x, 1.0) for x in (data[:30], data[30:])]
    assert (sum(unweighted) / 2 - whole).abs().max() > 0.01


def gradient_of_a_step(x, share):
    model = linear_gaussian()
    before = model.decoder.weight.detach().clone()
    stepper = Stepper(
        model, lambda m, x: m.log_weights(x, noise=torch.zeros(1, len(x), 2)).total[0], optimizer=torch.optim.SGD,
        learning_rate=1.0,
    )  # fmt: skip
    stepper.step(x, share=share)
    return model.decoder.weight.detach() - before


def test_gradients_do_not_pile_up(data):
    model = linear_gaussian()
    stepper = Stepper(model, ImportanceWeighted())
    stepper.step(data)
    assert all(p.grad is None for p in model.parameters())


def test_frozen_parameters_stay(data):
    model = linear_gaussian()
    model.encoder.requires_grad_(False)
    before = model.encoder.weight.clone()
    stepper = Stepper(model, ImportanceWeighted())
    stepper.step(data)
    assert torch.equal(model.encoder.weight, before)


def test_after_release_there_are_no_steps(data):
    stepper = Stepper(linear_gaussian(), ImportanceWeighted())
    stepper.release()
    with pytest.raises(RuntimeError, match="released; make a new one"):
        stepper.step(data)


@pytest.mark.slow
def test_a_step_costs_what_a_hand_written_one_costs():
    """Interleaved, minima compared; the model is small, so that 50 microseconds more would be seen."""
    x = torch.rand(20, 784)

    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(784, 50), nn.Tanh(), nn.Linear(50, 1), nn.Flatten(0))

    def bound(model, x):
        return -model(x).square()

    hand = network()
    optimizer = torch.optim.Adam(hand.parameters(), lr=1e-3, fused=True)
    stepper = Stepper(network(), bound)

    def plain():
        optimizer.zero_grad(set_to_none=True)
        loss = -bound(hand, x).mean()
        loss.backward()
        optimizer.step()

    times = {"plain": [], "ours": []}
    for _, (name, step) in itertools.product(range(1500), (("plain", plain), ("ours", lambda: stepper.step(x)))):
        start = time.perf_counter()
        step()
        times[name].append(time.perf_counter() - start)
    assert min(times["ours"]) < min(times["plain"]) + 50e-6
