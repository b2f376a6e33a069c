r"""DRAW: an autoencoder that draws an image in steps on a canvas, and may look at and write to a part of it at a time.

Expectation: $\log p(x) = \log \mathbb{E}_{q(z_{1:T} \mid x)}\left[ p(x \mid z_{1:T}) \prod_t p(z_t) / q(z_t \mid x, z_{<t}) \right]$,
bounded by `bounds.elbo`.

$$\hat x_t = x - \sigma(c_{t-1}), \qquad r_t = \mathrm{read}(x, \hat x_t, h^\mathrm{dec}_{t-1}), \qquad
h^\mathrm{enc}_t = \mathrm{RNN}^\mathrm{enc}(h^\mathrm{enc}_{t-1}, [r_t, h^\mathrm{dec}_{t-1}])$$
$$z_t \sim q(z_t \mid h^\mathrm{enc}_t), \qquad h^\mathrm{dec}_t = \mathrm{RNN}^\mathrm{dec}(h^\mathrm{dec}_{t-1}, z_t), \qquad
c_t = c_{t-1} + \mathrm{write}(h^\mathrm{dec}_t), \qquad x \sim p(x \mid c_T)$$

| paper | code | shape |
|---|---|---|
| $x$ | `x` | `(B, pixels)` |
| $z_1, \ldots, z_T$ | `z` | `(K, B, T latent)`, one step after another |
| $\epsilon_1, \ldots, \epsilon_T$ | `noise` | `(K, B, T latent)`, fresh ones in each step |
| $q(z_t \mid h^\mathrm{enc}_t)$ | `forward(x, z)` | batch `(T, K, B)`, event `(latent,)` |
| $p(z_{1:T})$ | `prior()` | event `(T latent,)` |
| $p(x \mid c_T)$ | `likelihood(z)` | batch `(K, B)`, event `(pixels,)` |
| $c_1, \ldots, c_T$ | `Drawing.canvases` | `(T, N, pixels)`, as the means of $p(x \mid c_t)$ |

The divergence of a step is closed-form given the steps before,
$\mathrm{KL}_t = \frac{1}{2} \sum_d (\mu_d^2 + \sigma_d^2 - \log \sigma_d^2 - 1)$, so the sum over steps holds the constant
$-T d / 2$ for $d$ latents in a step.

Differs from the paper: its eq. 11 prints that constant as $-T / 2$, which is right for $d = 1$ alone. The error image is
$x$ minus the mean of $p(x \mid c_{t-1})$, which is the sigmoid where pixels are binary. Cells have no peepholes. Windows
begin over the whole image with $\sigma = \delta / 2$, and $\hat\gamma = 1 / (2 \pi \sigma^2)$, with which the middle of a
filter paints what the patch says; from $\sigma = \hat\gamma = 1$ they need many steps to learn anything at all.

References:
    | DRAW: A Recurrent Neural Network For Image Generation (Gregor, Danihelka, Graves, Rezende & Wierstra, 2015)
    | https://arxiv.org/abs/1502.04623v2
"""  # noqa: E501

from collections.abc import Callable
from functools import partial
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from jensen._contracts import Inference, LatentLayer, LogWeights, check_noise, check_samples
from jensen.distributions import DiagonalNormal, IndependentBernoulli, StandardNormal
from jensen.layers import check_observations
from jensen.layers.filterbanks import Window
from jensen.layers.glimpses import Brush, Glimpse, Whole
from jensen.layers.recurrent import make_cell

__all__ = ["DRAW", "Drawing"]


class Drawing(NamedTuple):
    r"""How N images came to be, step by step.

    Attributes:
        canvases: the means of $p(x \mid c_t)$, `(T, N, pixels)`.
        written: where each step wrote; None without attention.
        looked: where each step looked; None without attention, or where there was no image to look at.
        patches: what it saw there, `(T, N, size, size, channels)` of the image; None as `looked`.
    """

    canvases: Tensor
    written: list[Window] | None
    looked: list[Window] | None
    patches: Tensor | None


