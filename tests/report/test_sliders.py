"""Sliders move the latents that they name, and the picture is the decoder's own at those latents."""

import math
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from jensen.layers import BernoulliMLP, DiscreteMLP, GaussianMLP
from jensen.layers.flows import FlowPosterior
from jensen.models import DRAW, IWAE, VAE, DiscreteVAE
from jensen.recipes.architectures import LadderArchitecture
from jensen.recipes.build import make_model
from jensen.report.sliders import image_png, panel_of

PIXELS = 16


def vae(encoder=None):
    encoder = encoder or GaussianMLP(PIXELS, (8,), 5)
    return VAE(encoder=encoder, decoder=BernoulliMLP(5, (8,), PIXELS), latent=5)


def two_layers():
    return IWAE(
        encoders=[GaussianMLP(PIXELS, (8,), 4), GaussianMLP(4, (8,), 2)],
        decoders=[BernoulliMLP(4, (8,), PIXELS), GaussianMLP(2, (8,), 4)],
        latents=[4, 2],
    )


def ladder():
    return make_model(LadderArchitecture(hidden=((8,), (6,)), latent=(4, 2)), (4, 4))


def draw():
    return DRAW(shape=(4, 4), glimpses=3, hidden=6, latent=2)


def flow():
    if find_spec("zuko") is None:
        pytest.skip("no zuko, which has the flows")
    return vae(FlowPosterior(GaussianMLP(PIXELS, (8,), 5), 5, hidden=(8,)))


def discrete(units):
    size = math.prod(units)
    return DiscreteVAE(encoder=DiscreteMLP(PIXELS, (), units), decoder=BernoulliMLP(size, (), PIXELS), units=units)


GAUSSIAN = [vae, two_layers, ladder, draw, flow]
DISCRETE = [lambda: discrete((6,)), lambda: discrete((4, 3))]


def made(make):
    torch.manual_seed(0)
    return make().eval()


