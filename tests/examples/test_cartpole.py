"""`examples/cartpole.py`: a clear line without gymnasium; episodes and their log-probability with it."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def cartpole():
    spec = importlib.util.spec_from_file_location("cartpole", EXAMPLES / "cartpole.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FallsAfter:
    """A world whose pole falls after 2, 3, 4, ... steps and that goes on with a new episode, as gymnasium does."""

    def __init__(self, count):
        self.num_envs, self.step_number = count, 0

    def reset(self, seed):
        self.step_number = 0
        return torch.zeros(self.num_envs, 4).numpy(), {}

    def step(self, action):
        self.step_number += 1
        fallen = (torch.arange(self.num_envs) + 2 == self.step_number).numpy()
        return torch.full((self.num_envs, 4), float(self.step_number)).numpy(), None, fallen, None, {}


def test_without_gymnasium_it_says_what_to_install(cartpole, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(SystemExit, match="pip install"):
        cartpole.environments(2)


def test_the_cost_is_minus_the_steps_until_the_fall(cartpole):
    q = cartpole.Episodes(nn.Linear(4, 2), FallsAfter(3))
    assert_close(cartpole.fall(q.sample(torch.Size((3,)))), torch.tensor([-2.0, -3.0, -4.0]))


def test_the_log_probability_is_that_of_the_actions_before_the_fall(cartpole):
    policy = nn.Linear(4, 2)
    q = cartpole.Episodes(policy, FallsAfter(3))
    episodes = q.sample(torch.Size((3,)))
    for k, episode in enumerate(episodes):
        by_hand = sum(policy(step[:4]).log_softmax(-1)[int(step[4])] for step in episode[: k + 2])
        assert_close(q.log_prob(episodes)[k], by_hand)


def test_another_number_of_episodes_is_refused(cartpole):
    with pytest.raises(ValueError, match="3 environments cannot run 2 episodes"):
        cartpole.Episodes(nn.Linear(4, 2), FallsAfter(3)).sample(torch.Size((2,)))


def test_the_script_runs_where_gymnasium_is_installed(cartpole, tmp_path, capsys):
    pytest.importorskip("gymnasium")
    arguments = ["--episodes", "4", "--updates", "2", "--picture", str(tmp_path / "cartpole.png")]
    cartpole.main(arguments)
    assert "mean return" in capsys.readouterr().out
