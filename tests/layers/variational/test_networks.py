"""Networks with random layers: draws in one batched pass equal the loop, and sums are over everything."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.testing import assert_close

from jensen.layers.variational import (
    FullGaussian,
    MeanField,
    SparseDropout,
    Variational,
    at_means,
    bayesianize,
    draw_weights,
    forward_samples,
    forward_with,
    log_posterior,
    log_prior,
    random_layers,
    total_kl,
)

WIDE = MeanField(initial_scale=0.3)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.cell, self.head = nn.Embedding(7, 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, words):
        return self.head(self.cell(self.words(words))[0][:, -1])


class Branching(nn.Module):
    """Control flow that depends on data."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        y = self.layer(x)
        return y if y.sum() > 0 else -y


class Scaled(nn.Module):
    """Parameters of its own beside a child's."""

    def __init__(self):
        super().__init__()
        self.scale, self.child = nn.Parameter(torch.ones(2)), nn.Linear(3, 2)

    def forward(self, x):
        return self.scale * self.child(x)


NETS = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), lambda: torch.randn(5, 3)),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)),
        lambda: torch.randn(5, 1, 4, 4),
    ),
    "normalised": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.Linear(4, 2)).eval(),
        lambda: torch.randn(5, 3),
    ),
    "recurrent": (Recurrent, lambda: torch.randint(7, (5, 6))),
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        lambda: torch.randn(5, 3, 4),
    ),
    "branching": (Branching, lambda: torch.randn(5, 3)),
    "scaled": (Scaled, lambda: torch.randn(5, 3)),
    "one layer": (lambda: nn.Linear(3, 2), lambda: torch.randn(5, 3)),
}


def network(name, **options):
    torch.manual_seed(0)
    make, data = NETS[name]
    return bayesianize(make(), posterior=WIDE, **options), data()


def with_draw(net, weights, k, x):
    """By hand: the k-th draw in the place of the means."""
    flat = {
        ".".join(part for part in (layer, "layer", name) if part): draws[k]
        for layer, named in weights.items()
        for name, draws in named.items()
    }
    with at_means(net):
        return functional_call(net, flat, (x,))


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("samples", [1, 6])
def test_a_batched_pass_equals_the_loop_over_the_same_weights(name, samples):
    net, x = network(name)
    weights = draw_weights(net, samples)
    found = forward_with(net, x, weights)
    loop = torch.stack([with_draw(net, weights, k, x) for k in range(samples)])
    assert_close(found, loop, atol=1e-6, rtol=1e-5)
    if samples > 1:
        assert found.std(0).min() > 0
    gradients = torch.autograd.grad(found.square().sum(), list(net.parameters()), retain_graph=True)
    expected = torch.autograd.grad(loop.square().sum(), list(net.parameters()))
    assert_close(gradients, expected, atol=1e-4, rtol=1e-4)
    assert all(layer.deterministic is False for layer in random_layers(net).values())
    assert not any("forward" in vars(layer) for layer in random_layers(net).values())


@pytest.mark.parametrize("name", list(NETS))
def test_independent_passes_have_the_shape_and_the_spread_of_single_ones(name):
    net, x = network(name)
    with torch.no_grad():
        torch.manual_seed(1)
        found = forward_samples(net, x, 300).flatten(1)
        single = torch.stack([net(x) for _ in range(300)]).flatten(1)
    assert found.shape == single.shape
    error = (found.var(0) / 300 + single.var(0) / 300).sqrt()
    assert (((found.mean(0) - single.mean(0)) / error).abs() < 4.56).all()
    neighbours = (found[1:] - found.mean(0)) * (found[:-1] - found.mean(0))
    assert ((neighbours.mean(0) / (found.var(0) / 299**0.5)).abs() < 4.56).all()


@pytest.mark.parametrize("estimator", ["sampled", "local", "flipout"])
def test_gradients_flow_through_a_batched_pass(estimator):
    net, x = network("perceptron", estimator=estimator)
    forward_samples(net, x, 4).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_passes_of_dropout_are_drawn_each_for_itself():
    net = bayesianize(nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5)), posterior=MeanField(1e-8))
    kept = forward_samples(net, torch.ones(4, 3), 3) != 0
    assert not torch.equal(kept[0], kept[1])
    weights = draw_weights(net, 3)
    assert not torch.equal(forward_with(net, torch.ones(4, 3), weights)[0] != 0, kept[0])
    net.eval()
    assert (forward_samples(net, torch.ones(4, 3), 3) != 0).all()


