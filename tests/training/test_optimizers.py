import functools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.training.optimizers import Adam, lean_step, optimizer_state, restore_optimizer_state

ADAMS = [Adam(), Adam(betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1), functools.partial(torch.optim.Adam, fused=True)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def run(factory, steps, *, lean, interfere=lambda number, model, optimizer: None):
    """Weights after some steps, by the optimizer's own step or by the lean one."""
    model = network()
    optimizer = factory(list(model.parameters()), lr=0.01)
    step = lean_step(optimizer) if lean else optimizer.step
    for number in range(steps):
        optimizer.zero_grad()
        interfere(number, model, optimizer)
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
        model(x).square().sum().backward()
        step()
    return nn.utils.parameters_to_vector(model.parameters()), optimizer_state(optimizer)


@pytest.mark.parametrize("factory", ADAMS)
def test_steps_are_those_of_torch_to_the_bit(factory):
    plain, lean = (run(factory, 5, lean=each) for each in (False, True))
    assert torch.equal(plain[0], lean[0])
    assert plain[1][1] == lean[1][1]
    assert all(torch.equal(plain[1][0][name], tensor) for name, tensor in lean[1][0].items())


def lower_rate(number, model, optimizer):
    if number == 3:
        optimizer.param_groups[0]["lr"] = 1e-4


def reload(number, model, optimizer):
    if number == 3:
        restore_optimizer_state(optimizer, *optimizer_state(optimizer))


def stand_still(number, model, optimizer):
    optimizer.found_inf = torch.tensor(float(number > 3))


def freeze(number, model, optimizer):
    model[0].requires_grad_(number % 2 == 0)


@pytest.mark.parametrize("interfere", [lower_rate, reload, stand_still, freeze])
def test_what_happens_between_the_steps_is_noticed(interfere):
    plain, lean = (run(Adam(), 6, lean=each, interfere=interfere)[0] for each in (False, True))
    assert torch.equal(plain, lean)
    assert not torch.equal(plain, run(Adam(), 6, lean=True)[0]) or interfere is reload


def test_a_state_that_is_looked_up_once_would_be_stale():
    """What the look at the first parameter's state is for."""

    def forget(number, model, optimizer):
        if number == 3:
            optimizer.state.clear()

    plain, lean = (run(Adam(), 6, lean=each, interfere=forget)[0] for each in (False, True))
    assert torch.equal(plain, lean)
    assert not torch.equal(plain, run(Adam(), 6, lean=False)[0])


@pytest.mark.parametrize(
    "factory",
    [
        torch.optim.AdamW,
        functools.partial(torch.optim.Adam, foreach=True),
        functools.partial(torch.optim.SGD, momentum=0.9),
    ],
)
def test_any_other_optimizer_keeps_its_own_step(factory):
    optimizer = factory(list(network().parameters()), lr=0.01)
    assert lean_step(optimizer) == optimizer.step


def test_two_groups_keep_their_own_step():
    one, _, other = network()
    groups = [{"params": one.parameters()}, {"params": other.parameters(), "lr": 0.1}]
    optimizer = torch.optim.Adam(groups, lr=0.01, fused=True)
    assert lean_step(optimizer) == optimizer.step


def test_the_kernel_is_that_of_the_formula():
    parameter = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    step = lean_step(Adam(betas=(0.9, 0.99), eps=0.0)([parameter], lr=0.1))
    first, second, expected = torch.zeros(2), torch.zeros(2), parameter.detach().clone()
    for t in range(1, 4):
        parameter.grad = gradient = parameter.detach() ** 3
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        expected = expected - 0.1 * (first / (1 - 0.9**t)) / (second / (1 - 0.99**t)).sqrt()
        step()
        assert_close(parameter.detach(), expected, rtol=0, atol=1e-12)
