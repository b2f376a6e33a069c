import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen._contracts import LatentLayer
from jensen.evaluation import layer_activity


class Known(nn.Module):
    """Two layers: the first copies the data, the second holds its second pixel; their divergences are given."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def latents(self, x, samples=1):
        self.asked.append((samples, len(x), self.training, torch.is_grad_enabled()))
        return [LatentLayer(mean=x, kl=x.square() / 2), LatentLayer(mean=x[:, 1:2] + 5, kl=x[:, 1:2].abs())]


@pytest.fixture
def data():
    """Population variances 1, 0.0101 (just active), 0.0099 (just not) and 0, for any even number of rows."""
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(6)[:, None]
    return sign * torch.tensor([1.0, 0.0101, 0.0099, 0.0], dtype=torch.float64).sqrt()


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_exact_on_known_latents(data, batch_size):
    first, second = layer_activity(Known(), data, batch_size=batch_size)
    assert_close(torch.tensor(first.variance), torch.tensor([1.0, 0.0101, 0.0099, 0.0]), atol=1e-12, rtol=0)
    assert_close(torch.tensor(first.kl), torch.tensor([0.5, 0.00505, 0.00495, 0.0]), atol=1e-12, rtol=0)
    assert (first.units, first.active) == (4, 2)
    assert second.variance == pytest.approx((0.0101,), abs=1e-12)
    assert (second.units, second.active, second.threshold) == (1, 1, 0.01)


def test_a_mean_of_variances_within_minibatches_is_caught(data):
    ordered = data[data[:, 0].argsort()]  # each minibatch of 6 is constant: its own variance is 0
    assert layer_activity(Known(), ordered, batch_size=6)[0].active == 2
    assert sum(part.var(0, correction=0).sum() for part in ordered.split(6)) == 0


def test_the_threshold_is_an_argument(data):
    assert layer_activity(Known(), data, threshold=0.5)[0].active == 1
    assert layer_activity(Known(), data, threshold=0.005)[0].active == 3


def test_draws_minibatches_and_modes(data):
    model = Known()
    layer_activity(model, data, samples=3, batch_size=5)
    assert model.asked == [(3, 5, False, False), (3, 5, False, False), (3, 2, False, False)]
    assert model.training


def test_the_draws_come_from_the_seed_and_leave_the_global_generator_alone(data):
    class Noisy:
        def latents(self, x, samples=1):
            return [LatentLayer(mean=torch.randn(samples, *x.shape).mean(0), kl=x)]

    before = torch.get_rng_state()
    a, b, c = (layer_activity(Noisy(), data, seed=seed) for seed in (0, 0, 1))
    assert a == b != c
    assert torch.equal(before, torch.get_rng_state())


def test_a_model_without_latents(data):
    with pytest.raises(ValueError, match=r"Linear has no method latents\(x, samples\)"):
        layer_activity(nn.Linear(2, 2), data)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"batch_size": 0}, {"samples": 2.5}])
def test_counts_below_one(data, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a whole number of at least 1"):
        layer_activity(Known(), data, **wrong)