def test_batch_normalisation_counts_every_pass():
    net = bayesianize(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), exclude="1.*")
    x = torch.randn(5, 3)
    assert forward_samples(net, x, 3).shape == forward_with(net, x, draw_weights(net, 3)).shape == (3, 5, 4)
    assert net[1].num_batches_tracked == 6
    net.eval()
    forward_samples(net, x, 3)
    assert net[1].num_batches_tracked == 6


def test_the_divergence_is_the_sum_over_layers_and_weights():
    net, _ = network("perceptron")
    layers = random_layers(net)
    assert_close(total_kl(net), layers["0"].kl() + layers["2"].kl())
    entries = torch.cat(
        [
            layer.prior.kl(mean, layer.scales()[name].log()).flatten()
            for layer in layers.values()
            for name, mean in layer.means().items()
        ]
    )
    assert entries.shape == (4 * 3 + 4 + 2 * 4 + 2,)
    assert_close(total_kl(net), entries.sum())
    assert abs(total_kl(net) - sum(layer.kl() / 16 for layer in layers.values())) > 10


def test_log_densities_are_sums_over_layers_and_estimate_the_divergence():
    net, _ = network("perceptron")
    weights = draw_weights(net, 5000)
    layers = random_layers(net)
    assert_close(log_prior(net, weights), sum(layer.log_prior(weights[name]) for name, layer in layers.items()))
    estimates = (log_posterior(net, weights) - log_prior(net, weights)).detach()
    assert abs(estimates.mean() - total_kl(net)) < 4.56 * estimates.std() / 5000**0.5


def test_layers_of_several_kinds_stand_in_one_network():
    net = nn.Sequential(
        SparseDropout(nn.Linear(3, 4)),
        nn.ReLU(),
        Variational(nn.Linear(4, 4), estimator="flipout"),
        Variational(nn.Linear(4, 2), posterior=FullGaussian()),
    )
    assert list(random_layers(net)) == ["0", "2", "3"]
    x = torch.randn(5, 3)
    assert forward_samples(net, x, 3).shape == forward_with(net, x, draw_weights(net, 3)).shape == (3, 5, 2)
    assert_close(total_kl(net), net[0].kl() + net[2].kl() + net[3].kl())


def test_the_noise_comes_back_after_the_means_also_after_an_error():
    net, x = network("perceptron")
    net[0].deterministic = True
    with at_means(net):
        assert torch.equal(net(x), net(x))
    with pytest.raises(RuntimeError, match=r"shape|size"), at_means(net):
        net(x[:, :2])
    assert (net[0].deterministic, net[2].deterministic) == (True, False)
    assert not torch.equal(net(x), net(x))


def test_a_wrong_shape_is_reported_as_such():
    net, _ = network("perceptron")
    with pytest.raises(RuntimeError, match=r"shape|size"):
        forward_samples(net, torch.randn(5, 4), 3)


def test_bad_input_is_refused():
    plain, x = nn.Linear(3, 2), torch.randn(5, 3)
    for use in (random_layers, total_kl, lambda net: draw_weights(net, 1), lambda net: forward_samples(net, x, 1)):
        with pytest.raises(ValueError, match="Linear has no random layer"):
            use(plain)
    with pytest.raises(ValueError, match="no random layer"), at_means(plain):
        pass
    net, x = network("perceptron")
    for use in (lambda: draw_weights(net, 0), lambda: forward_samples(net, x, 0)):
        with pytest.raises(ValueError, match="samples is 0"):
            use()
    weights = draw_weights(net, 3)
    for use in (log_prior, log_posterior, lambda net, weights: forward_with(net, x, weights)):
        with pytest.raises(ValueError, match=r"random layers are \['0', '2'\], the weights are of \['0'\]"):
            use(net, {"0": weights["0"]})
    with pytest.raises(ValueError, match=r"\[2, 3\] draws"):
        forward_with(net, x, {"0": weights["0"], "2": draw_weights(net, 2)["2"]})
    with pytest.raises(ValueError, match="is a tuple"):
        forward_samples(bayesianize(nn.LSTM(3, 2)), torch.randn(4, 5, 3), 2)
