"""The shop of `examples/reinforce_mdp.py`: its oracle, its distribution over weeks, and what it shows."""

import importlib.util
import itertools
from pathlib import Path

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shop(monkeypatch):
    module = load("reinforce_mdp")
    monkeypatch.setattr(module, "DAYS", 2)
    return module


def every_two_days(shop):
    """All sequences of two days that can happen, `(N, 2, 3)`."""
    possible = [
        (s, a, left) for s in range(4) for a in range(3) for left in range(4) if shop.TRANSITION[s, a, left] > 0
    ]
    weeks = [
        (first, second)
        for first, second in itertools.product(possible, possible)
        if first[0] == shop.START and first[2] == second[0]
    ]
    return torch.tensor(weeks)


def test_dynamic_programming_agrees_with_the_sum_over_all_weeks(shop):
    logits = shop.some_policy(3).requires_grad_()
    weeks = every_two_days(shop)
    log_q = shop.Weeks(logits).log_prob(weeks)
    assert_close(log_q.exp().sum().item(), 1.0, atol=1e-12, rtol=0)
    by_sum = -(log_q.exp() * shop.loss_of_the_week(weeks)).sum()
    by_programming = shop.expected_profit(logits)
    assert_close(by_sum, by_programming, atol=1e-12, rtol=0)
    gradients = [torch.autograd.grad(each, logits)[0] for each in (by_sum, by_programming)]
    assert_close(*gradients, atol=1e-12, rtol=0)


def test_value_iteration_finds_the_best_of_all_policies(shop):
    best, orders = shop.value_iteration()
    policies = torch.cartesian_prod(*[torch.arange(3)] * 8).reshape(-1, 2, 4)
    logits = 1e3 * torch.nn.functional.one_hot(policies).double()
    assert_close(best, float(shop.expected_profit(logits).max()), atol=1e-12, rtol=0)
    logits = torch.nn.functional.one_hot(orders, 3).double() * 1e3
    assert_close(float(shop.expected_profit(logits)), best, atol=1e-12, rtol=0)


def test_weeks_have_the_frequencies_that_log_prob_says(shop):
    torch.manual_seed(0)
    q = shop.Weeks(shop.some_policy(3))
    every = every_two_days(shop)
    drawn = q.sample(torch.Size((50_000,)))
    key = torch.tensor([1, 4, 16, 64, 256, 1024])
    counts = {int(k): 0 for k in every.flatten(1) @ key}
    keys, numbers = (drawn.flatten(1) @ key).unique(return_counts=True)
    counts |= dict(zip(keys.tolist(), numbers.tolist(), strict=True))
    expected = 50_000 * q.log_prob(every).exp()
    found = torch.tensor([counts[int(k)] for k in every.flatten(1) @ key], dtype=torch.float64)
    assert len(counts) == len(every)
    assert (((found - expected) / expected.sqrt())[expected > 5]).abs().max() < 4.56


def test_reinforce_is_unbiased_and_the_mistake_is_not(shop):
    generator = Generator().manual_seed(0)
    logits = shop.some_policy(0)
    settings = {"samples": 4, "repeats": 4000, "generator": generator}
    found = {name: shop.bias_and_variance(each, logits, **settings) for name, each in shop.estimators().items()}
    assert found["REINFORCE"][0] < 4.56
    assert found["REINFORCE, leave-one-out"][0] < 4.56
    assert found["REINFORCE, leave-one-out"][2] < found["REINFORCE"][2]
    z, slope, _ = found["mean of all (a mistake)"]
    assert z > 6
    assert abs(slope - 0.75) < 0.1


def test_the_script_runs(tmp_path, capsys):
    picture = tmp_path / "shop.png"
    load("reinforce_mdp").main(["--repeats", "50", "--steps", "3", "--picture", str(picture)])
    assert "value iteration" in capsys.readouterr().out
    assert picture.stat().st_size > 1000
