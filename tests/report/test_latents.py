"""Images from latents: codes there and back, one unit at a time, arcs and lines, and who has no code."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen import recipes
from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.layers import BernoulliMLP, GaussianMLP
from jensen.models import IWAE, VAE
from jensen.recipes.build import make_model
from jensen.report.latents import code_of, interpolate, plane, prior_quantiles, traverse


class Identity(nn.Module):
    """q(z | x) is Gaussian around x, p(x | z) around z, and the prior N(1, 4)."""

    def __init__(self, size=3):
        super().__init__()
        self.size, self.weight = size, nn.Parameter(torch.zeros(()))

    def prior(self):
        return DiagonalNormal(torch.ones(self.size), torch.full((self.size,), 2.0).log())

    def posterior(self, x):
        return DiagonalNormal(x, torch.zeros(self.size))

    def likelihood(self, z):
        return DiagonalNormal(z, torch.zeros(self.size))

    def latents(self, x, samples=1):
        from jensen._contracts import LatentLayer

        return [LatentLayer(x, x)]


@pytest.fixture
def code():
    return code_of(Identity(), torch.zeros(1, 3))


def test_a_code_goes_there_and_back(code):
    x = torch.randn(600, 3)  # more than go through a network together
    assert_close(code.decode(code.encode(x)), x)
    assert code.decode(torch.zeros(2, 5, 3)).shape == (2, 5, 3)


def test_a_traversal_moves_one_unit_and_no_other(code):
    values = torch.tensor([-1.0, 0.0, 4.0])
    moved = traverse(code, torch.tensor([7.0, 8.0, 9.0]), 1, values=values)
    assert moved.tolist() == [[7, -1, 9], [7, 0, 9], [7, 4, 9]]


def test_quantiles_are_the_priors(code):
    values = prior_quantiles(code, 2, 5, reach=0.1)
    prior = torch.distributions.Normal(1.0, 2.0)
    assert_close(prior.cdf(values), torch.linspace(0.1, 0.9, 5))
    standard = torch.distributions.Normal(0.0, 1.0)  # the control: another prior
    assert (standard.cdf(values) - torch.linspace(0.1, 0.9, 5)).abs().max() > 0.1


def test_a_plane_grows_to_the_right_and_upwards(code):
    images = plane(code, (2, 0), steps=4)
    across, up = (prior_quantiles(code, unit, 4, reach=0.05) for unit in (2, 0))
    assert_close(images[1, :, 2], across)
    assert_close(images[:, 3, 0], up.flip(0))
    assert (images[..., 1] == 1).all()


def test_an_arc_stays_as_far_out_as_its_ends_and_a_line_does_not():
    first, last = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [-2.0, 0.0]])
    arc = interpolate(first, last, steps=7, spherical=True)
    line = interpolate(first, last, steps=7)
    assert_close(arc.norm(dim=-1), torch.tensor([3.0, 2.0]).expand(7, 2))
    assert_close(arc[3, 0], torch.tensor([3.0, 3.0]) / math.sqrt(2))
    assert_close(line[3, 0], torch.tensor([1.5, 1.5]))
    for way in (arc, line):
        assert_close(way[0], first)
        assert_close(way[-1], last)


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_where_there_is_no_arc_the_way_is_straight(factor):
    first = torch.tensor([1.0, 2.0])
    assert_close(
        interpolate(first, factor * first, steps=3, spherical=True), interpolate(first, factor * first, steps=3)
    )


def test_the_code_of_two_layers_is_the_top_one_and_the_others_follow_by_their_means():
    torch.manual_seed(0)
    model = IWAE(
        encoders=[GaussianMLP(6, (5,), 4), GaussianMLP(4, (5,), 2)],
        decoders=[BernoulliMLP(4, (5,), 6), GaussianMLP(2, (5,), 4)],
        latents=[4, 2],
    )
    code = code_of(model, torch.zeros(1, 6))
    assert (code.size, code.layers) == (2, 2)
    z = torch.randn(3, 2)
    assert_close(code.decode(z), model.likelihood(model.decoders[1](z).mean).mean)
    assert code.encode(torch.zeros(3, 6)).shape == (3, 2)


def test_who_has_no_code():
    class NoPosterior(Identity):
        posterior = None

        def __getattribute__(self, name):
            if name == "posterior":
                raise AttributeError(name)
            return super().__getattribute__(name)

    class TwoLayers(Identity):
        def latents(self, x, samples=1):
            return super().latents(x) * 2

    discrete = make_model(recipes.get("discrete-vae-digits").model, (8, 8))
    structured = make_model(recipes.get("structured-digits").model, (8, 8))
    for model, pixels in ((NoPosterior(), 3), (TwoLayers(), 3), (discrete, 64), (structured, 64), (nn.Linear(3, 3), 3)):
        assert code_of(model, torch.zeros(1, pixels)) is None
    assert code_of(Identity(), torch.zeros(1, 3)) is not None


def test_a_standard_prior_has_quantiles_of_its_own():
    vae = VAE(encoder=GaussianMLP(6, (), 2), decoder=BernoulliMLP(2, (), 6), latent=2)
    code = code_of(vae, torch.zeros(1, 6))
    assert isinstance(vae.prior(), StandardNormal)
    assert prior_quantiles(code, 0, 3)[1] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda code: code.decode(torch.zeros(2)), r"codes have shape \(2,\); this model's have 3 units"),
        (lambda code: traverse(code, torch.zeros(2), 0, values=torch.zeros(1)), r"shape \(2,\); expected \(3,\)"),
        (lambda code: traverse(code, torch.zeros(3), 3, values=torch.zeros(1)), "there is no unit 3"),
        (lambda code: prior_quantiles(code, -1, 5), "there is no unit -1"),
        (lambda code: prior_quantiles(code, 0, 1), "steps is 1"),
        (lambda code: plane(code, (1, 1), steps=3), "spanned by two units"),
        (lambda code: interpolate(torch.zeros(2), torch.zeros(3), steps=3), "make no way"),
        (lambda code: interpolate(torch.zeros(2), torch.zeros(2), steps=1), "make no way"),
    ],
)
def test_what_cannot_be_is_refused(code, call, message):
    with pytest.raises(ValueError, match=message):
        call(code)
