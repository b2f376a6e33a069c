import builtins
import math
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.distributions import ExpTransform
from torch.testing import assert_close

from jensen import bounds
from jensen.distributions import DiagonalNormal, Pushforward, draw_with_log_prob
from jensen.layers import BernoulliMLP, FlowPosterior, GaussianMLP
from jensen.models import VAE
from jensen.training import DoublyReparameterized, ImportanceWeighted, Resampled, Variational

if find_spec("zuko") is None:
    pytest.skip("no zuko, which has the flows", allow_module_level=True)


def vae(flow="maf", latent=2, **numbers):
    torch.manual_seed(0)
    encoder = FlowPosterior(GaussianMLP(6, (8,), latent), latent, flow=flow, hidden=(16,), **numbers)
    return VAE(encoder=encoder, decoder=BernoulliMLP(latent, (8,), 6), latent=latent).double()


@pytest.fixture
def x():
    return torch.bernoulli(torch.full((4, 6), 0.5, dtype=torch.float64))


@pytest.mark.parametrize(("flow", "latent"), [("maf", 1), ("nsf", 1), ("naf", 1), ("maf", 2), ("nsf", 2)])
def test_the_density_of_a_draw_is_that_of_its_place_and_has_integral_one(flow, latent, x):
    q = vae(flow, latent).posterior(x[:1])
    noise = q.noise((50,))
    z, log_q = q.from_noise(noise)
    assert_close(q.log_prob(z), log_q, atol=1e-4, rtol=1e-4)
    axis = torch.linspace(-8, 8, 200 if latent == 2 else 2000).double()
    grid = torch.cartesian_prod(*[axis] * latent).reshape(-1, 1, latent)
    cell = (axis[1] - axis[0]) ** latent
    with torch.no_grad():
        assert_close((q.log_prob(grid).exp().sum() * cell).item(), 1.0, atol=2e-3, rtol=0)


def test_the_determinant_is_that_of_automatic_derivatives(x):
    q = vae("nsf").posterior(x[:1])
    noise = q.noise((1,))
    jacobian = torch.autograd.functional.jacobian(lambda e: q.from_noise(e)[0], noise).reshape(2, 2)
    _, log_q = q.from_noise(noise)
    plain = -0.5 * noise.square().sum() - math.log(2 * math.pi) - torch.linalg.slogdet(jacobian).logabsdet
    assert_close(log_q.squeeze(), plain)


def test_a_transform_of_torch_serves_too():
    q = Pushforward(DiagonalNormal(torch.zeros(2), torch.zeros(2)), ExpTransform())
    z, log_q = draw_with_log_prob(q, 5)
    assert_close(log_q, torch.distributions.LogNormal(0.0, 1.0).log_prob(z).sum(-1))


@pytest.mark.parametrize(
    "objective", [Variational(2), Variational(2, analytic_kl=True), ImportanceWeighted(3), Resampled(3)]
)
def test_every_objective_without_a_path_takes_it_and_reaches_the_flow(objective, x):
    model = vae()
    objective(model, x).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.transform.parameters())


def test_the_divergence_is_an_estimate_at_each_draw(x):
    model = vae()
    inference = model.infer(x, 5)
    terms = inference.log_weights
    assert_close(inference.kl, terms.log_posterior - terms.log_prior)
    assert [u.shape for u in inference.units] == [(5, 4, 1)]
    (layer,) = model.latents(x, 7)
    assert (layer.mean.shape, layer.kl.shape) == ((4, 2), (4, 1))


def test_what_has_no_closed_form_says_so(x):
    with pytest.raises(ValueError, match="Pushforward has no closed-form divergence"):
        vae().kl(x)
    with pytest.raises(ValueError, match="holds its parameters constant"):
        DoublyReparameterized(2)(vae(), x)
    with pytest.raises(ValueError, match=r"= \(3, 4, 2\)"):
        vae().log_weights(x, 3, noise=torch.zeros(3, 4, 1).double())


class Banana(nn.Module):
    """p(x | z) with a ridge along z_1 = z_0^2: pixels that are Gaussian about it."""

    def forward(self, z):
        bent = torch.stack([z[..., 1] - z[..., 0].square(), 0.3 * z[..., 0]], -1)
        return DiagonalNormal(bent, torch.tensor([-1.6, -0.3], dtype=z.dtype))


@pytest.fixture(scope="module")
def bent():
    """The best bound of a Gaussian and of a flow on a datum whose posterior is bent, and its exact log-evidence."""
    x = torch.tensor([[-0.5, 0.0]], dtype=torch.float64)
    axis = torch.linspace(-8, 8, 1200).double()
    z = torch.cartesian_prod(axis, axis)
    prior = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
    log_z = torch.logsumexp(Banana()(z).log_prob(x) + prior, 0) + 2 * (axis[1] - axis[0]).log()
    found = {}
    for name in ("gaussian", "flow"):
        torch.manual_seed(0)
        encoder = GaussianMLP(2, (), 2)
        q = FlowPosterior(encoder, 2, flow="nsf", transforms=2, hidden=(32,)) if name == "flow" else encoder
        model = VAE(encoder=q, decoder=Banana(), latent=2).double()
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(350):
            optimizer.zero_grad()
            (-bounds.elbo(model.log_weights(x, 64).total).mean()).backward()
            optimizer.step()
        with torch.no_grad():
            log_w = model.log_weights(x, 20_000).total
        found[name] = model, log_w.mean().item(), (log_w.std() / 20_000**0.5).item()
    return x, log_z.item(), found


def test_the_bound_of_a_flow_is_closer_where_the_posterior_is_bent(bent):
    _, log_z, found = bent
    (_, gaussian, error), (_, flow, _) = found["gaussian"], found["flow"]
    assert flow < log_z + 4.56 * error, "a bound"
    assert log_z - gaussian > 0.25
    assert log_z - flow < 0.4 * (log_z - gaussian)


def test_a_twin_that_forgets_the_determinant_passes_the_evidence(bent):
    x, log_z, found = bent
    model = found["flow"][0]
    q = model.posterior(x)
    noise = q.noise((20_000,))
    with torch.no_grad():
        z, log_q = q.from_noise(noise)
        forgetful = q.base.log_prob_from_noise(noise)
        right, wrong = (
            (model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - each).exp().mean().log().item()
            for each in (log_q, forgetful)
        )
    assert abs(right - log_z) < 0.05
    assert abs(wrong - log_z) > 0.1


def test_without_zuko_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == "zuko":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=r"pip install 'jensen\[flows\]'"):
        FlowPosterior(GaussianMLP(6, (), 2), 2)


def test_making_one_leaves_the_validation_of_torch_on(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "zuko"]:
        monkeypatch.delitem(sys.modules, name)
    FlowPosterior(GaussianMLP(6, (), 2), 2)
    with pytest.raises(ValueError, match="parameter scale"):
        torch.distributions.Normal(0.0, torch.tensor(-1.0))


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="no flow 'glow'"):
        FlowPosterior(GaussianMLP(6, (), 2), 2, flow="glow")
    with pytest.raises(ValueError, match="sizes must be positive"):
        FlowPosterior(GaussianMLP(6, (), 2), 2, transforms=0)
