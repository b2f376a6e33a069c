from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers import BernoulliMLP, FlowPosterior, GaussianMLP, mlp
from jensen.models import IWAE, VAE, LadderVAE
from jensen.training import BalancedKL, FreeBits, Variational, fit


def ladder():
    torch.manual_seed(0)
    return LadderVAE(
        up=[mlp([6, 5]), mlp([5, 4])],
        evidence=[GaussianMLP(5, (), 3), GaussianMLP(4, (), 2)],
        decoders=[BernoulliMLP(3, (4,), 6), GaussianMLP(2, (4,), 3)],
        latents=[3, 2],
    ).double()


def vae():
    torch.manual_seed(0)
    return VAE(encoder=GaussianMLP(6, (5,), 3), decoder=BernoulliMLP(3, (5,), 6), latent=3).double()


def iwae():
    torch.manual_seed(0)
    decoders = [BernoulliMLP(3, (4,), 6), GaussianMLP(2, (), 3)]
    return IWAE(encoders=[GaussianMLP(6, (4,), 3), GaussianMLP(3, (), 2)], decoders=decoders, latents=[3, 2]).double()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.bernoulli(torch.full((8, 6), 0.5, dtype=torch.float64))


def seeded(objective, model, x, **options):
    torch.manual_seed(5)
    return objective(model, x, **options)


def gradient(model, value):
    found = torch.autograd.grad(value.mean(), list(model.parameters()))
    return torch.cat([g.flatten() for g in found])


@pytest.mark.parametrize("make", [vae, iwae, ladder])
@pytest.mark.parametrize("objective", [FreeBits(0.1, 4), FreeBits(0.1, 4, "layer"), BalancedKL(4)])
@pytest.mark.parametrize("kl_weight", [1.0, 0.3, torch.tensor(0.3)], ids=["one", "number", "tensor"])
def test_the_value_is_the_bound_whatever_the_gradient(make, objective, kl_weight, x):
    model = make()
    exact = seeded(Variational(4, analytic_kl=True), model, x)
    assert_close(seeded(objective, model, x, kl_weight=kl_weight), exact)


def by_formula(model, x, nats, *, per_datum=False):
    """The mean over the minibatch of the formula, its maximum written as a maximum."""
    torch.manual_seed(5)
    inference = model.infer(x, 4)
    kl = torch.cat([u.mean(0) for u in inference.units], -1)  # (B, D)
    kept = kl.clamp_min(nats).mean(0) if per_datum else kl.mean(0).clamp_min(nats)
    return inference.log_weights.log_likelihood.mean() - kept.sum()


@pytest.mark.parametrize("make", [vae, ladder])
def test_the_gradient_is_that_of_the_formula(make, x):
    model = make()
    torch.manual_seed(5)
    kl = torch.cat([u.mean((0, 1)) for u in model.infer(x, 4).units])
    nats = kl.sort().values[1:3].mean().item()
    assert 0 < (kl > nats).sum() < len(kl)
    ours = gradient(model, seeded(FreeBits(nats, 4), model, x))
    assert_close(ours, gradient(model, by_formula(model, x, nats)))
    twin = gradient(model, by_formula(model, x, nats, per_datum=True))
    assert (ours - twin).abs().max() > 1e-4, "a maximum for each datum is another objective"
    plain = gradient(model, seeded(Variational(4, analytic_kl=True), model, x))
    assert (ours - plain).abs().max() > 1e-4


def test_nothing_free_is_the_plain_gradient_and_all_free_that_of_the_likelihood(x):
    model = ladder()
    plain = gradient(model, seeded(Variational(4, analytic_kl=True), model, x))
    assert_close(gradient(model, seeded(FreeBits(0.0, 4), model, x)), plain)
    likelihood = gradient(model, seeded(Variational(4, analytic_kl=True), model, x, kl_weight=0.0))
    for per in ("unit", "layer"):
        assert_close(gradient(model, seeded(FreeBits(1e6, 4, per), model, x)), likelihood)


def test_a_group_may_be_a_layer(x):
    model = ladder()
    torch.manual_seed(5)
    inference = model.infer(x, 4)
    layers = [u.sum(-1).mean() for u in inference.units]
    nats = (sum(layers) / 2).item()
    formula = inference.log_weights.log_likelihood.mean() - sum(kl.clamp_min(nats) for kl in layers)
    assert_close(gradient(model, seeded(FreeBits(nats, 4, "layer"), model, x)), gradient(model, formula))


