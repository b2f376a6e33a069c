"""Latents that are drawn from the top down, or step by step, each in the bins of its own prior."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent

from jensen.distributions import DiagonalNormal
from jensen.evaluation.coding import BitsBack, GaussianBins, Stream, compress, decompress, orders
from jensen.layers import BernoulliMLP, GaussianMLP, mlp
from jensen.models import DRAW, LadderVAE, ladder_vae

N = 60


def ladder_of(*sizes):
    up = [mlp([16, 12]), *(mlp([12, 12]) for _ in sizes[1:])]
    evidence = [GaussianMLP(12, (), size) for size in sizes]
    below = [GaussianMLP(above, (8,), size) for size, above in pairwise(sizes)]
    return LadderVAE(up=up, evidence=evidence, decoders=[BernoulliMLP(sizes[0], (12,), 16), *below], latents=sizes)


MODELS = {
    "two layers": lambda: ladder_of(5, 2),
    "three layers": lambda: ladder_of(4, 3, 2),
    "three steps": lambda: DRAW(shape=(4, 4), glimpses=3, hidden=12, latent=2),
    "attention": lambda: DRAW(shape=(4, 4), glimpses=3, hidden=12, latent=2, read=2, write=4, cell="gru"),
}


def made(name):
    torch.manual_seed(6)
    return MODELS[name]()


@pytest.fixture(params=MODELS)
def model(request):
    return made(request.param)


@pytest.fixture
def ladder():
    return made("two layers")


@pytest.fixture
def draw():
    return made("three steps")


@pytest.fixture(scope="module")
def rows():
    """One row of ones in four, and a pixel in twenty flipped."""
    noise = np.random.default_rng(0)
    row = np.arange(16) // 4 == noise.integers(0, 4, (64, 1))
    return (row ^ (noise.random((64, 16)) < 0.05)).astype(int)


@pytest.fixture(scope="module", params=MODELS)
def trained(request, rows):
    """A model after a few steps, in double precision."""
    model, x = made(request.param), torch.from_numpy(rows).float()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        (-model.log_weights(x).total.mean()).backward()
        optimizer.step()
    return model.double()


def flat(images):
    return images.reshape(len(images), -1)


@pytest.mark.parametrize(("lanes", "bits"), [(1, 12), (7, 16), (60, 1)])
def test_images_come_back(model, images, lanes, bits):
    x = flat(images)[:30]
    codec = BitsBack(model, pixels=16, bits=bits, lanes=lanes)
    coded = codec.encode(x)
    assert coded.moments == ()
    np.testing.assert_array_equal(codec.decode(coded, len(x)), x)
    assert 0 <= coded.net_bits - coded.content < 64


def test_with_the_exact_posterior_a_code_weighs_the_evidence(linear_gaussian_ladder):
    """Then the log-weight is log p(x) at all latents: no noise is left."""
    world = linear_gaussian_ladder
    x = world.draw(N)
    codec = BitsBack(world.model, pixels=4)
    coded = codec.encode(x)
    assert coded.content == pytest.approx(world.surprise(x), rel=2e-3)
    assert coded.net_bits == pytest.approx(world.surprise(x), rel=2e-3, abs=64)
    np.testing.assert_array_equal(codec.decode(coded, N), x)


def bins_of_a_standard_gaussian(bits, prior):
    return GaussianBins(bits)


def test_bins_of_a_standard_gaussian_weigh_its_divergence_more(linear_gaussian_ladder, monkeypatch):
    """The negative control: images come back from them, too, but layers are paid for as if they stood alone."""
    world = linear_gaussian_ladder
    x = world.draw(N)
    monkeypatch.setattr(orders, "GaussianBins", bins_of_a_standard_gaussian)
    codec = BitsBack(world.model, pixels=4, bits=16)
    coded = codec.encode(x)
    np.testing.assert_array_equal(codec.decode(coded, N), x)
    assert coded.content - world.surprise(x) == pytest.approx(N * world.divergence(), rel=0.1)


def drawn(codec, coded, count, monkeypatch):
    """The latents of all images in double precision, the first drawn first, `(count, D)` each."""
    found, centres = [], GaussianBins.centres

    def spy(self, indices):
        found.append(centres(self, indices))
        return found[-1]

    with monkeypatch.context() as patch:
        patch.setattr(GaussianBins, "centres", spy)
        codec.decode(coded, count)
    steps = len(codec._networks.widths)
    by_pass = [found[i : i + steps] for i in range(0, len(found), 2 * steps)]  # to generate, and again to infer
    return [torch.from_numpy(np.concatenate(each)) for each in zip(*by_pass, strict=True)]


def noise_of(model, x, latents):
    """The noise of these latents, as `infer` takes it."""
    left, noise = list(latents), []

    def choose(q, p):
        noise.append((left[0] - q.mean) / q.stddev)
        return left.pop(0)

    model.infer_stepwise(x, choose)
    return torch.cat(noise if hasattr(model, "glimpses") else noise[::-1], -1)[None]


@pytest.mark.parametrize("lanes", [1, 7])
def test_the_content_is_the_bound_at_the_latents_that_were_drawn(trained, rows, lanes, monkeypatch):
    codec = BitsBack(trained, pixels=16, lanes=lanes)
    coded = codec.encode(rows)
    x, latents = torch.from_numpy(rows).double(), drawn(codec, coded, len(rows), monkeypatch)
    with torch.no_grad():
        bound = -trained.infer(x, noise=noise_of(trained, x, latents)).log_weights.total.sum() / math.log(2)
        others = [each.roll(1, 0) for each in latents]  # the negative control: latents of another image
        wrong = -trained.infer(x, noise=noise_of(trained, x, others)).log_weights.total.sum() / math.log(2)
    assert coded.content == pytest.approx(float(bound), rel=2e-3)
    assert coded.content != pytest.approx(float(wrong), rel=2e-2)


def test_a_trained_model_weighs_its_bound(trained, rows):
    codec = BitsBack(trained, pixels=16)
    coded = codec.encode(rows)
    np.testing.assert_array_equal(codec.decode(coded, len(rows)), rows)
    with torch.no_grad():
        weights = trained.log_weights(torch.from_numpy(rows).double(), 200).total / -math.log(2)
    bound, spread = float(weights.mean(0).sum()), float(weights.var(0).sum().sqrt())
    assert abs(coded.content - bound) < 4.56 * spread
    assert abs(coded.net_bits - bound) < 4.56 * spread + 64
    assert 4.56 * spread < bound / 2
    assert coded.images + coded.latents > 2 * bound  # the negative control: nothing comes back


def test_a_decoder_that_forgets_the_layer_above_is_noticed(ladder, images, monkeypatch):
    stream, _ = compress(ladder, images)
    monkeypatch.setattr(ladder_vae, "merge", lambda said, p: said)
    with pytest.raises(ValueError, match=r"come out wrong|not what it was before the first image"):
        decompress(ladder, stream)


def test_a_decoder_with_other_bins_is_noticed(ladder, images, monkeypatch):
    stream, _ = compress(ladder, images)
    monkeypatch.setattr(orders, "GaussianBins", bins_of_a_standard_gaussian)
    with pytest.raises(ValueError, match=r"come out wrong|not what it was before the first image"):
        decompress(ladder, stream)


def test_streams_survive_and_damaged_ones_are_refused(model, images):
    written, _ = compress(model, images, bits=9, lanes=5)
    content = written.to_bytes()
    np.testing.assert_array_equal(decompress(model, Stream.from_bytes(content)), images)
    with pytest.raises(ValueError, match="truncated"):
        Stream.from_bytes(content[:-7])
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 4
    with pytest.raises(ValueError, match="damaged"):
        Stream.from_bytes(bytes(damaged))


def test_the_last_digits_of_the_networks_do_not_matter(model, images):
    x = flat(images)[:30]
    coded = BitsBack(model.double(), pixels=16).encode(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 1e-15)
    np.testing.assert_array_equal(BitsBack(model, pixels=16).decode(coded, len(x)), x)


def test_the_model_is_left_as_it_was(draw, images):
    before = {name: value.clone() for name, value in draw.state_dict().items()}
    draw.train()
    BitsBack(draw, pixels=16).encode(flat(images)[:3])
    assert draw.training
    assert all(value.dtype == torch.float32 and value.equal(before[name]) for name, value in draw.state_dict().items())


def test_moments_of_another_model_are_refused(iwae, ladder, images):
    coded = BitsBack(iwae, pixels=16).encode(flat(images))
    with pytest.raises(ValueError, match="1 layers of latents with bins fitted to them, the model has 0"):
        BitsBack(ladder, pixels=16).decode(coded, len(images))


def test_models_that_cannot_code_are_refused(ladder, draw):
    with pytest.raises(ValueError, match=r"images of shape \(16,\), not of 12 pixels"):
        BitsBack(ladder, pixels=12)
    with pytest.raises(ValueError, match=r"images of shape \(16,\), not of 12 pixels"):
        BitsBack(draw, pixels=12)

    class Discrete(nn.Module):
        def forward(self, d):
            return Independent(Bernoulli(logits=d), 1)

    grey = LadderVAE(
        up=[mlp([16, 4])], evidence=[GaussianMLP(4, (), 2)], decoders=[GaussianMLP(2, (), 16)], latents=[2]
    )
    with pytest.raises(ValueError, match="it gives pixels no probabilities"):
        BitsBack(grey, pixels=16)
    ladder.evidence[-1] = nn.Sequential(nn.Linear(12, 2), Discrete())
    with pytest.raises(ValueError, match="latents of Bernoulli cannot be coded; take a model of Gaussian latents"):
        BitsBack(ladder, pixels=16)


def test_a_prior_may_be_any_gaussian(images):
    """Bins are those of equal mass of the prior that the model tells."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))

        def prior(self):
            return DiagonalNormal(self.weight.new_full((2,), 3.0), self.weight.new_full((2,), 0.5))

        def likelihood(self, z):
            return Independent(Bernoulli(logits=z @ self.weight), 1)

        def generate_stepwise(self, choose):
            return self.likelihood(choose(self.prior()))

        def infer_stepwise(self, x, choose):
            return self.likelihood(choose(DiagonalNormal(x[..., :2] + 2.5, 0 * x[..., :2]), self.prior()))

    codec = BitsBack(Shifted(), pixels=16)
    coded = codec.encode(flat(images))
    np.testing.assert_array_equal(codec.decode(coded, len(images)), flat(images))
    assert coded.latents == pytest.approx(12 * 2 * len(images))
