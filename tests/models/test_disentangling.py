"""Every loss is the number its name says, and reaches the parameters of its own player only."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.testing import assert_close

from jensen import training
from jensen.datasets import Pairs
from jensen.layers import ClassConditional, mlp
from jensen.models import DisentanglingAutoencoder, disentangling

S, Z, PIXELS = 3, 2, 6
PLAYERS = {"encoder": "autoencoder", "decoder": "autoencoder", "discriminator": "discriminator"}


def make_model(**options):
    torch.manual_seed(0)
    critic = ClassConditional(nn.Linear(PIXELS, 5), nn.Linear(5, 1), classes=3)
    for table in critic.tables.parameters():
        nn.init.normal_(table)
    networks = {"encoder": mlp([PIXELS, 8, S + 2 * Z]), "decoder": mlp([Z + S, 8, PIXELS]), "discriminator": critic}
    return DisentanglingAutoencoder(**{**networks, "specified": S, "unspecified": Z, **options}).double()


@pytest.fixture
def model():
    return make_model()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return Pairs(torch.rand(7, PIXELS, dtype=torch.double, generator=generator), torch.tensor([0, 1, 0, 2, 1, 0, 1]))


def test_each_loss_is_what_its_name_says(model, batch):
    x, y = batch.inputs, batch.targets
    draws = model.draws(batch)
    found = model.loss(batch, draws=draws)
    s, mean, log_scale = model.encoder(x).split([S, Z, Z], -1)
    z = mean + log_scale.exp() * draws.noise

    def image(z, s):
        return model.decoder(torch.cat([z, s], -1))

    own, swapped = image(z, s), image(z, s[draws.partner])
    made = image(z, s[draws.other]), image(draws.prior, s[draws.other])
    assert_close(found.reconstruction, (own - x).pow(2).sum(-1))
    alone = torch.tensor([False, False, False, True, False, False, False])
    assert_close(found.swap, torch.where(alone, 0, (swapped - x).pow(2).sum(-1)))
    q, p = (Independent(Normal(*both), 1) for both in ((mean, log_scale.exp()), (0 * mean, torch.ones_like(mean))))
    assert_close(found.kl, kl_divergence(q, p))
    logits = [model.discriminator(each, y[draws.other])[:, 0] for each in made]
    assert_close(found.transfer, -logits[0].sigmoid().log())
    assert_close(found.sample, -logits[1].sigmoid().log())
    real = model.discriminator(x, y)[:, 0]
    expected = binary_cross_entropy_with_logits(real, torch.full_like(real, 0.95), reduction="none")
    assert_close(found.discriminator, expected + (softplus(logits[0]) + softplus(logits[1])) / 2)


@pytest.mark.parametrize("term", ["reconstruction", "swap", "kl", "transfer", "sample", "discriminator"])
def test_a_loss_reaches_the_parameters_of_its_own_player_only(model, batch, term):
    getattr(model.loss(batch), term).sum().backward()
    reached = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {PLAYERS[name] for name in reached} == {"discriminator" if term == "discriminator" else "autoencoder"}


def test_a_discriminator_that_helps_its_opponent_is_caught(model, batch):
    """The plausible bug: the made images are judged with parameters that learn from it."""

    class Twin(DisentanglingAutoencoder):
        def _judge_fixed(self, x, y):
            return self.discriminator(x, y).squeeze(-1)

    twin = make_model()
    twin.__class__ = Twin
    twin.loss(batch).transfer.sum().backward()
    assert any(p.grad is not None for p in twin.discriminator.parameters())


def test_the_generators_gradient_goes_through_the_discriminator_as_it_is(model, batch):
    draws = model.draws(batch)
    parameters = [*model.encoder.parameters(), *model.decoder.parameters()]
    found = torch.autograd.grad(model.loss(batch, draws=draws).transfer.sum(), parameters)
    s, q = model.encode(batch.inputs)
    made = model.decode(q.from_noise(draws.noise), s[draws.other])
    plain = softplus(-model.discriminator(made, batch.targets[draws.other])).sum()
    for one, other in zip(found, torch.autograd.grad(plain, parameters), strict=True):
        assert_close(one, other)


def test_one_step_of_the_objective_is_a_step_of_either_player(model, batch):
    """Simultaneous gradient descent: each player's parameters move by the gradient of its own weighted losses."""
    weights = {"reconstruction": 0.5, "swap": 1.0, "kl": 0.2, "transfer": 2.0, "sample": 3.0}
    objective = training.NamedLosses(weights, opponents=("discriminator",))
    torch.manual_seed(3)
    draws = model.draws(batch)
    losses = model.loss(batch, draws=draws)._asdict()
    own = sum(weight * losses[name] for name, weight in weights.items()).mean()
    expected = {
        **_gradients(own, model, ("encoder", "decoder")),
        **_gradients(losses["discriminator"].mean(), model, ("discriminator",)),
    }
    torch.manual_seed(3)
    value = objective(model, batch)
    assert_close(value.mean(), -own)
    (-value.mean()).backward()
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, expected[name], msg=name)


