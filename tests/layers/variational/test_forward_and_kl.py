"""The output and the divergence of a network at once, against one after the other."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from jensen.layers.variational import (
    FullGaussian,
    LaplacePrior,
    MeanField,
    NormalPrior,
    ScaleMixturePrior,
    SparseDropout,
    Variational,
    at_means,
    bayesianize,
    forward_and_kl,
    random_layers,
    total_kl,
)


def perceptron():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


class Twice(nn.Module):
    """One layer at two places, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.shared, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.shared(self.shared(x).tanh())


class Checkpointed(nn.Module):
    """Its first layer is computed again in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.first, self.last, self.reentrant = nn.Linear(3, 4), nn.Linear(4, 2), reentrant

    def forward(self, x):
        return self.last(checkpoint(self.first, x, use_reentrant=self.reentrant).tanh())


NETS = {
    "local": lambda: bayesianize(perceptron(), estimator="local", posterior=MeanField(0.3)),
    "another scale": lambda: bayesianize(perceptron(), estimator="local", prior=NormalPrior(0.3)),
    "softplus": lambda: bayesianize(perceptron(), estimator="local", posterior=MeanField(0.3, "softplus")),
    "sampled": lambda: bayesianize(perceptron()),
    "flipout": lambda: bayesianize(perceptron(), estimator="flipout"),
    "laplace": lambda: bayesianize(perceptron(), estimator="local", prior=LaplacePrior(0.3)),
    "full": lambda: bayesianize(perceptron(), posterior=FullGaussian()),
    "weights only": lambda: bayesianize(perceptron(), estimator="local", exclude="*.bias"),
    "biases only": lambda: bayesianize(perceptron(), estimator="local", include="*.bias"),
    "a convolution": lambda: bayesianize(
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 2)), estimator="local"
    ),
    "several kinds": lambda: nn.Sequential(
        SparseDropout(nn.Linear(3, 4)), nn.ReLU(), Variational(nn.Linear(4, 2), estimator="local")
    ),
    "twice and never": lambda: bayesianize(Twice(), estimator="local"),
    "checkpointed": lambda: bayesianize(Checkpointed(reentrant=False), estimator="local"),
    "checkpointed, reentrant": lambda: bayesianize(Checkpointed(reentrant=True), estimator="local"),
}


def network(name):
    torch.manual_seed(0)
    return NETS[name]().double(), torch.randn(5, 3, dtype=torch.float64, requires_grad=True)


def results(net, compute):
    """The output, the divergence, and the gradients of a sum of both."""
    torch.manual_seed(1)
    for parameter in net.parameters():
        parameter.grad = None
    output, kl = compute()
    (output.square().sum() + 0.3 * kl).backward()
    return output, kl, [parameter.grad for parameter in net.parameters()]


@pytest.mark.parametrize("name", list(NETS))
def test_it_is_the_forward_pass_and_the_divergence(name):
    net, x = network(name)
    found = results(net, lambda: forward_and_kl(net, x))
    expected = results(net, lambda: (net(x), total_kl(net)))
    assert_close(found, expected)
    assert not any("forward" in vars(layer) for layer in random_layers(net).values())


def test_a_divergence_counted_at_each_call_is_caught():
    net, x = network("twice and never")
    kl = forward_and_kl(net, x)[1]
    assert_close(kl, net.shared.kl() + net.idle.kl())
    assert abs(kl - 2 * net.shared.kl() - net.idle.kl()) > 1


def test_without_noise_and_without_gradients_it_is_the_same():
    net, x = network("local")
    with at_means(net):
        assert_close(forward_and_kl(net, x), (net(x), total_kl(net)))
    with torch.no_grad():
        assert_close(forward_and_kl(net, x)[1], total_kl(net))


def test_hooks_run_once_and_see_the_output():
    net, x = network("local")
    seen = []
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    forward_and_kl(net, x)
    assert seen == [(5, 4)]


@pytest.mark.usefixtures("validation")
def test_transforms_of_functions_and_compiled_code_take_it():
    net, x = network("local")
    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            output, kl = forward_and_kl(self.net, x)
            return output.square().sum() + 0.3 * kl

    def loss(parameters):
        torch.manual_seed(1)
        named = {f"net.{name}": value for name, value in parameters.items()}
        return torch.func.functional_call(Sum(), named, (x,))

    found = torch.func.grad(loss)(parameters)
    expected = results(net, lambda: (net(x), total_kl(net)))[2]
    assert_close(list(found.values()), expected)
    torch.compile(Sum(), backend="eager", fullgraph=True)(x).backward()


def test_the_forward_pass_comes_back_after_an_error():
    net, x = network("local")
    with pytest.raises(RuntimeError, match=r"shape|size"):
        forward_and_kl(net, x[:, :2])
    assert not any("forward" in vars(layer) for layer in random_layers(net).values())


def test_bad_input_is_refused():
    x = torch.zeros(5, 3)
    with pytest.raises(ValueError, match="Linear has no random layer"):
        forward_and_kl(nn.Linear(3, 2), x)
    mixture = bayesianize(perceptron(), prior=ScaleMixturePrior(0.5, 1.0, 0.01), estimator="local")
    with pytest.raises(ValueError, match="no closed form"):
        forward_and_kl(mixture, x)
