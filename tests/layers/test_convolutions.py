from math import prod

import pytest
import torch
from torch.testing import assert_close

from jensen import bounds
from jensen.layers import BernoulliMLP, ConvolutionalDecoder, ConvolutionalEncoder, GaussianMLP, PixelHead
from jensen.layers.convolutions import ResidualBlock, halved
from jensen.models import VAE

SHAPES = [(8, 8), (28, 28), (32, 32, 3), (28, 20), (5, 7), (1, 3)]


def autoencoder(shape, likelihood="bernoulli", *, channels=(4, 6), latent=3, **numbers):
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder(shape, channels, hidden=10, latent=latent)
    decoder = ConvolutionalDecoder(PixelHead(likelihood, shape, **numbers), channels, hidden=10, latent=latent)
    return VAE(encoder=encoder, decoder=decoder, latent=latent)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_of_any_size_have_a_bound_and_every_parameter_a_gradient(shape, dtype):
    vae = autoencoder(shape, channels=(4, 6, 8)).to(dtype)
    x = torch.bernoulli(torch.full((5, prod(shape)), 0.3, dtype=dtype))
    vae.check(x)
    bound = bounds.iwae(vae.log_weights(x, 3).total)
    assert (bound.shape, bound.dtype) == ((5,), dtype)
    bound.sum().backward()
    grads = [p.grad for p in vae.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)
    assert (vae.sample(2).shape, vae.reconstruct(x).shape) == ((2, prod(shape)), (5, prod(shape)))


@pytest.mark.parametrize(
    ("likelihood", "numbers"),
    [
        ("gaussian", {"scale": "conditional"}),
        ("continuous_bernoulli", {}),
        ("discretized_logistic", {"levels": 256}),
        ("discretized_logistic_mixture", {"levels": 256, "mixtures": 3}),
    ],
)
def test_colour_images_have_a_bound_under_every_likelihood(likelihood, numbers):
    vae = autoencoder((6, 5, 3), likelihood, **numbers)
    x = torch.randint(0, 256, (4, 90)) / 255
    vae.check(x)
    inference = vae.infer(x, 2)
    assert inference.log_weights.total.shape == (2, 4)
    inference.log_weights.total.sum().backward()
    assert all(p.grad.isfinite().all() for p in vae.parameters())


def test_an_image_is_told_of_by_itself_alone():
    vae = autoencoder((9, 6))
    x = torch.bernoulli(torch.full((4, 54), 0.4))
    assert_close(vae.encoder(x).loc[2], vae.encoder(x[2:3]).loc[0])
    z = torch.randn(5, 4, 3)
    assert_close(vae.likelihood(z).logits[3, 1], vae.likelihood(z[3, 1]).logits)


def test_rows_and_columns_are_not_mixed_up():
    """One bright pixel of a flat image reaches the part of the smallest map that lies over it, and no other."""
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder((16, 8), (2, 2), hidden=4, latent=2).double()
    for row, column in ((0, 0), (0, 7), (15, 0), (8, 4)):
        x = torch.zeros(128, dtype=torch.float64)
        x[row * 8 + column] = 1.0
        maps = [encoder.stages(image.reshape(1, 16, 8, 1).permute(0, 3, 1, 2)) for image in (x, 0 * x)]
        moved = (maps[0] - maps[1]).abs().sum((0, 1)) > 0
        places = moved.nonzero() - torch.tensor([row // 4, column // 4])
        assert places.abs().max() <= 2
        assert moved.sum() < moved.numel()


def test_moved_images_have_moved_maps():
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder((32, 32, 2), (3, 4), hidden=4, latent=2).double()
    x = torch.zeros(1, 2, 32, 32, dtype=torch.float64)
    x[..., 10:16, 12:18] = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    blank = encoder.stages(0 * x)
    here, there, between = (encoder.stages(x.roll((s, 4), (2, 3))) - blank for s in (0, 4, 3))
    assert here.abs().max() > 0.1
    assert_close(there, here.roll(1, 2))
    assert not torch.allclose(between, here.roll(1, 2)), "moved by another number than the stride"


def test_channels_come_last_in_flat_images():
    vae = autoencoder((4, 4, 3))
    with torch.no_grad():
        vae.decoder.head.start.copy_(torch.tensor([-20.0, 0.0, 20.0]).expand(16, 3))
    red, _, blue = vae.sample(2).reshape(2, 4, 4, 3).unbind(-1)
    assert (red < 0.01).all()
    assert (blue > 0.99).all()


def test_a_block_starts_as_the_identity():
    h = torch.randn(2, 3, 5, 4)
    assert torch.equal(ResidualBlock(3)(h), h)


def test_a_perceptron_is_what_a_convolution_of_one_pixel_is():
    """Sizes down to one pixel: `halved` never goes below one."""
    assert halved((3, 1), 3) == [(3, 1), (2, 1), (1, 1), (1, 1)]


@pytest.mark.slow
def test_at_equal_steps_it_learns_translated_shapes_better_than_a_perceptron():
    torch.manual_seed(0)
    corner = torch.randint(0, 9, (2000, 2))
    x = torch.zeros(2000, 12, 12)
    for image, (i, j) in zip(x, corner.tolist(), strict=True):
        image[i : i + 3, j : j + 3] = torch.tensor([[1.0, 1, 1], [1, 0, 0], [1, 0, 0]])
    x = x.flatten(1)
    perceptron = VAE(encoder=GaussianMLP(144, (64,), 3), decoder=BernoulliMLP(3, (64,), 144), latent=3)
    found = []
    for vae in (autoencoder((12, 12), channels=(8, 16)), perceptron):
        optimizer = torch.optim.Adam(vae.parameters(), 3e-3)
        for _ in range(600):
            optimizer.zero_grad()
            (-bounds.elbo(vae.log_weights(x[torch.randint(0, 2000, (64,))]).total).mean()).backward()
            optimizer.step()
        found.append(bounds.elbo(vae.log_weights(x).total).mean().item())
    assert found[0] > found[1] + 4


def test_bad_sizes_and_shapes_are_refused():
    with pytest.raises(ValueError, match="one positive number for each stage"):
        ConvolutionalEncoder((8, 8), (), hidden=4, latent=2)
    with pytest.raises(ValueError, match="hidden is 0"):
        ConvolutionalEncoder((8, 8), (4,), hidden=0, latent=2)
    with pytest.raises(ValueError, match=r"shape is \(8,\)"):
        ConvolutionalEncoder((8,), (4,), hidden=4, latent=2)
    encoder = ConvolutionalEncoder((8, 8), (4,), hidden=4, latent=2)
    with pytest.raises(ValueError, match=r"expected \(\*batch, 64\)"):
        encoder(torch.zeros(3, 8, 8))
    decoder = ConvolutionalDecoder(PixelHead("bernoulli", (8, 8)), (4,), hidden=4, latent=2)
    with pytest.raises(ValueError, match=r"expected \(\*batch, 2\)"):
        decoder(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="latent is 0"):
        ConvolutionalDecoder(PixelHead("bernoulli", (8, 8)), (4,), hidden=4, latent=0)
