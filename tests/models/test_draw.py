"""DRAW on instances small enough to integrate over every draw, beside its equations written out, and its contract."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.func import functional_call
from torch.testing import assert_close

from jensen import bounds
from jensen._contracts import LogWeights
from jensen.distributions import DiagonalNormal, IndependentBernoulli
from jensen.layers.filterbanks import filterbank, window
from jensen.models import DRAW

TINY = {
    "whole, lstm": {},
    "whole, gru": {"cell": "gru"},
    "attention, lstm": {"read": 1, "write": 2},
    "attention, gru": {"read": 2, "write": 1, "cell": "gru"},
    "read alone": {"read": 2},
    "write alone": {"write": 2},
}


def build(*, seed=0, spread=1.0, **options):
    """A model in double precision, its weights large enough that every part of it matters.

    Its posteriors are wider than the prior, so that weights are bounded and quadrature over the noise converges.
    """
    torch.manual_seed(seed)
    model = DRAW(**{"shape": (1, 2), "glimpses": 2, "hidden": 3, "latent": 1, **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(spread).add_(0.3 * torch.randn_like(parameter))
        for part, linear in ((model.reader, "window"), (model.writer, "stroke")):
            if hasattr(part, linear):  # gentle windows
                getattr(part, linear).bias[:5] = 0.0
                getattr(part, linear).weight[:5] *= 0.5
        model.statistics.weight[model.latent :] *= 0.05
        model.statistics.bias[model.latent :] = 0.3
    return model


@pytest.fixture(params=TINY.values(), ids=TINY)
def tiny(request):
    return build(**request.param)


@pytest.fixture
def every_image():
    return torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)


@pytest.fixture
def log_evidence(quadrature):
    """log p(x) by quadrature over the prior: the encoder takes no part."""

    def of(model, x, n=40):
        z, weight = quadrature(model.width, n)
        return (weight.log().unsqueeze(-1) + model.likelihood(z.unsqueeze(1)).log_prob(x)).logsumexp(0)

    return of


class TestBound:
    def test_the_images_have_probability_one(self, tiny, every_image, log_evidence):
        assert_close(log_evidence(tiny, every_image).exp().sum().item(), 1.0, rtol=1e-12, atol=0)

    def test_the_weights_have_the_evidence_as_expectation(self, tiny, every_image, log_evidence, every_draw):
        log_weights, weight = every_draw(tiny, every_image, n=90)
        assert_close(weight @ log_weights.total.exp(), log_evidence(tiny, every_image).exp(), rtol=1e-5, atol=0)

    def test_weights_of_one_noise_in_all_steps_are_caught(self, every_image, log_evidence, quadrature):
        model = build()
        epsilon, weight = quadrature(1, 60)
        noise = epsilon.expand(-1, 2).unsqueeze(1).expand(-1, 4, -1)
        found = weight @ model.log_weights(every_image, 60, noise=noise).total.exp()
        assert (found - log_evidence(model, every_image).exp()).abs().max() > 0.01

    def test_a_prior_of_the_last_step_alone_is_caught(self, every_image, log_evidence, every_draw):
        model = build()
        log_weights, weight = every_draw(model, every_image, n=60)
        wrong = log_weights.total - log_weights.log_prior / 2
        assert ((weight @ wrong.exp()) / log_evidence(model, every_image).exp() - 1).abs().min() > 0.1

    def test_it_rises_with_every_sample_and_stays_below_the_evidence(self, tiny, every_image, log_evidence, every_draw):
        log_weights, weight = every_draw(tiny, every_image, n=9)
        log_w = log_weights.total  # (81, 4)
        one = weight @ log_w
        pairs = torch.logaddexp(log_w.unsqueeze(0), log_w.unsqueeze(1))
        two = torch.einsum("i,j,ijb->b", weight, weight, pairs) - math.log(2)
        triples = torch.logaddexp(pairs.unsqueeze(0), log_w[:, None, None])
        three = torch.einsum("i,j,k,ijkb->b", weight, weight, weight, triples) - math.log(3)
        evidence = log_evidence(tiny, every_image)
        assert (one < two).all()
        assert (two < three).all()
        assert (three < evidence).all()

    def test_importance_sampling_finds_the_evidence(self, tiny, every_image, log_evidence):
        torch.manual_seed(3)
        w = tiny.log_weights(every_image, 20_000).total.exp()
        z = (w.mean(0) - log_evidence(tiny, every_image).exp()) / (w.std(0) / math.sqrt(len(w)))
        assert (z.abs() < 4.56).all()


class TestDivergence:
    @pytest.fixture(params=[{}, {"read": 1, "write": 2}])
    def model(self, request):
        return build(latent=2, **request.param)

    def exact(self, model, x, quadrature, n=12):
        noise, weight = quadrature(model.width, n)
        inference = model.infer(x, len(noise), noise=noise.unsqueeze(1).expand(-1, len(x), -1))
        log_weights = inference.log_weights
        return weight @ (log_weights.log_posterior - log_weights.log_prior), weight @ inference.kl

    def test_its_mean_over_paths_is_that_of_its_definition(self, model, every_image, quadrature):
        by_definition, closed = self.exact(model, every_image, quadrature)
        assert (closed > 0.05).all()
        assert_close(closed, by_definition, rtol=1e-6, atol=0)

    def test_the_printed_constant_is_caught(self, model, every_image, quadrature):
        """-T / 2 in place of -T d / 2."""
        by_definition, closed = self.exact(model, every_image, quadrature)
        T, d = model.glimpses, model.latent
        printed = closed + T * d / 2 - T / 2
        assert_close(printed - by_definition, torch.full_like(printed, T * (d - 1) / 2), rtol=1e-5, atol=0)

    def test_each_step_is_that_of_torch_given_the_path(self, model, every_image):
        inference = model.infer(every_image, 5)
        q = model(every_image, torch.cat(inference.latents, -1))
        theirs = Independent(Normal(q.mean, q.stddev), 1)
        prior = Independent(Normal(torch.zeros_like(q.mean), 1.0), 1)
        assert_close(inference.kl, kl_divergence(theirs, prior).sum(0))

    def test_units_know_their_share(self, model, every_image):
        torch.manual_seed(1)
        kl = model.infer(every_image, 7).kl.mean(0)
        torch.manual_seed(1)
        layers = model.latents(every_image, 7)
        assert [layer.kl.shape for layer in layers] == [layer.mean.shape for layer in layers] == [(4, 2)] * 2
        assert_close(sum(layer.kl.sum(-1) for layer in layers), kl)

    def test_a_negative_divergence_is_never_found(self, model, every_image):
        assert (model.infer(every_image, 50).kl > 0).all()


def by_the_book(model, x, noise, *, shape, options):
    """Eqs. 3 to 8 a step at a time, the encoder's input laid out whole, torch's own cells, one draw of each datum."""
    B, H, C = len(x), model.feedback.in_features, shape[2]
    gru = options.get("cell") == "gru"
    enc, dec = model.encoder, model.decoder
    if "read" in options:
        W_r, b = model.reader.patch.weight, model.reader.patch.bias
    else:
        W_r, b = torch.cat([model.reader.image.weight, model.reader.error.weight], 1), model.reader.image.bias
    cells = []
    for cell, W, bias in (
        (enc, torch.cat([W_r, model.feedback.weight], 1), b),
        (dec, model.message.weight, model.message.bias),
    ):
        theirs = (nn.GRUCell if gru else nn.LSTMCell)(W.shape[1], H).double()
        theirs.weight_ih.data, theirs.bias_ih.data, theirs.weight_hh.data = W, bias, cell.recurrent.weight
        theirs.bias_hh.data = cell.recurrent.bias if gru else torch.zeros_like(bias)
        cells.append(theirs)
    c = model.canvas.expand(B, -1)
    states = [s.start(B)[0] if gru else s.start(B) for s in (enc, dec)]
    kl, log_q, log_p = 0.0, 0.0, 0.0

    def filters(linear, h, N):
        where = window(linear(h), shape=shape, size=N)
        return filterbank(where, shape=shape, size=N), where.log_intensity.exp().reshape(-1, 1, 1, 1)

    for epsilon in noise.chunk(model.glimpses, -1):
        h_dec = states[1] if gru else states[1][0]
        pair = torch.stack([x, x - torch.sigmoid(c)], 1)
        if "read" in options:
            F, gamma = filters(model.reader.window, h_dec, options["read"])
            images = pair.reshape(B, 2, *shape)
            r = gamma.unsqueeze(-1) * torch.einsum("bnh,bshwc,bmw->bnsmc", F.y, images, F.x)
        else:
            r = torch.cat([x, x - torch.sigmoid(c)], -1)
        states[0] = cells[0](torch.cat([r.flatten(1), h_dec], -1), states[0])
        mean, log_scale = model.statistics(states[0] if gru else states[0][0]).chunk(2, -1)
        z = mean + log_scale.exp() * epsilon
        log_q = log_q + Normal(mean, log_scale.exp()).log_prob(z).sum(-1)
        log_p = log_p + Normal(0.0, 1.0).log_prob(z).sum(-1)
        kl = kl + 0.5 * (mean**2 + (2 * log_scale).exp() - 2 * log_scale - 1).sum(-1)
        states[1] = cells[1](z, states[1])
        h_dec = states[1] if gru else states[1][0]
        if "write" in options:
            F, gamma = filters(lambda h: model.writer.stroke(h)[:, :5], h_dec, options["write"])
            w = model.writer.stroke(h_dec)[:, 5:].reshape(B, options["write"], options["write"], C)
            c = c + (torch.einsum("bnh,bnmc,bmw->bhwc", F.y, w, F.x) / gamma).flatten(1)
        else:
            c = c + model.writer(h_dec)
    return c, log_p, log_q, kl


@pytest.mark.parametrize("options", TINY.values(), ids=TINY)
@pytest.mark.parametrize("shape", [(5, 4, 1), (4, 5, 3)])
def test_a_pass_is_the_equations_written_out(options, shape):
    model = build(shape=shape, glimpses=3, hidden=6, latent=2, **options)
    x = torch.bernoulli(torch.full((4, math.prod(shape)), 0.4, dtype=torch.float64))
    noise = model.noise(x, 1)
    found = model.infer(x, noise=noise)
    c, log_p, log_q, kl = by_the_book(model, x, noise[0], shape=shape, options=options)
    assert_close(found.likelihood.logits[0], c, rtol=1e-10, atol=1e-10)
    assert_close(found.log_weights.log_likelihood[0], IndependentBernoulli(c).log_prob(x), rtol=1e-10, atol=0)
    assert_close(found.log_weights.log_prior[0], log_p, rtol=1e-10, atol=0)
    assert_close(found.log_weights.log_posterior[0], log_q, rtol=1e-10, atol=0)
    assert_close(found.kl[0], kl, rtol=1e-10, atol=0)


@pytest.mark.parametrize("options", TINY.values(), ids=TINY)
def test_every_draw_of_every_datum_goes_its_own_way(options):
    """As many draws as data, so that axes that changed places would not be noticed by their shapes."""
    model = build(shape=(3, 3), glimpses=3, hidden=4, latent=2, **options)
    x = torch.bernoulli(torch.full((5, 9), 0.5, dtype=torch.float64))
    noise = model.noise(x, 5)
    together = model.infer(x, 5, noise=noise)
    for k, b in itertools.product(range(5), range(5)):
        alone = model.infer(x[b : b + 1], 1, noise=noise[k : k + 1, b : b + 1])
        for one, all_of_them in zip(alone.log_weights[:3], together.log_weights[:3], strict=True):
            assert_close(one[0, 0], all_of_them[k, b])
        assert_close(alone.kl[0, 0], together.kl[k, b])
        assert_close(alone.latents[2][0, 0], together.latents[2][k, b])
        assert_close(alone.likelihood.mean[0, 0], together.likelihood.mean[k, b])


def test_a_step_feels_the_noise_of_its_own_and_earlier_steps_alone():
    model = build(glimpses=3, latent=2)
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    noise = model.noise(x)
    plain = model.infer(x, noise=noise).latents
    for t in range(3):
        changed = noise.clone()
        changed[..., 2 * t : 2 * t + 2] += 1.0
        moved = [(a - b).abs().min() > 0 for a, b in zip(plain, model.infer(x, noise=changed).latents, strict=True)]
        assert moved == [step >= t for step in range(3)]


def test_stepwise_the_same_latents_make_the_same_pass(tiny, every_image):
    noise = tiny.noise(every_image)
    inference = tiny.infer(every_image, noise=noise)
    epsilon, log_q, log_p, chosen = list(noise[0].split(tiny.latent, -1)), [], [], []

    def draw(q, p):
        chosen.append(q.from_noise(epsilon.pop(0)))
        log_q.append(q.log_prob(chosen[-1]))
        log_p.append(p.log_prob(chosen[-1]))
        return chosen[-1]

    likelihood = tiny.infer_stepwise(every_image, draw)
    assert_close(likelihood.mean, inference.likelihood.mean[0])
    assert_close(sum(log_q), inference.log_weights.log_posterior[0])
    assert_close(sum(log_p), inference.log_weights.log_prior[0])
    left = chosen[::-1]
    assert_close(tiny.generate_stepwise(lambda p: left.pop()).mean, likelihood.mean, rtol=0, atol=0)
    wrong = list(chosen)  # the negative control: the last step first
    assert not torch.allclose(tiny.generate_stepwise(lambda p: wrong.pop()).mean, likelihood.mean)


def test_generation_asks_no_encoder(tiny, every_image):
    found = tiny.infer(every_image, 6)
    z = torch.cat(found.latents, -1)
    assert_close(tiny.likelihood(z).mean, found.likelihood.mean)
    assert_close(tiny.prior().log_prob(z), found.log_weights.log_prior)
    before = tiny.likelihood(z).mean
    with torch.no_grad():
        for module in (tiny.encoder, tiny.reader, tiny.feedback, tiny.statistics):
            for parameter in module.parameters():
                parameter.add_(1.0)
    assert torch.equal(tiny.likelihood(z).mean, before)
    assert not torch.allclose(tiny.infer(every_image, 6).kl, found.kl)


def test_gradients_are_those_of_differences(tiny, every_image):
    noise = tiny.noise(every_image, 2)
    names, parameters = zip(*tiny.named_parameters(), strict=True)

    class Pass(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = tiny

        def forward(self, x):
            found = self.model.infer(x, 2, noise=noise)
            return found.log_weights.total, found.kl

    def through(*parameters):
        named = {f"model.{name}": value for name, value in zip(names, parameters, strict=True)}
        return functional_call(Pass(), named, (every_image,))

    copies = [parameter.detach().clone().requires_grad_() for parameter in parameters]
    assert torch.autograd.gradcheck(through, copies, fast_mode=True)


class TestPath:
    """Gradients that reach the posterior through the draws alone, their expectations over every pair of draws."""

    @staticmethod
    def expected_gradient(model, x, bound, *, quadrature, samples, n):
        noise, weight = quadrature(samples * model.width, n)
        rows = x.repeat_interleave(len(noise), 0)
        noise = noise.repeat(len(x), 1).unflatten(1, (samples, model.width)).transpose(0, 1)
        value = (bound(model, rows, noise).reshape(len(x), -1) @ weight).sum()
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])

    @staticmethod
    def total(model, x, noise):
        return bounds.iwae(model.log_weights(x, len(noise), noise=noise).total)

    @staticmethod
    def along_the_path(model, x, noise):
        return bounds.dreg(model.log_weights(x, len(noise), noise=noise, path_derivative=True))

    @staticmethod
    def forgetful(model, x, noise):
        """A posterior that is held constant together with what it owes to the draws of earlier steps."""
        path = tuple(z.view_as(z) for z in model.infer(x, len(noise), noise=noise).latents)
        z = torch.cat(path, -1)
        log_q = model(x, z).detached().log_prob(torch.stack(path)).sum(0)
        return bounds.dreg(LogWeights(model.likelihood(z).log_prob(x), model.prior().log_prob(z), log_q, path))

    @pytest.mark.parametrize("options", [{}, {"read": 1, "write": 2, "cell": "gru"}])
    @pytest.mark.parametrize(("samples", "n"), [(1, 40), (2, 14)])
    def test_they_have_the_expectation_of_the_total_one(self, options, samples, n, every_image, quadrature):
        rule = {"quadrature": quadrature, "samples": samples, "n": n}
        model, x = build(spread=0.8, **options), every_image[1:3]
        expected = self.expected_gradient(model, x, self.total, **rule)
        assert_close(self.expected_gradient(model, x, self.along_the_path, **rule), expected, rtol=1e-3, atol=1e-4)

    def test_posteriors_that_forget_the_draws_before_them_are_caught(self, every_image, quadrature):
        model, x, rule = build(), every_image[1:3], {"quadrature": quadrature, "samples": 2, "n": 12}
        expected, wrong = (self.expected_gradient(model, x, b, **rule) for b in (self.total, self.forgetful))
        with pytest.raises(AssertionError, match="not close"):
            assert_close(wrong, expected, rtol=1e-3, atol=1e-4)

    def test_it_changes_no_value(self, tiny, every_image):
        noise = tiny.noise(every_image, 3)
        values = [tiny.log_weights(every_image, 3, noise=noise, path_derivative=flag)[:3] for flag in (False, True)]
        assert_close(*values)


def gaussian(canvas):
    """Mean and log-scale of each value, beside each other as channels."""
    mean, log_scale = canvas.unflatten(-1, (-1, 2)).unbind(-1)
    return DiagonalNormal(torch.sigmoid(mean), log_scale, validate_args=False)


class TestContract:
    @pytest.fixture(
        params=[
            {},
            {"read": 2, "write": 3, "cell": "gru"},
            {"shape": (4, 6, 3), "read": 3, "write": 2},
            {"shape": (4, 6, 3), "write": 2, "channels": 6, "likelihood": gaussian},
            {"shape": (4, 6, 1), "glimpses": 2, "channels": 2, "likelihood": gaussian},
        ]
    )
    def model(self, request):
        torch.manual_seed(0)
        return DRAW(**{"shape": (6, 5), "glimpses": 4, "hidden": 8, "latent": 3, **request.param})

    @pytest.fixture
    def x(self, model):
        pixels = model.likelihood(model.zero).event_shape[0]
        return torch.bernoulli(torch.full((7, pixels), 0.3), generator=torch.Generator().manual_seed(2))

    def test_shapes_and_ranges(self, model, x):
        found = model.infer(x, 5)
        for term in (*found.log_weights[:3], found.kl):
            assert term.shape == (5, 7)
            assert term.isfinite().all()
        assert [z.shape for z in found.latents] == [(5, 7, 3)] * model.glimpses
        assert found.likelihood.batch_shape == (5, 7)
        assert_close(found.likelihood.log_prob(x), found.log_weights.log_likelihood)
        assert model(x, torch.cat(found.latents, -1)).batch_shape == (model.glimpses, 5, 7)
        assert model.likelihood(model.prior().sample((2, 3))).batch_shape == (2, 3)
        for pixels, n in ((model.sample(9), 9), (model.reconstruct(x), 7)):
            assert pixels.shape == (n, x.shape[1])
            assert ((pixels >= 0) & (pixels <= 1)).all()
            assert not pixels.requires_grad

    def test_the_same_seed_gives_the_same_film_and_picture(self, model, x):
        for film, picture, given in ((model.imagine, model.sample, 6), (model.redraw, model.reconstruct, x)):
            torch.manual_seed(3)
            drawing = film(given)
            torch.manual_seed(3)
            assert_close(drawing.canvases[-1], picture(given))
            assert drawing.canvases.shape[0] == model.glimpses

    def test_a_film_knows_where_it_looked_and_wrote(self, x, model):
        attentive = {"read": model.read is not None, "write": model.write is not None}
        imagined, redrawn = model.imagine(3), model.redraw(x)
        assert imagined.looked is None
        assert imagined.patches is None
        for drawing, n in ((imagined, 3), (redrawn, 7)):
            assert (drawing.written is not None) == attentive["write"]
            assert drawing.written is None or [w.stride.shape for w in drawing.written] == [(n,)] * model.glimpses
        assert (redrawn.looked is not None) == (redrawn.patches is not None) == attentive["read"]
        if redrawn.patches is not None:
            N, C = model.reader.size, model.reader.shape[2]
            assert redrawn.patches.shape == (model.glimpses, 7, N, N, C)

    def test_the_same_noise_gives_the_same_weights_and_other_noise_others(self, model, x):
        noise = model.noise(x, 5)
        first = model.log_weights(x, 5, noise=noise)
        assert torch.equal(first.total, model.log_weights(x, 5, noise=noise).total)
        assert not torch.equal(first.total, model.log_weights(x, 5).total)

    def test_every_parameter_gets_a_gradient(self, model, x):
        found = model.infer(x, 2)
        bounds.sgvb_b(found.log_weights.log_likelihood, found.kl.mean(0)).sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []

    def test_a_state_dict_restores_every_number(self, model, x):
        noise = model.noise(x, 3)
        expected = model.log_weights(x, 3, noise=noise).total
        saved = {name: value.clone() for name, value in model.state_dict().items()}
        assert set(saved) == {name for name, _ in model.named_parameters()}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        assert not torch.equal(model.log_weights(x, 3, noise=noise).total, expected)
        model.load_state_dict(saved)
        assert torch.equal(model.log_weights(x, 3, noise=noise).total, expected)

    def test_single_precision_keeps_the_nats(self, model, x):
        noise = model.noise(x, 3)
        single = model.log_weights(x, 3, noise=noise).total
        double = model.double().log_weights(x.double(), 3, noise=noise.double()).total
        assert double.dtype == torch.float64
        assert_close(single.double(), double, atol=2e-4, rtol=2e-6)

    def test_log_weights_are_single_precision_under_autocast(self, model, x):
        noise = model.noise(x, 20)
        plain = model.log_weights(x, 20, noise=noise)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model.log_weights(x, 20, noise=noise)
        assert {term.dtype for term in mixed[:3]} == {torch.float32}
        assert_close(bounds.iwae(mixed.total), bounds.iwae(plain.total), atol=0.5, rtol=0.01)

    def test_data_without_a_likelihood_are_refused_by_the_check(self, model, x):
        model.check(x)
        with pytest.raises(ValueError, match=r"this model expects \(B, "):
            model.check(x[:, 1:])

    def test_images_and_latents_of_another_size_are_refused(self, model, x):
        B, pixels = x.shape
        for wrong in (x[:, 1:], torch.cat([x, x], 1), x[0], x.unsqueeze(0), x.reshape(B, *model.shape)):
            with pytest.raises(ValueError, match=rf"the images have shape .*; expected \(B, {pixels}\), flat as"):
                model.infer(wrong)
            with pytest.raises(ValueError, match="the images have shape"):
                model.redraw(wrong)
        z = model.prior().sample((6,))
        for wrong in (z[:, 1:], torch.cat([z, z], 1), torch.tensor(0.0)):
            with pytest.raises(ValueError, match=rf"the latents have shape .*; expected \(\*batch, {model.width}\)"):
                model.likelihood(wrong)

    @pytest.mark.parametrize("samples", [0, -1])
    def test_no_sample_is_refused(self, model, x, samples):
        with pytest.raises(ValueError, match=f"samples is {samples}; draw at least one"):
            model.log_weights(x, samples)

    def test_noise_of_another_shape_is_refused(self, model, x):
        with pytest.raises(ValueError, match=rf"expected .* = \(2, 7, {model.width}\)"):
            model.log_weights(x, 2, noise=torch.zeros(2, 7, model.width + 1))


def test_the_first_canvas_starts_where_it_is_told():
    canvas = torch.linspace(-2, 2, 30)
    model = DRAW(shape=(6, 5), glimpses=2, hidden=4, latent=2, canvas=canvas)
    assert_close(model.canvas.detach(), canvas)
    nn.init.zeros_(model.writer.weight)
    assert_close(model.sample(2), torch.sigmoid(canvas).expand(2, -1))


def test_windows_begin_over_the_whole_image_and_paint_what_the_patch_says():
    model = DRAW(shape=(28, 28), glimpses=1, hidden=4, latent=2, read=5, write=5)
    for part, linear in ((model.reader, model.reader.window), (model.writer, model.writer.stroke)):
        nn.init.zeros_(linear.weight)
        where = part.where(torch.zeros(1, 4))
        assert [each.item() for each in where[:3]] == [14.5, 14.5, 27 / 4]
        assert_close(where.log_variance.exp().sqrt(), where.stride / 2)
    model.writer.stroke.bias.data[5 + 12] = 1.0  # the middle of the patch
    painted = model.writer(torch.zeros(1, 4)).reshape(28, 28)
    assert_close(painted.max().item(), 1.0, atol=0.03, rtol=0)
    assert painted.argmax().item() in {13 * 28 + 13, 13 * 28 + 14, 14 * 28 + 13, 14 * 28 + 14}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (6,)}, r"shape is \(height, width\) or \(height, width, channels\)"),
        ({"shape": (6, 0)}, "each at least 1"),
        ({"glimpses": 0}, "glimpses is 0; it must be at least 1"),
        ({"latent": 0}, "latent is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"read": 0}, "read is 0"),
        ({"write": -1}, "write is -1"),
        ({"channels": 0}, "channels is 0"),
        ({"cell": "rnn"}, "unknown cell 'rnn'"),
        ({"canvas": torch.zeros(3)}, r"canvas has shape \(3,\); expected \(30,\), flat as \(6, 5, 1\)"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DRAW(**{"shape": (6, 5), "glimpses": 2, "hidden": 4, "latent": 2, **wrong})


@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param("inductor", marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]),
    ],
)
@pytest.mark.usefixtures("validation")
@pytest.mark.parametrize("options", [{}, {"read": 2, "write": 3, "cell": "gru"}])
def test_a_compiled_pass_is_the_plain_one(options, backend):
    torch.manual_seed(0)
    model = DRAW(shape=(6, 5), glimpses=2, hidden=8, latent=3, **options)
    x = torch.bernoulli(torch.full((7, 30), 0.3))
    noise = model.noise(x, 2)

    def bound(x, noise):
        found = model.infer(x, 2, noise=noise)
        return bounds.sgvb_b(found.log_weights.log_likelihood, found.kl.mean(0))

    results = []
    for run in (bound, torch.compile(bound, fullgraph=True, backend=backend)):
        value = run(x, noise)
        results.append((value.detach(), *torch.autograd.grad(value.sum(), list(model.parameters()))))
    assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)