def _gradients(loss, model, modules):
    named = {name: p for name, p in model.named_parameters() if name.partition(".")[0] in modules}
    return dict(zip(named, torch.autograd.grad(loss, list(named.values()), retain_graph=True), strict=True))


def test_partners_are_one_cycle_through_every_class(batch):
    y = torch.tensor([2, 0, 2, 1, 0, 2, 2, 3, 0])
    for seed in range(20):
        torch.manual_seed(seed)
        partner = disentangling._partners(y)
        assert_close(y[partner], y)
        assert sorted(partner.tolist()) == list(range(9))
        assert partner[3] == 3
        assert partner[7] == 7
        members = [0, 2, 5, 6]
        walk = [0]
        while (after := int(partner[walk[-1]])) != 0:
            walk.append(after)
        assert sorted(walk) == members


def test_all_partners_are_equally_likely():
    y = torch.tensor([0, 0, 0, 0])
    torch.manual_seed(0)
    n = 3000
    first = torch.stack([disentangling._partners(y)[0] for _ in range(n)])
    share = torch.bincount(first, minlength=4)[1:] / n
    z = (share - 1 / 3) / math.sqrt(2 / 9 / n)
    assert z.abs().max() < 4.56
    assert not (first == 0).any(), "nobody is his own partner while there is another"


def test_labels_are_as_frequent_among_made_images_as_among_real_ones(model, batch):
    assert sorted(batch.targets[model.draws(batch).other].tolist()) == sorted(batch.targets.tolist())


def test_images_swap_codes(model, batch):
    x, to = batch.inputs[:2], batch.inputs[2:4]
    (s, _), (_, q) = model.encode(to), model.encode(x)
    assert_close(model.transfer(x, to), model.decode(q.mean, s))
    assert_close(model.reconstruct(x), model.transfer(x, x))
    assert model.prior().event_shape == (Z,)


def test_data_that_do_not_fit_are_refused(model, batch):
    model.check(batch)
    with pytest.raises(ValueError, match="NaN"):
        model.check(Pairs(batch.inputs * math.nan, batch.targets))
    with pytest.raises(ValueError, match="int64 class"):
        model.check(Pairs(batch.inputs, batch.targets.double()))
    for strange in (batch.targets + 1, batch.targets - 1):
        with pytest.raises(ValueError, match=r"labels run from .* the discriminator has 3 classes"):
            model.check(Pairs(batch.inputs, strange))
    wide = make_model(encoder=mlp([PIXELS, S]))
    with pytest.raises(ValueError, match=r"specified \+ 2 \* unspecified = 7"):
        wide.check(batch)
    broad = make_model(decoder=mlp([Z + S, PIXELS + 1]))
    with pytest.raises(ValueError, match="gives images"):
        broad.check(batch)
    with pytest.raises(ValueError, match="noise has shape"):
        model.loss(batch, draws=model.draws(batch)._replace(noise=torch.zeros(7, 3)))


def test_losses_keep_their_precision_where_products_have_less(model, batch):
    single = model.float()
    x = Pairs(batch.inputs.float(), batch.targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = single.loss(x)
    assert {name: loss.dtype for name, loss in losses._asdict().items()} == dict.fromkeys(losses._fields, torch.float32)


@pytest.mark.parametrize("options", [{"specified": 0}, {"unspecified": 0}, {"real": 0.5}, {"real": 1.5}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="got"):
        make_model(**options)
