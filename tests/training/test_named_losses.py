from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from jensen.training import NamedLosses, Stepper, fit, latest, load, read_records


class Losses(NamedTuple):
    height: Tensor
    width: Tensor
    rival: Tensor


class Game(nn.Module):
    """Two players with a parameter each: u descends its losses, v its rival's."""

    def __init__(self):
        super().__init__()
        self.u, self.v = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(-1.0))

    def loss(self, x):
        return Losses((self.u - x).square(), self.u.square() + 0 * x, (self.v - self.u.detach() * x).square())


def test_the_value_is_minus_the_weighted_losses_and_the_rival_is_in_the_gradient_alone():
    game, x = Game(), torch.tensor([1.0, 3.0])
    objective = NamedLosses({"height": 0.5, "width": 2.0}, opponents=("rival",))
    value = objective(game, x)
    assert_close(value, -(0.5 * torch.tensor([1.0, 1.0]) + 2.0 * 4.0))
    value.sum().backward()
    assert_close(game.u.grad, torch.tensor(-(0.5 * (2 - 2) + 2 * 2 * 2 * 2.0)))
    assert_close(game.v.grad, torch.tensor(-2.0 * ((-1 - 2) + (-1 - 6))))


def test_without_the_rival_nobody_moves_it():
    game = Game()
    NamedLosses({"height": 1.0})(game, torch.ones(2)).sum().backward()
    assert game.v.grad is None


def test_moving_averages_start_at_the_first_batch_and_stand_still_in_validation():
    game, objective = Game(), NamedLosses({"height": 1.0}, opponents=("rival",))
    assert objective.monitor() == {"height": 0.0, "rival": 0.0}
    objective(game, torch.tensor([1.0]))
    assert objective.monitor() == {"height": 1.0, "rival": 9.0}
    objective(game, torch.tensor([2.0]))
    assert objective.monitor() == pytest.approx({"height": 0.99, "rival": 0.99 * 9 + 0.01 * 25})
    with torch.no_grad():
        objective(game, torch.tensor([7.0]))
    assert objective.monitor() == pytest.approx({"height": 0.99, "rival": 0.99 * 9 + 0.01 * 25})


def test_a_game_is_trained_to_its_equilibrium():
    game = Game()
    stepper = Stepper(game, NamedLosses({"height": 1.0}, opponents=("rival",)), learning_rate=0.05)
    for _ in range(1000):
        stepper.step(torch.tensor([3.0, 3.0]))
    assert_close(game.u.detach(), torch.tensor(3.0), atol=1e-2, rtol=0)
    assert_close(game.v.detach(), torch.tensor(9.0), atol=5e-2, rtol=0)


def test_fit_tells_the_losses_and_resumes_their_averages_to_the_bit(tmp_path):
    x = torch.linspace(0, 1, 8)

    def run(folder, *legs):
        game = Game()
        for i, epochs in enumerate(legs):
            objective = NamedLosses({"height": 1.0}, opponents=("rival",))
            fit(game, objective, x, epochs=epochs, batch_size=4, out=folder, resume=i > 0, accelerator="cpu",
                progress=False)  # fmt: skip
        return folder

    whole, parts = run(tmp_path / "whole", 4), run(tmp_path / "parts", 2, 4)
    assert set(read_records(whole)[-1].monitor) == {"height", "rival"}
    assert read_records(whole)[-1].monitor == read_records(parts)[-1].monitor
    one, other = (load(latest(folder)).tensors for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_makes_no_objective_is_refused():
    for weights in ({}, {"height": -1.0}, {"height": float("inf")}):
        with pytest.raises(ValueError, match="weight of at least 0"):
            NamedLosses(weights)
    with pytest.raises(ValueError, match="one of the two"):
        NamedLosses({"rival": 1.0}, opponents=("rival",))
    with pytest.raises(ValueError, match="no loss 'depth'; it has height, width, rival"):
        NamedLosses({"depth": 1.0})(Game(), torch.ones(2))
    with pytest.raises(ValueError, match=r"Linear has no loss\(batch\)"):
        NamedLosses({"height": 1.0})(nn.Linear(2, 2), torch.ones(2))
    with pytest.raises(ValueError, match=r"the loss 'width' has shape \(\), expected \(2,\): one number"):
        NamedLosses({"height": 1.0, "width": 1.0})(Flat(), torch.ones(2))


class Flat(Game):
    def loss(self, x):
        losses = super().loss(x)
        return losses._replace(width=losses.width.mean())
