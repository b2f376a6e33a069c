"""What training and evaluation ask of a model, whichever it is."""

import math

import pytest
import torch
from torch.testing import assert_close

from jensen import bounds
from jensen.layers import BernoulliMLP, ContinuousBernoulliMLP, GaussianMLP
from jensen.models import IWAE, VAE

PIXELS = 6 * 5
HEADS = [
    BernoulliMLP,
    ContinuousBernoulliMLP,
    lambda *sizes: GaussianMLP(*sizes, scale="learned", bounded_mean=True),
]


def variational(head=BernoulliMLP):
    return VAE(encoder=GaussianMLP(PIXELS, (8,), 3), decoder=head(3, (8,), PIXELS), latent=3)


def one_layer(head=BernoulliMLP):
    return IWAE(encoders=[GaussianMLP(PIXELS, (8,), 3)], decoders=[head(3, (8,), PIXELS)], latents=[3])


def two_layers(head=BernoulliMLP):
    return IWAE(
        encoders=[GaussianMLP(PIXELS, (8,), 4), GaussianMLP(4, (8,), 2)],
        decoders=[head(4, (8,), PIXELS), GaussianMLP(2, (8,), 4)],
        latents=[4, 2],
    )


@pytest.fixture(params=[variational, one_layer, two_layers])
def make(request):
    torch.manual_seed(0)
    return request.param


