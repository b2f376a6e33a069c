"""What images weigh: the evidence where the posterior is exact, the bound where it is not."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent

from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.evaluation.coding import BitsBack, GaussianBins, Stack
from jensen.evaluation.coding.ans import random_words
from jensen.evaluation.coding.codec import _Account
from jensen.layers import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP
from jensen.models import VAE

N = 300


def flat(images):
    return images.reshape(len(images), -1)


@pytest.mark.parametrize("lanes", [1, 7, 200])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_binary_images_come_back(vae, images, lanes, bits):
    codec = BitsBack(vae, pixels=16, bits=bits, lanes=lanes)
    coded = codec.encode(flat(images))
    np.testing.assert_array_equal(codec.decode(coded, len(images)), flat(images))


@pytest.mark.parametrize("lanes", [1, 7])
def test_images_come_back_from_two_layers(iwae, images, lanes):
    codec = BitsBack(iwae, pixels=16, lanes=lanes)
    coded = codec.encode(flat(images))
    assert len(coded.moments) == 1
    np.testing.assert_array_equal(codec.decode(coded, len(images)), flat(images))


def test_one_image_comes_back(vae):
    codec = BitsBack(vae, pixels=16)
    image = np.ones((1, 16), bool)
    np.testing.assert_array_equal(codec.decode(codec.encode(image), 1), image)


def test_with_the_exact_posterior_a_code_weighs_the_evidence(linear_gaussian):
    """Then log p(x|z) + log p(z) - log q(z|x) is log p(x) at every z: no noise is left."""
    model = linear_gaussian()
    x = model.draw(N)
    codec = BitsBack(model, pixels=4)
    coded = codec.encode(x)
    surprise = model.surprise(x)
    assert coded.content == pytest.approx(surprise, rel=2e-3)
    assert coded.net_bits == pytest.approx(surprise, rel=4e-3)
    np.testing.assert_array_equal(codec.decode(coded, N), x)


@pytest.mark.parametrize(("shift", "width"), [(0.6, 1.0), (0.0, 1.7), (-0.8, 0.6)])
def test_with_another_posterior_it_weighs_the_bound(linear_gaussian, shift, width):
    model = linear_gaussian(shift=shift, width=width)
    x = model.draw(N)
    coded = BitsBack(model, pixels=4).encode(x)
    bound = model.surprise(x) + N * model.divergence()
    assert coded.net_bits == pytest.approx(bound, rel=0.02)
    assert coded.net_bits > model.surprise(x) * 1.02


def test_too_few_bins_weigh_more(linear_gaussian):
    model = linear_gaussian()
    x = model.draw(N)
    assert BitsBack(model, pixels=4, bits=2).encode(x).net_bits > 1.02 * model.surprise(x)


def test_without_bits_back_a_code_weighs_too_much(linear_gaussian, monkeypatch):
    """The negative control: latents that are drawn from elsewhere are not paid back, and cost their entropy."""
    model = linear_gaussian()
    x = model.draw(N)
    paid = BitsBack(model, pixels=4).encode(x)
    elsewhere, pop = Stack(random_words(4 * N)), GaussianBins.pop
    monkeypatch.setattr(GaussianBins, "pop", lambda self, stack, q: pop(self, elsewhere, q))
    unpaid = BitsBack(model, pixels=4).encode(x)
    surprise = model.surprise(x)
    assert paid.net_bits == pytest.approx(surprise, rel=0.02)
    assert unpaid.bits > 1.3 * surprise
    assert unpaid.bits - surprise == pytest.approx(paid.back, rel=0.02)
    scale = model.exact(torch.zeros(1, 4, dtype=torch.float64))[1].detach().numpy()
    entropy = (0.5 * np.log2(2 * math.pi * math.e * scale**2)).sum()
    density = 0.5 * np.log2(2 * math.pi) + 0.5 / math.log(2)  # -log2 of the prior density, averaged over the prior
    assert paid.back / N == pytest.approx(entropy + 2 * (12 - density), rel=0.02)


@pytest.mark.parametrize("name", ["vae", "iwae"])
def test_any_model_weighs_its_bound(name, images, request):
    """One draw for each image, so the weight is a draw of a sum whose mean and variance are known."""
    model, x = request.getfixturevalue(name), np.tile(flat(images), (3, 1))
    coded = BitsBack(model, pixels=16, lanes=3).encode(x)
    with torch.no_grad():
        weights = model.log_weights(torch.from_numpy(x).float(), 500).total / -math.log(2)
    bound, spread = float(weights.mean(0).sum()), float(weights.var(0).sum().sqrt())
    assert abs(coded.content - bound) < 4.56 * spread
    assert abs(coded.net_bits - bound) < 4.56 * spread + 64
    assert coded.images + coded.latents - bound > 4.56 * spread  # the negative control: nothing comes back


def test_the_account_is_that_of_the_stack(vae, images):
    coded = BitsBack(vae, pixels=16).encode(flat(images))
    assert coded.content == pytest.approx(coded.images + coded.latents - coded.back)
    assert coded.latents == pytest.approx(12 * 3 * len(images))
    assert 0 <= coded.net_bits - coded.content < 64
    assert coded.bits - coded.net_bits == 32 * coded.initial


def test_the_first_image_finds_enough_on_the_stack(vae, images):
    codec = BitsBack(vae, pixels=16)
    coded = codec.encode(flat(images))
    stack = Stack(random_words(coded.initial))
    account = _Account(stack)
    codec._order(()).push(stack, flat(images)[-1:].astype(np.int32), account.book)
    assert account.lowest > 0
    assert coded.initial <= 3 * 12 / 32 + 3


def test_the_last_digits_of_the_networks_do_not_matter(vae, images):
    """Another machine rounds otherwise; outputs are rounded to a grid before numbers are made of them."""
    here = BitsBack(vae.double(), pixels=16)
    coded = here.encode(flat(images))
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(1 + 1e-15)
    there = BitsBack(vae, pixels=16)
    np.testing.assert_array_equal(there.decode(coded, len(images)), flat(images))
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(1 + 1e-2)  # the negative control
    with pytest.raises(ValueError, match="not what it was before the first image"):
        BitsBack(vae, pixels=16).decode(coded, len(images))


def test_the_model_is_left_as_it_was(vae, images):
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    vae.train()
    BitsBack(vae, pixels=16).encode(flat(images))
    assert vae.training
    assert all(value.dtype == torch.float32 and value.equal(before[name]) for name, value in vae.state_dict().items())


def test_later_groups_find_enough_on_the_stack_too(iwae, images):
    """The first group is the smallest where lanes do not divide the images, and leaves less than the next one needs."""
    codec, seen = BitsBack(iwae, pixels=16, bits=16, lanes=50), []
    coded = codec.encode(flat(images), progress=seen.append)
    assert 0 <= coded.net_bits - coded.content < 64
    assert sum(seen) == len(images)
    assert min(seen) < 0  # the negative control: what suffices for the first group does not for all
    np.testing.assert_array_equal(codec.decode(coded, len(images)), flat(images))


def test_progress_counts_every_image(vae, images):
    counts = []
    BitsBack(vae, pixels=16, lanes=7).encode(flat(images), progress=counts.append)
    assert sum(counts) == len(images)


def test_any_bernoulli_will_do(images):
    class Torch(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))

        def prior(self):
            return StandardNormal(self.weight.new_zeros(2))

        def posterior(self, x):
            return Independent(torch.distributions.Normal(x[..., :2] - 0.5, torch.ones(2).to(x)), 1)

        def likelihood(self, z):
            return Independent(Bernoulli(logits=z @ self.weight), 1)

    codec = BitsBack(Torch(), pixels=16)
    assert codec.levels == 2
    np.testing.assert_array_equal(codec.decode(codec.encode(flat(images)), len(images)), flat(images))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (np.zeros((3, 15), int), r"shape \(3, 15\); this model codes \(N, 16\)"),
        (np.zeros((0, 16), int), "N at least 1"),
        (np.zeros(16, int), "this model codes"),
        (np.full((2, 16), 2), "from 2 to 2; this model codes whole numbers from 0 to 1"),
        (np.full((2, 16), 0.5), "float64 values"),
        (np.full((2, 16), -1), "from -1 to -1"),
    ],
)
def test_images_that_the_model_cannot_code_are_refused(vae, wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        BitsBack(vae, pixels=16).encode(wrong)


def test_models_that_cannot_code_are_refused(vae):
    with pytest.raises(ValueError, match="Linear cannot code images: it has no prior"):
        BitsBack(nn.Linear(2, 2), pixels=2)
    grey = VAE(encoder=GaussianMLP(16, (4,), 2), decoder=ContinuousBernoulliMLP(2, (4,), 16), latent=2)
    with pytest.raises(ValueError, match="IndependentContinuousBernoulli: it gives pixels no probabilities"):
        BitsBack(grey, pixels=16)
    with pytest.raises(ValueError, match=r"images of shape \(16,\), not of 12 pixels|expects"):
        BitsBack(vae, pixels=12)
    with pytest.raises(ValueError, match="lanes must be at least 1, got 0"):
        BitsBack(vae, pixels=16, lanes=0)
    ladder = VAE(encoder=GaussianMLP(16, (4,), 2), decoder=BernoulliMLP(2, (4,), 16), latent=2)
    ladder.decoders = nn.ModuleList([ladder.decoder, GaussianMLP(2, (), 2)])
    with pytest.raises(ValueError, match="VAE cannot code images: 0 encoders, 2 decoders"):
        BitsBack(ladder, pixels=16)

    class Discrete(VAE):
        def posterior(self, x):
            return Independent(Bernoulli(logits=x[..., :2]), 1)

    discrete = Discrete(encoder=vae.encoder, decoder=vae.decoder, latent=3)
    with pytest.raises(ValueError, match="latents of Bernoulli cannot be coded"):
        BitsBack(discrete, pixels=16)

    class Wide(VAE):
        def prior(self):
            return DiagonalNormal(self.zero, self.zero + 1)

    with pytest.raises(ValueError, match="its prior is no standard Gaussian"):
        BitsBack(Wide(encoder=vae.encoder, decoder=vae.decoder, latent=3), pixels=16)


def test_layers_that_are_not_the_models_are_refused(vae, iwae, images):
    coded = BitsBack(iwae, pixels=16).encode(flat(images))
    with pytest.raises(ValueError, match="1 layers of latents with bins fitted to them, the model has 0"):
        BitsBack(vae, pixels=16).decode(coded, len(images))