State = tuple[Tensor, ...]


class _Step(NamedTuple):
    """The decoder's output before a step and after it, and the canvas then; one row for each draw of each datum."""

    before: Tensor
    after: Tensor
    canvas: Tensor


class _Recognition(NamedTuple):
    """All steps, what the encoder said in each, batch `(T, K, B)`, and the latents, `(T, K, B, latent)`."""

    steps: list[_Step]
    q: DiagonalNormal
    z: Tensor


class DRAW(nn.Module):
    r"""A recurrent encoder, a recurrent decoder, and a canvas between them.

    Without attention `read` is $[x, \hat x]$, `layers.glimpses.Whole`, and `write` a linear map. With it both work on
    patches through Gaussian filters, `layers.glimpses.Glimpse` and `layers.glimpses.Brush`.

    Args:
        shape: `(height, width)` or `(height, width, channels)` of an image; data are flat in this order.
        glimpses: the number $T$ of steps.
        hidden: units of either cell.
        latent: latent units of a step.
        read: side of the patch that is read; the whole image where None.
        write: side of the patch that is written; the whole canvas where None.
        cell: `lstm` or `gru`.
        likelihood: from a flat canvas to a distribution over flat pixels, a function or a module;
            `distributions.IndependentBernoulli` by default.
        channels: values on the canvas for each pixel; those of the image by default.
        canvas: where the first canvas, which is learned, begins, `(height width channels,)`; at zeros where None.

    Raises:
        ValueError: if a size is below 1, there is no such cell, or the shapes do not fit.

    Example:
        >>> draw = DRAW(shape=(28, 28), glimpses=10, hidden=64, latent=8, read=2, write=5)
        >>> x = torch.bernoulli(torch.full((3, 784), 0.1))
        >>> bounds.elbo(draw.log_weights(x, samples=1).total).shape
        torch.Size([3])

    References:
        | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015), eqs. 3 to 8
        | https://arxiv.org/abs/1502.04623v2
    """

    zero: Tensor

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        glimpses: int,
        hidden: int,
        latent: int,
        read: int | None = None,
        write: int | None = None,
        cell: str = "lstm",
        likelihood: Callable[[Tensor], Distribution] | None = None,
        channels: int | None = None,
        canvas: Tensor | None = None,
    ) -> None:
        super().__init__()
        image = (*shape, 1) if len(shape) == 2 else tuple(shape)
        surface = image if channels is None else (*image[:2], channels)
        _check_sizes(image, surface, canvas, glimpses=glimpses, latent=latent, read=read, write=write)
        self.glimpses, self.latent, self.width = glimpses, latent, glimpses * latent
        self.shape, self.read, self.write = image, read, write
        self.pixels = partial(IndependentBernoulli, validate_args=False) if likelihood is None else likelihood
        self.encoder, self.decoder = make_cell(cell, hidden=hidden), make_cell(cell, hidden=hidden)
        inputs = self.encoder.width
        self.reader = _reader(hidden, image, size=read, outputs=inputs)
        self.feedback = nn.Linear(hidden, inputs, bias=False)
        self.statistics = nn.Linear(hidden, 2 * latent)
        self.message = nn.Linear(latent, self.decoder.width)
        self.writer = _writer(hidden, surface, size=write)
        self.canvas = nn.Parameter(torch.zeros(prod(surface)) if canvas is None else canvas.detach().clone())
        self.register_buffer("zero", torch.zeros(self.width), persistent=False)

    def prior(self) -> StandardNormal:
        r"""$p(z_{1:T})$, a standard Gaussian in every step; event `(T latent,)`."""
        return StandardNormal(self.zero, validate_args=False)

    def likelihood(self, z: Tensor) -> Distribution:
        r"""$p(x \mid c_T)$ after the latents of all steps, `(*batch, T latent)`; no encoder takes part.

        Raises:
            ValueError: if they are not as many.
        """
        if z.shape[-1:] != (self.width,):
            expected = f"(*batch, {self.width}), {self.latent} for each of {self.glimpses} steps"
            raise ValueError(f"the latents have shape {tuple(z.shape)}; expected {expected}")
        canvas = self._generate(z.reshape(-1, self.width))[-1].canvas
        p: Distribution = self.pixels(canvas.reshape(*z.shape[:-1], -1))
        return p

    def generate_stepwise(self, choose: Callable[[Distribution], Tensor]) -> Distribution:
        r"""$p(x \mid c_T)$ after latents that are chosen step by step.

        Args:
            choose: called with $p(z_t)$ for $z_t$ of shape `(*batch, latent)`, T times.
        """
        return self.likelihood(torch.cat([choose(self._prior_of_a_step()) for _ in range(self.glimpses)], -1))

    def infer_stepwise(self, x: Tensor, choose: Callable[[Distribution, Distribution], Tensor]) -> Distribution:
        r"""$p(x \mid c_T)$ after latents that are chosen step by step, beside data.

        Args:
            x: data, `(B, pixels)`.
            choose: called with $q(z_t \mid x, z_{<t})$ and $p(z_t)$ for $z_t$ of shape `(B, latent)`, T times.
        """
        prior = self._prior_of_a_step()
        p: Distribution = self.pixels(self._recognise(x, 1, lambda t, q: choose(q, prior)).steps[-1].canvas)
        return p

    def forward(self, x: Tensor, z: Tensor) -> DiagonalNormal:
        r"""$q(z_t \mid x, z_{<t})$ of every step, along given latents.

        Args:
            x: data, `(B, pixels)`.
            z: the latents of all steps, `(K, B, T latent)`.

        Returns:
            One Gaussian for each step, batch `(T, K, B)`, event `(latent,)`.

        Raises:
            ValueError: if a shape does not fit.
        """
        check_noise(z, (len(z), len(x), self.width))
        given = self._by_step(z)
        return self._recognise(x, len(z), lambda t, q: given[t]).q

    def noise(self, x: Tensor, samples: int = 1) -> Tensor:
        r"""$\epsilon \sim \mathcal{N}(0, I)$, fresh in every step, `(samples, B, T latent)`, for `log_weights`."""
        check_samples(samples)
        return torch.randn(samples, len(x), self.width, dtype=self.zero.dtype, device=x.device)

    def log_weights(
        self, x: Tensor, samples: int = 1, *, noise: Tensor | None = None, path_derivative: bool = False
    ) -> LogWeights:
        r"""The terms of $\log p(x, z_{1:T}) - \log q(z_{1:T} \mid x)$, prior and posterior summed over the steps.

        What the encoder sees depends on the draws, so it runs for each of them; only the product with $x$ does not.

        Args:
            x: data, `(B, pixels)`.
            samples: how many draws for each datum.
            noise: the $\epsilon$ to use in place of fresh ones, `(samples, B, T latent)`.
            path_derivative: let the gradient reach the posterior through the draws alone, for `bounds.stl` and
                `bounds.dreg`; the decoder then runs three times, the encoder twice.

        Returns:
            Three tensors `(samples, B)` in nats.

        Raises:
            ValueError: if `samples` is below 1 or a shape does not fit.
        """
        inference = self.infer(x, samples, noise=noise)
        return self._along(x, inference.latents) if path_derivative else inference.log_weights

    def infer(self, x: Tensor, samples: int = 1, *, noise: Tensor | None = None) -> Inference:
        """Log-weights, divergence, likelihood and draws of one pass; `noise` as for `log_weights`.

        The divergence of a step is in closed form given the draws of the steps before; the latents are one tensor
        `(samples, B, latent)` for each step.
        """
        epsilon = self._noise_by_step(x, samples, noise)
        steps, q, z = self._recognise(x, samples, lambda t, q: q.from_noise(epsilon[t]))
        likelihood = self.pixels(steps[-1].canvas.reshape(samples, len(x), -1))
        prior = self._prior_of_a_step()
        log_weights = LogWeights(
            log_likelihood=likelihood.log_prob(x),
            log_prior=prior.log_prob(z).sum(0),
            log_posterior=q.log_prob_from_noise(torch.stack(epsilon).reshape(z.shape)).sum(0),
        )
        kl = prior.kl_per_unit(q)  # (T, K, B, latent)
        return Inference(log_weights, kl.sum((0, -1)), likelihood, z.unbind(0), kl.unbind(0))

    def latents(self, x: Tensor, samples: int = 1) -> list[LatentLayer]:
        """Posterior mean and divergence of each unit of each step, `(B, latent)` each, averaged over `samples` draws.

        Given the draws of the steps before, mean and divergence are in closed form.
        """
        epsilon = self._noise_by_step(x, samples, None)
        q = self._recognise(x, samples, lambda t, q: q.from_noise(epsilon[t])).q
        kl = self._prior_of_a_step().kl_per_unit(q)
        return [LatentLayer(*both) for both in zip(q.loc.mean(1), kl.mean(1), strict=True)]

    def check(self, x: Tensor) -> None:
        """Refuse data that this model has no likelihood for: `layers.check_observations`."""
        check_observations(self.pixels(self.canvas), x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Pixel means at `n` draws from the prior, `(n, pixels)`."""
        return self.likelihood(self.prior().sample((n,))).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Pixel means at one posterior draw for each datum, `(B, pixels)`."""
        return self.infer(x).likelihood.mean[0]

    @torch.no_grad()
    def imagine(self, n: int) -> Drawing:
        """How images from `n` draws from the prior come to be: `sample`, with every canvas."""
        return self._drawing(self._generate(self.prior().sample((n,))))

    @torch.no_grad()
    def redraw(self, x: Tensor) -> Drawing:
        """How images are drawn again, from one posterior draw each: `reconstruct`, with every canvas and glimpse."""
        epsilon = self._noise_by_step(x, 1, None)
        steps = self._recognise(x, 1, lambda t, q: q.from_noise(epsilon[t])).steps
        drawing = self._drawing(steps)
        if not isinstance(self.reader, Glimpse):
            return drawing
        looked = [self.reader.where(step.before) for step in steps]
        return drawing._replace(looked=looked, patches=torch.stack([self.reader.look(x, where) for where in looked]))

    def _recognise(self, x: Tensor, samples: int, choose: Callable[[int, DiagonalNormal], Tensor]) -> _Recognition:
        """Eqs. 3 to 8 on `samples` rows for each datum; `choose` gives the latents of step t, `(K B, latent)`."""
        if x.shape != (len(x), prod(self.shape)):
            expected = f"(B, {prod(self.shape)}), flat as {self.shape}"
            raise ValueError(f"the images have shape {tuple(x.shape)}; expected {expected}")
        seen = self.reader.prepare(x)
        seen = seen.expand(samples, *seen.shape).reshape(-1, seen.shape[-1])
        canvas, encoder, decoder = self._start(len(seen))
        steps, q, z = [], [], []
        for t in range(self.glimpses):
            before = decoder[0]
            product = self.reader(seen, self.pixels(canvas).mean, before) + self.feedback(before)
            encoder = self.encoder(product, encoder)
            q.append(self._posterior(encoder[0]))
            z.append(choose(t, q[t]))
            decoder, canvas = self._write(z[t], decoder, canvas)
            steps.append(_Step(before, decoder[0], canvas))
        shape = (self.glimpses, samples, len(x), self.latent)
        mean, log_scale = (torch.stack(s).reshape(shape) for s in ([e.loc for e in q], [e.log_scale for e in q]))
        return _Recognition(steps, DiagonalNormal(mean, log_scale, validate_args=False), torch.stack(z).reshape(shape))

    def _generate(self, z: Tensor) -> list[_Step]:
        """Eqs. 7 and 8 on latents `(N, T latent)`."""
        canvas, _, decoder = self._start(len(z))
        steps = []
        for z_t in self._by_step(z):
            before = decoder[0]
            decoder, canvas = self._write(z_t, decoder, canvas)
            steps.append(_Step(before, decoder[0], canvas))
        return steps

    def _start(self, rows: int) -> tuple[Tensor, State, State]:
        """The learned first canvas and states."""
        return self.canvas.expand(rows, -1), self.encoder.start(rows), self.decoder.start(rows)

    def _posterior(self, h: Tensor) -> DiagonalNormal:
        r"""$q(z_t \mid h^\mathrm{enc}_t)$, eqs. 1 and 2."""
        mean, log_scale = self.statistics(h).to(self.zero.dtype).chunk(2, -1)
        return DiagonalNormal(mean, log_scale, validate_args=False)

    def _write(self, z: Tensor, decoder: State, canvas: Tensor) -> tuple[State, Tensor]:
        """Eqs. 7 and 8."""
        decoder = self.decoder(self.message(z), decoder)
        return decoder, canvas + self.writer(decoder[0]).to(canvas.dtype)

    def _along(self, x: Tensor, latents: tuple[Tensor, ...]) -> LogWeights:
        """Log-weights as functions of branches of the draws, what the posterior depends on besides held constant."""
        path = tuple(z.view_as(z) for z in latents)
        z = torch.cat(path, -1)
        constant = {name: parameter.detach() for name, parameter in self.named_parameters()}
        q: DiagonalNormal = functional_call(self, constant, (x, z))
        return LogWeights(
            log_likelihood=self.likelihood(z).log_prob(x),
            log_prior=self.prior().log_prob(z),
            log_posterior=q.log_prob(torch.stack(path)).sum(0),
            path=path,
        )

    def _drawing(self, steps: list[_Step]) -> Drawing:
        canvases = torch.stack([self.pixels(step.canvas).mean for step in steps])
        written = [self.writer.where(step.after) for step in steps] if isinstance(self.writer, Brush) else None
        return Drawing(canvases, written, None, None)

    def _prior_of_a_step(self) -> StandardNormal:
        return StandardNormal(self.zero[: self.latent], validate_args=False)

    def _noise_by_step(self, x: Tensor, samples: int, noise: Tensor | None) -> tuple[Tensor, ...]:
        noise = self.noise(x, samples) if noise is None else noise
        check_noise(noise, (samples, len(x), self.width))
        return self._by_step(noise)

    def _by_step(self, z: Tensor) -> tuple[Tensor, ...]:
        """T tensors `(rows, latent)` of one `(*rows, T latent)`."""
        return z.reshape(-1, self.glimpses, self.latent).unbind(1)


def _reader(hidden: int, shape: tuple[int, ...], *, size: int | None, outputs: int) -> Whole | Glimpse:
    return Whole(prod(shape), outputs) if size is None else Glimpse(hidden, shape, size=size, outputs=outputs)


def _writer(hidden: int, shape: tuple[int, ...], *, size: int | None) -> nn.Linear | Brush:
    if size is not None:
        return Brush(hidden, shape, size=size)
    whole = nn.Linear(hidden, prod(shape))
    nn.init.zeros_(whole.bias)  # T steps add it up
    return whole


def _check_sizes(image: tuple[int, ...], surface: tuple[int, ...], canvas: Tensor | None, **sizes: int | None) -> None:
    """Refuse what is no image, a size below one, and a canvas of another shape."""
    if len(image) != 3 or min(image) < 1:
        raise ValueError(f"shape is (height, width) or (height, width, channels), each at least 1, got {image}")
    for name, size in (*sizes.items(), ("channels", surface[2])):
        if size is not None and size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1")
    if canvas is not None and canvas.shape != (prod(surface),):
        raise ValueError(f"canvas has shape {tuple(canvas.shape)}; expected ({prod(surface)},), flat as {surface}")