@pytest.fixture
def x():
    return torch.bernoulli(torch.full((7, PIXELS), 0.3), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("head", HEADS)
def test_shapes_and_ranges(make, head, x):
    model = make(head)
    log_weights = model.log_weights(x, 5)
    for term in (*log_weights[:3], log_weights.total):
        assert term.shape == (5, 7)
        assert term.isfinite().all()
    for pixels, n in ((model.sample(9), 9), (model.reconstruct(x), 7)):
        assert pixels.shape == (n, PIXELS)
        assert ((pixels >= 0) & (pixels <= 1)).all()
        assert not pixels.requires_grad
        assert pixels.std(0).max() > 0
    for layer in model.latents(x, samples=3):
        assert layer.mean.shape == layer.kl.shape
        assert layer.mean.shape[0] == 7


def test_the_same_noise_gives_the_same_weights_and_other_noise_others(make, x):
    model = make()
    noise = model.noise(x, 5)
    first = model.log_weights(x, 5, noise=noise)
    assert torch.equal(first.total, model.log_weights(x, 5, noise=noise).total)
    assert not torch.equal(first.total, model.log_weights(x, 5).total)
    torch.manual_seed(4)
    drawn = model.log_weights(x, 5)
    torch.manual_seed(4)
    assert torch.equal(drawn.total, model.log_weights(x, 5, noise=model.noise(x, 5)).total)


def test_the_path_changes_no_value(make, x):
    model = make()
    noise = model.noise(x, 5)
    values = [model.log_weights(x, 5, noise=noise, path_derivative=flag)[:3] for flag in (False, True)]
    assert_close(*values, rtol=1e-5, atol=1e-4)


def test_the_encoder_runs_once_for_each_datum_whatever_the_number_of_samples(make, x):
    model = make()
    rows = []
    encoder = model.encoder if isinstance(model, VAE) else model.encoders[0]
    encoder.register_forward_hook(lambda module, arguments, output: rows.append(len(arguments[0])))
    for samples in (1, 50):
        model.log_weights(x, samples)
    assert rows == [7, 7]
    q = model.posterior(x)
    rows.clear()
    noise = model.noise(x, 5)
    given = model.log_weights(x, 5, noise=noise, posterior=q)
    assert rows == []
    assert torch.equal(given.total, model.log_weights(x, 5, noise=noise).total)


def test_a_given_posterior_is_the_one_that_is_drawn_from(make, x):
    model = make()
    q, noise = model.posterior(x.flip(0)), model.noise(x, 2)
    given = model.log_weights(x, 2, noise=noise, posterior=q)
    other = model.log_weights(x.flip(0), 2, noise=noise)
    assert torch.equal(given.log_prior, other.log_prior)
    assert not torch.equal(given.log_likelihood, other.log_likelihood)


def test_every_parameter_gets_a_gradient(make, x):
    for head in HEADS:
        model = make(head)
        bounds.iwae(model.log_weights(x, 3).total).sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_a_fixed_scale_gets_none(make, x):
    model = make(lambda *sizes: GaussianMLP(*sizes, scale=0.5))
    bounds.iwae(model.log_weights(x, 3).total).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert [name.endswith("log_scale") for name in without] == [True]


@pytest.mark.parametrize("samples", [0, -1])
def test_no_sample_is_refused(make, x, samples):
    model = make()
    with pytest.raises(ValueError, match=f"samples is {samples}; draw at least one"):
        model.log_weights(x, samples)
    with pytest.raises(ValueError, match=f"samples is {samples}; draw at least one"):
        model.log_weights(x, samples, noise=model.noise(x)[:0])


def test_noise_of_another_shape_is_refused(make, x):
    model = make()
    width = model.noise(x).shape[-1]
    for shape in [(4, 7, width), (5, 6, width), (5, 7, width + 1), (7, width)]:
        with pytest.raises(
            ValueError, match=rf"shape \({', '.join(map(str, shape))}\); expected .* = \(5, 7, {width}\)"
        ):
            model.log_weights(x, 5, noise=torch.zeros(shape))


def test_data_of_another_width_are_refused(make, x):
    with pytest.raises(ValueError, match=rf"shape \(7, 29\); this network expects \(\*batch, {PIXELS}\)"):
        make().log_weights(x[:, 1:])


def test_data_without_a_likelihood_are_refused_by_the_check(make, x):
    model = make()
    model.check(x)
    for bad, message in (
        (x[:, 1:], r"expects \(B, 30\)"),
        (x * math.nan, "nan"),
        (x * 255, r"scale the data to \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            model.check(bad)
    with pytest.warns(UserWarning, match="grey pixels") as caught:
        model.check(x / 2)
    assert caught[0].filename.endswith("test_contract.py")
    make(ContinuousBernoulliMLP).check(x / 2)


def test_a_state_dict_restores_every_number(make, x):
    first, second = make(), make()
    noise = first.noise(x, 3)
    assert not torch.equal(first.log_weights(x, 3, noise=noise).total, second.log_weights(x, 3, noise=noise).total)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.log_weights(x, 3, noise=noise).total, second.log_weights(x, 3, noise=noise).total)
    assert set(first.state_dict()) == {name for name, _ in first.named_parameters()}


def test_in_double_precision_everything_is(make, x):
    model, x = make().double(), x.double()
    log_weights = model.log_weights(x, 2, path_derivative=True)
    assert {term.dtype for term in (*log_weights[:3], *log_weights.path)} == {torch.float64}
    assert model.sample(2).dtype == model.reconstruct(x).dtype == torch.float64


def test_single_precision_keeps_the_nats(make, x):
    model = make()
    noise = model.noise(x, 20)
    single = bounds.iwae(model.log_weights(x, 20, noise=noise).total)
    double = bounds.iwae(model.double().log_weights(x.double(), 20, noise=noise.double()).total)
    assert_close(single.double(), double, atol=1e-4, rtol=0)


def test_log_weights_are_single_precision_under_autocast(make, x):
    model = make()
    noise = model.noise(x, 20)
    plain = model.log_weights(x, 20, noise=noise)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.log_weights(x, 20, noise=noise)
    assert {term.dtype for term in mixed[:3]} == {torch.float32}
    assert_close(bounds.iwae(mixed.total), bounds.iwae(plain.total), atol=0.3, rtol=0)


@pytest.mark.parametrize(("encoders", "decoders", "latents"), [(0, 0, 0), (1, 2, 1), (2, 1, 2), (2, 2, 1), (1, 1, 2)])
def test_layers_that_do_not_pair_up_are_refused(encoders, decoders, latents):
    layers = [GaussianMLP(3, (), 3) for _ in range(2)]
    with pytest.raises(ValueError, match=f"{encoders} encoders, {decoders} decoders, {latents} latent sizes"):
        IWAE(encoders=layers[:encoders], decoders=layers[:decoders], latents=[3] * latents)


def test_an_encoder_of_another_width_is_refused_even_if_it_would_broadcast(x):
    encoder, decoder = GaussianMLP(PIXELS, (), 3), BernoulliMLP(3, (), PIXELS)
    with pytest.raises(ValueError, match=r"noise has shape"):
        IWAE(encoders=[encoder], decoders=[decoder], latents=[1]).log_weights(x, 2)
    narrow = VAE(encoder=encoder, decoder=decoder, latent=1)
    for weigh in (narrow.log_weights, narrow.infer):
        with pytest.raises(ValueError, match=r"posterior has events of shape \(3,\); expected \(latent,\) = \(1,\)"):
            weigh(x, 2)


def test_a_decoder_of_another_width_is_refused_by_the_check(x):
    encoders = [GaussianMLP(PIXELS, (), 4), GaussianMLP(4, (), 2)]
    model = IWAE(encoders=encoders, decoders=[BernoulliMLP(4, (), PIXELS), GaussianMLP(2, (), 1)], latents=[4, 2])
    with pytest.raises(ValueError, match=r"decoders\[1\] returns events of shape \(1,\); expected \(4,\)"):
        model.check(x)


def test_samples_start_at_the_pixel_means():
    torch.manual_seed(0)
    mean = torch.linspace(0, 1, PIXELS)
    decoder = BernoulliMLP(3, (8,), PIXELS, mean=mean)
    model = VAE(encoder=GaussianMLP(PIXELS, (8,), 3), decoder=decoder, latent=3)
    assert_close(model.likelihood(torch.zeros(3)).mean, mean.clamp(0.001, 0.999), atol=1e-6, rtol=0)
    assert (model.sample(4000).mean(0) - mean).abs().max() < 0.1
