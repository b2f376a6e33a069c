r"""Disentangling factors of variation: one code for what the label says of an image, another for all the rest.

Expectation: $\mathbb{E}_{q(z \mid x)}[\log p(x \mid z, s)]$ of Gaussian pixels, less the divergence of $z$ from its
prior, with an adversary that sees to it that the label is in $s$ alone.

$$s = f_s(x), \qquad q(z \mid x) = \mathcal{N}(z; \mu(x), \mathrm{diag}(\sigma^2(x))), \qquad
p(z) = \mathcal{N}(z; 0, I), \qquad \hat x = \mathrm{Dec}(z, s)$$

Of three images, $x_1$ and $x_1'$ of one class and $x_2$ of class $y_2$, the encoder makes the codes, and the decoder

- the image itself, $\mathrm{Dec}(z_1, s_1) \to x_1$;
- the image from the code $s$ of its partner, $\mathrm{Dec}(z_1, s_1') \to x_1$: $s$ may hold no more than the two
  share, but nothing so far keeps $z_1$ from holding everything, the label too;
- images that nobody has seen, $\mathrm{Dec}(z_1, s_2)$ and $\mathrm{Dec}(z, s_2)$ with $z \sim p(z)$. A discriminator
  that is told the class $y_2$ must take them for images of that class. A $z_1$ with the label in it would give itself
  away.

The divergence from the prior makes every bit in $z$ cost something, so that what the decoder can have from $s$ goes.

| paper | code | shape |
|---|---|---|
| $s$, specified factors | `s` | `(B, specified)` |
| $z$, unspecified factors | `z` | `(B, unspecified)` |
| $f_s(x)$, $q(z \mid x)$ | `encode(x)` | |
| $\mathrm{Dec}(z, s)$ | `decode(z, s)` | `(B, pixels)` |
| $\mathrm{Dis}(x, y)$ | `discriminator(x, y)`, a logit | `(B, 1)` |
| $x_1'$ | `x[partner]` | `(B, pixels)` |
| $x_2$ | `x[other]` | `(B, pixels)` |

Differs from the paper: both players move in the same step, each by the gradient of its own loss at the parameters
before the step, where the paper alternates. Partners and other images come from the minibatch: $x_1'$ is the next of
its class in random order, $x_2$ any image in random order, of another class nine times in ten where there are ten. So
labels are as frequent among made images as among real ones. An image that is alone in its class has no swap loss.

References:
    | Disentangling factors of variation in deep representations using adversarial training (Mathieu et al., 2016)
    | https://arxiv.org/abs/1611.03383
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence
from torch.func import functional_call
from torch.nn.functional import softplus

from jensen._contracts import Pairs
from jensen.distributions import DiagonalNormal, StandardNormal

__all__ = ["DisentanglingAutoencoder", "DisentanglingDraws", "DisentanglingLosses"]


class DisentanglingLosses(NamedTuple):
    r"""The losses of each image, `(B,)`.

    Attributes:
        reconstruction: $\|\mathrm{Dec}(z_1, s_1) - x_1\|^2$, summed over the pixels.
        swap: $\|\mathrm{Dec}(z_1, s_1') - x_1\|^2$; 0 for an image alone in its class.
        kl: $\mathrm{KL}(q(z \mid x_1) \,\|\, p(z))$ in nats.
        transfer: $-\log \mathrm{Dis}(\mathrm{Dec}(z_1, s_2), y_2)$ in nats, of which the discriminator learns nothing.
        sample: $-\log \mathrm{Dis}(\mathrm{Dec}(z, s_2), y_2)$ with $z$ from the prior, likewise.
        discriminator: its cross-entropy in nats: of the real image, and of the mean of the two made ones, of which
            encoder and decoder learn nothing.
    """

    reconstruction: Tensor
    swap: Tensor
    kl: Tensor
    transfer: Tensor
    sample: Tensor
    discriminator: Tensor


class DisentanglingDraws(NamedTuple):
    r"""All that is random in the losses of a batch.

    Attributes:
        noise: standard normal, `(B, unspecified)`, from which $z_1$ is made.
        prior: $z \sim p(z)$, `(B, unspecified)`.
        partner: the position of $x_1'$ for each image, long `(B,)`; its own where it is alone in its class.
        other: that of $x_2$, long `(B,)`.
    """

    noise: Tensor
    prior: Tensor
    partner: Tensor
    other: Tensor


class DisentanglingAutoencoder(nn.Module):
    r"""An encoder to two codes, a decoder from both, and a discriminator that is told the class.

    Args:
        encoder: a module from images `(B, pixels)` to `(B, specified + 2 * unspecified)`: side by side $s$, $\mu$ and
            $\log \sigma$.
        decoder: a module from codes `(B, unspecified + specified)`, $z$ first, to pixels `(B, pixels)`.
        discriminator: a module from images and classes `(B,)` to logits `(B, 1)` of being real, such as
            `layers.ClassConditional`, without randomness and without batch statistics. Labels are checked against its
            `classes` where it has that number.
        specified: the width of $s$.
        unspecified: the width of $z$.
        real: the probability that the discriminator is to give to real images; just below one it stays unsure.

    Raises:
        ValueError: if a width is below one, or `real` is no probability above a half.

    Example:
        >>> critic = ClassConditional(nn.Linear(16, 8), nn.Linear(8, 1), classes=3)
        >>> model = models.DisentanglingAutoencoder(
        ...     encoder=mlp([16, 10, 8]), decoder=mlp([6, 10, 16]), discriminator=critic, specified=4, unspecified=2
        ... )
        >>> batch = Pairs(torch.rand(5, 16), torch.tensor([0, 1, 1, 0, 2]))
        >>> model.loss(batch).swap.shape
        torch.Size([5])

    References:
        | Disentangling factors of variation in deep representations using adversarial training (Mathieu et al., 2016)
        | https://arxiv.org/abs/1611.03383
    """

    zero: Tensor

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        discriminator: nn.Module,
        specified: int,
        unspecified: int,
        real: float = 0.95,
    ) -> None:
        super().__init__()
        if min(specified, unspecified) < 1:
            raise ValueError(f"both codes need a width, got specified={specified} and unspecified={unspecified}")
        if not 0.5 < real <= 1:
            raise ValueError(f"real is the probability that a real image is to get, above a half, got {real}")
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.specified, self.real = specified, real
        self.register_buffer("zero", torch.zeros(unspecified), persistent=False)

    def prior(self) -> StandardNormal:
        r"""$p(z)$, a standard Gaussian."""
        return StandardNormal(self.zero, validate_args=False)

    def encode(self, x: Tensor) -> tuple[Tensor, DiagonalNormal]:
        r"""$s = f_s(x)$, `(B, specified)`, and $q(z \mid x)$.

        Raises:
            ValueError: if the encoder is of another width than the codes.
        """
        codes, D = self.encoder(x).to(x.dtype), len(self.zero)
        if codes.shape[-1] != self.specified + 2 * D:
            expected = f"specified + 2 * unspecified = {self.specified + 2 * D}"
            raise ValueError(f"the encoder gives {tuple(codes.shape)}; expected (B, {expected})")
        s, mean, log_scale = torch.split(codes, [self.specified, D, D], dim=-1)
        return s, DiagonalNormal(mean, log_scale, validate_args=False)

    def decode(self, z: Tensor, s: Tensor) -> Tensor:
        r"""$\mathrm{Dec}(z, s)$, `(B, pixels)`."""
        codes = torch.cat([z, s], dim=-1)
        pixels: Tensor = self.decoder(codes)
        return pixels.to(codes.dtype)

    def draws(self, batch: Pairs) -> DisentanglingDraws:
        """Fresh noise and fresh company for every image of a batch: the argument `draws` of `loss`."""
        B, x = len(batch), batch.inputs
        noise, prior = torch.randn(2, B, len(self.zero), dtype=self.zero.dtype, device=x.device)
        return DisentanglingDraws(noise, prior, _partners(batch.targets), torch.randperm(B, device=x.device))

    def loss(self, batch: Pairs, *, draws: DisentanglingDraws | None = None) -> DisentanglingLosses:
        """All losses of a batch, from one pass of the encoder, one of the decoder and two of the discriminator.

        The terms that the encoder and the decoder are to descend say nothing to the discriminator, and the other way
        round: the gradient of a sum over all of them is that of either player's own loss.

        Args:
            batch: images `(B, pixels)` and their classes, long `(B,)`.
            draws: what `draws(batch)` gives; fresh where None.

        Raises:
            ValueError: if a draw has another shape than the batch asks for.
        """
        x, y = batch.inputs, batch.targets
        draws = self.draws(batch) if draws is None else draws
        self._check_draws(draws, batch)
        s, q = self.encode(x)
        z = q.from_noise(draws.noise)
        partner, other = s[draws.partner], s[draws.other]
        images = self.decode(torch.cat([z, z, z, draws.prior]), torch.cat([s, partner, other, other]))
        own, swapped, made = torch.split(images, [len(x), len(x), 2 * len(x)])
        y_made = y[draws.other].repeat(2)
        alone = draws.partner == torch.arange(len(x), device=x.device)
        transfer, sample = softplus(-self._judge_fixed(made, y_made)).chunk(2)
        return DisentanglingLosses(
            reconstruction=(own - x).square().sum(-1),
            swap=(swapped - x).square().sum(-1).masked_fill(alone, 0.0),
            kl=kl_divergence(q, self.prior()),
            transfer=transfer,
            sample=sample,
            discriminator=self._tell_apart(batch, made.detach(), y_made),
        )

    def check(self, batch: Pairs) -> None:
        """Refuse data without classes, and images that do not fit the networks.

        Raises:
            ValueError: if images hold NaN, labels are no classes that the discriminator knows, or the networks take
                images of another size.
        """
        x, y = batch.inputs, batch.targets
        if not bool(torch.isfinite(x).all()):
            raise ValueError("the images hold NaN or infinity; remove these data or replace the values first")
        if y.dtype != torch.int64 or y.ndim != 1:
            raise ValueError(f"labels must be one int64 class an image, got {y.dtype} {tuple(y.shape)}")
        least, largest, known = int(y.min()), int(y.max()), getattr(self.discriminator, "classes", None)
        if least < 0 or (known is not None and largest >= known):
            advice = "number the classes from 0, and give the discriminator as many"
            raise ValueError(f"labels run from {least} to {largest}, the discriminator has {known} classes; {advice}")
        with torch.no_grad():
            s, q = self.encode(x[:1])
            made = self.decode(q.mean, s)
        if made.shape != x[:1].shape:
            raise ValueError(f"the decoder gives images {tuple(made.shape[1:])}, the data have {tuple(x.shape[1:])}")

    @torch.no_grad()
    def transfer(self, x: Tensor, to: Tensor) -> Tensor:
        r"""$\mathrm{Dec}(\mu(x), f_s(x'))$: images `x` with the specified factors of the images `to`, `(B, pixels)`."""
        return self.decode(self.encode(x)[1].mean, self.encode(to)[0])

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        r"""$\mathrm{Dec}(\mu(x), f_s(x))$, `(B, pixels)`."""
        return self.transfer(x, x)

    def _judge_fixed(self, x: Tensor, y: Tensor) -> Tensor:
        """The discriminator's logits, `(B,)`, its parameters held constant."""
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        logits: Tensor = functional_call(self.discriminator, fixed, (x, y))
        return logits.squeeze(-1).to(x.dtype)

    def _tell_apart(self, batch: Pairs, made: Tensor, y_made: Tensor) -> Tensor:
        """The discriminator's cross-entropy for each real image and the two that were made beside it."""
        images, labels = torch.cat([batch.inputs, made]), torch.cat([batch.targets, y_made])
        logits: Tensor = self.discriminator(images, labels).squeeze(-1).to(images.dtype)
        real, transferred, sampled = logits.chunk(3)
        on_real = softplus(-real) + (1 - self.real) * real
        on_made: Tensor = (softplus(transferred) + softplus(sampled)) / 2
        return on_real + on_made

    def _check_draws(self, draws: DisentanglingDraws, batch: Pairs) -> None:
        normal, places = (len(batch), len(self.zero)), (len(batch),)
        for name, expected in zip(draws._fields, (normal, normal, places, places), strict=True):
            found = tuple(getattr(draws, name).shape)
            if found != expected:
                raise ValueError(f"{name} has shape {found}; expected {expected} for a batch of {len(batch)}")


def _partners(y: Tensor) -> Tensor:
    """For each image the next of its class in random order, cyclically: its own position where it is alone."""
    place = torch.arange(len(y), device=y.device)
    shuffled = torch.randperm(len(y), device=y.device)
    order = shuffled[torch.argsort(y[shuffled], stable=True)]
    ordered = y[order].contiguous()
    first, end = (torch.searchsorted(ordered, ordered, right=right) for right in (False, True))
    following = torch.where(place + 1 < end, place + 1, first)
    return torch.empty_like(order).scatter_(0, order, order[following])