@pytest.fixture
def x():
    return torch.bernoulli(torch.full((7, PIXELS), 0.3), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("make", [*GAUSSIAN, *DISCRETE])
def test_an_encoded_image_decodes_to_its_reconstruction(make, x):
    panel = panel_of(made(make), x)
    assert_close(panel.decode(panel.encode(x)), panel.rebuild(x))
    assert panel.encode(x).shape == (7, len(panel.units))
    assert not torch.equal(panel.decode(panel.encode(x).flip(-1)), panel.rebuild(x))


def test_the_values_of_a_vae_are_its_posterior_means_and_the_picture_its_pixel_means(x):
    model = made(vae)
    panel = panel_of(model, x)
    with torch.no_grad():
        assert_close(panel.encode(x), model.posterior(x).mean)
        assert_close(panel.decode(2 * torch.ones(5)), model.likelihood(2 * torch.ones(5)).mean)


def test_values_below_the_top_layer_are_measured_from_their_mean_given_the_layer_above():
    model, x = made(two_layers), torch.zeros(1, PIXELS)
    panel = panel_of(model, x)
    values = torch.tensor([0.0, 0.0, 1.5, 0.0, -1.0, 2.0])
    with torch.no_grad():
        p = model.decoders[1](torch.tensor([-1.0, 2.0]))
        z = p.mean + p.stddev * values[:4]
        assert_close(panel.decode(values), model.likelihood(z).mean)
        assert (panel.decode(values) - model.likelihood(values[:4]).mean).abs().max() > 1e-3


def test_units_stand_by_their_divergence_and_silent_ones_last(x):
    model = made(vae)
    last = model.encoder.network[-1]
    with torch.no_grad():
        last.weight[[1, 6]], last.bias[[1, 6]] = 0, torch.tensor([5.0, 0.0])
    panel = panel_of(model, x)
    with torch.no_grad():
        kl = model.latents(x)[0].kl.mean(0)
    units = {unit.place: unit for unit in panel.units}
    assert kl.argmax() == 1
    assert panel.units[-1].place == 1
    assert not panel.units[-1].active
    assert panel.active == 4
    assert_close(torch.tensor([units[d].kl for d in range(5)]), kl, atol=1e-5, rtol=1e-5)
    active = [unit.kl for unit in panel.units[:-1]]
    assert active == sorted(active, reverse=True)


@pytest.mark.parametrize(
    ("make", "name"),
    [(vae, "unit 0"), (two_layers, "layer 1, unit 0"), (draw, "step 1, unit 0"), (ladder, "layer 1, unit 0")],
)
def test_a_unit_is_called_by_where_it_is(make, name, x):
    assert name in {unit.name for unit in panel_of(made(make), x).units if unit.place == 0}


def test_units_without_a_divergence_of_their_own_stand_by_variance(x):
    panel = panel_of(made(flow), x)
    assert all(math.isnan(unit.kl) for unit in panel.units)
    assert [unit.says for unit in panel.units] == sorted((unit.variance for unit in panel.units), reverse=True)


def test_a_slider_moves_the_unit_that_it_names_and_no_other(x):
    panel = panel_of(made(vae), x)
    values = panel.encode(x)[0]
    moved = panel.moved(values, [0.5, -1.25])
    changed = {unit.place for unit in panel.units if moved[unit.place] != values[unit.place]}
    assert changed == {unit.place for unit in panel.units[:2]}
    assert panel.read(moved, 2) == [0.5, -1.25]
    assert not torch.equal(panel.decode(moved), panel.decode(values))


def test_draws_from_the_prior_are_fixed_by_their_number(x):
    panel = panel_of(made(vae), x)
    assert torch.equal(panel.draw(3), panel.draw(3))
    assert not torch.equal(panel.draw(3), panel.draw(4))
    draws = torch.stack([panel.draw(seed) for seed in range(2000)])
    assert (draws.mean(0).abs() * math.sqrt(2000)).max() < 4.56
    states = panel_of(made(DISCRETE[1]), x)
    assert set(torch.stack([states.draw(seed) for seed in range(50)]).flatten().tolist()) == {0.0, 1.0, 2.0}


def test_a_discrete_value_is_a_category(x):
    model = made(DISCRETE[1])
    panel = panel_of(model, x)
    with torch.no_grad():
        assert torch.equal(panel.encode(x), model.posterior(x).mean.argmax(-1).float())
        z = torch.eye(3)[torch.tensor([2, 0, 1, 1])]
        assert_close(panel.decode(torch.tensor([2.0, 0.0, 1.0, 1.0])), model.likelihood(z).mean)
    assert panel.states == 3


def test_a_pixel_is_a_pixel_and_ink_is_dark():
    pixels = torch.linspace(0, 1, 12)
    for ink, expected in ((False, pixels), (True, 1 - pixels)):
        image = np.asarray(Image.open(BytesIO(image_png(pixels, (3, 4), ink=ink))))
        assert image.shape == (3, 4, 3)
        assert (image == np.rint(255 * expected.numpy()).reshape(3, 4, 1)).all()
    colour = np.asarray(Image.open(BytesIO(image_png(pixels, (2, 2, 3)))))
    assert (colour == np.rint(255 * pixels.numpy()).reshape(2, 2, 3)).all()


@pytest.mark.parametrize(
    ("make", "to", "message"),
    [
        (vae, [math.nan], "cannot be at nan; give a finite number"),
        (vae, [0.0] * 6, r"and 6 numbers do not fit 5 units"),
        (DISCRETE[0], [2.0], "cannot be at 2.0; give a category from 0 to 1"),
        (DISCRETE[1], [0.5], "cannot be at 0.5; give a category from 0 to 2"),
    ],
)
def test_what_no_unit_can_be_at_is_refused(make, to, message, x):
    panel = panel_of(made(make), x)
    with pytest.raises(ValueError, match=message):
        panel.moved(panel.rest(), to)


def test_what_draws_nothing_from_latents_is_refused(x):
    with pytest.raises(ValueError, match="Linear draws no images from latents alone"):
        panel_of(torch.nn.Linear(PIXELS, 2), x)
    model = made(two_layers)

    class Closed(torch.nn.Module):
        prior, likelihood, infer = model.prior, model.likelihood, model.infer
        noise, latents = model.noise, model.latents

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

    with pytest.raises(ValueError, match="Closed has 2 layers, and no generate"):
        panel_of(Closed(), x)