@pytest.mark.parametrize("make", [iwae, ladder])
def test_layers_are_weighed_by_their_nats_for_each_unit_while_the_weight_rises(make, x):
    model = make()
    torch.manual_seed(5)
    inference = model.infer(x, 4)
    layers = torch.stack([u.sum(-1).mean() for u in inference.units])
    rates = (layers.detach().abs() + 0.01) / torch.tensor([3.0, 2.0]).double()
    gamma = rates / rates.mean()
    formula = inference.log_weights.log_likelihood.mean() - 0.3 * (gamma * layers).sum()
    ours = gradient(model, seeded(BalancedKL(4), model, x, kl_weight=0.3))
    assert_close(ours, gradient(model, formula))
    unbalanced = gradient(model, seeded(Variational(4, analytic_kl=True), model, x, kl_weight=0.3))
    assert (ours - unbalanced).abs().max() > 1e-4
    torch.manual_seed(5)
    again = model.infer(x, 4)
    layers = torch.stack([u.sum(-1).mean() for u in again.units])
    attached = (layers.abs() + 0.01) / torch.tensor([3.0, 2.0]).double()
    twin = again.log_weights.log_likelihood.mean() - 0.3 * (attached / attached.mean() * layers).sum()
    assert (ours - gradient(model, twin)).abs().max() > 1e-4, "a twin whose weights have a gradient"


@pytest.mark.parametrize("kl_weight", [1.0, torch.tensor(1.0), 2.0])
def test_at_full_weight_the_gradient_is_the_plain_one(kl_weight, x):
    model = ladder()
    plain = gradient(model, seeded(Variational(4, analytic_kl=True), model, x, kl_weight=kl_weight))
    assert_close(gradient(model, seeded(BalancedKL(4), model, x, kl_weight=kl_weight)), plain)


def test_one_layer_has_nothing_to_balance(x):
    model = vae()
    plain = gradient(model, seeded(Variational(2, analytic_kl=True), model, x, kl_weight=0.3))
    assert_close(gradient(model, seeded(BalancedKL(2), model, x, kl_weight=0.3)), plain)


def test_units_stay_alive_with_free_bits_that_fall_silent_without():
    torch.manual_seed(0)
    x = torch.bernoulli(torch.rand(200, 1) * torch.ones(200, 6))

    def nats(objective):
        torch.manual_seed(0)
        model = VAE(encoder=GaussianMLP(6, (16,), 4), decoder=BernoulliMLP(4, (16,), 6), latent=4)
        fit(model, objective, x, epochs=30, batch_size=50, learning_rate=1e-2, progress=False)
        return model.latents(x)[0].kl.mean(0)

    free, plain = nats(FreeBits(0.3)), nats(Variational(analytic_kl=True))
    assert (plain < 0.1).sum() >= 2
    assert (free > 0.2).all()


def test_a_flow_is_one_group(x):
    if find_spec("zuko") is None:
        pytest.skip("no zuko, which has the flows")
    torch.manual_seed(0)
    encoder = FlowPosterior(GaussianMLP(6, (5,), 3), 3, hidden=(8,))
    model = VAE(encoder=encoder, decoder=BernoulliMLP(3, (5,), 6), latent=3).double()
    assert seeded(FreeBits(0.1, 2), model, x).shape == (8,)


def test_models_that_do_not_tell_and_bad_numbers_are_refused(x):
    with pytest.raises(ValueError, match="Linear has no infer"):
        FreeBits(0.1)(nn.Linear(6, 2), x)
    silent = vae()
    whole = silent.infer
    silent.infer = lambda x, samples: whole(x, samples)._replace(units=())
    with pytest.raises(ValueError, match="divergence of each unit"):
        BalancedKL()(silent, x)
    with pytest.raises(ValueError, match="nats is -1"):
        FreeBits(-1)
    with pytest.raises(ValueError, match="per is 'pixel'"):
        FreeBits(1.0, per="pixel")
    with pytest.raises(ValueError, match="samples is 0"):
        BalancedKL(0)
