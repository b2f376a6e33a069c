"""The few types that the rooms pass to each other, and the shape checks they share."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = [
    "Indexable",
    "Inference",
    "LatentLayer",
    "LogWeights",
    "Pairs",
    "check_log_weights",
    "check_noise",
    "check_samples",
]


class LogWeights(NamedTuple):
    r"""The three log-densities of an importance weight, each `(K, B)`, in nats.

    $$\log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x), \qquad z \sim q(z \mid x)$$

    Attributes:
        log_likelihood: $\log p(x \mid z)$.
        log_prior: $\log p(z)$.
        log_posterior: $\log q(z \mid x)$.
        path: empty, or the draws through which alone the posterior's parameters are reached, one tensor
            `(K, B, D)` for each stochastic layer. A model fills it when asked for `path_derivative=True`; then
            `log_posterior` holds those parameters constant, which is what `bounds.stl` and `bounds.dreg` need.

    Example:
        >>> log_weights = LogWeights(torch.tensor([[-90.0]]), torch.tensor([[-5.0]]), torch.tensor([[-1.0]]))
        >>> log_weights.total
        tensor([[-94.]])
        >>> log_weights.tempered(0.5)
        tensor([[-92.]])
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor
    path: tuple[Tensor, ...] = ()

    @property
    def total(self) -> Tensor:
        r"""The log-weight $\log p(x \mid z) + \log p(z) - \log q(z \mid x)$, `(K, B)`."""
        return self.log_likelihood + self.log_prior - self.log_posterior

    def tempered(self, kl_weight: float) -> Tensor:
        r"""$\log p(x \mid z) + \beta (\log p(z) - \log q(z \mid x))$, `(K, B)`: a log-weight at $\beta = 1$ alone."""
        return self.log_likelihood + kl_weight * (self.log_prior - self.log_posterior)


class Inference(NamedTuple):
    r"""One pass of a latent-variable model over data: what `model.infer(x, samples)` returns.

    Attributes:
        log_weights: the three log-densities at the draws.
        kl: $\mathrm{KL}(q(z \mid x) \,\|\, p(z))$ in nats, `(K, B)`: in closed form as far as there is one, given the
            draws of the layers or steps that it depends on; its mean over draws is the divergence.
        likelihood: $p(x \mid z)$ at the draws, batch `(K, B)`, event `(pixels,)`.
        latents: the draws, one tensor `(K, B, D)` for each stochastic layer or step.
        units: `kl` by unit, one tensor `(K, B, D)` for each stochastic layer or step, `(K, B, 1)` where the units of a
            layer have no divergence of their own; empty where the model does not tell.
    """

    log_weights: LogWeights
    kl: Tensor
    likelihood: Distribution
    latents: tuple[Tensor, ...]
    units: tuple[Tensor, ...] = ()


class LatentLayer(NamedTuple):
    r"""What one stochastic layer knows about each datum.

    Attributes:
        mean: posterior mean $\mathbb{E}_{q(z \mid x)}[z]$, `(B, D)`; `(B, D, C)` for D one-hot rows.
        kl: $\mathbb{E}_q[\log q(z_d \mid \cdot) - \log p(z_d \mid \cdot)]$ in nats, `(B, D)`.
    """

    mean: Tensor
    kl: Tensor


class Indexable(Protocol):
    """Data to draw minibatches from: a tensor `(N, *event)`, `Pairs`, or anything that answers the same two calls."""

    def __len__(self) -> int:
        """The number of data."""
        ...

    def __getitem__(self, index: Tensor, /) -> Any:
        """The data at the positions `index`, a long tensor `(B,)`: a tensor `(B, *event)` or `Pairs`."""
        ...


@dataclass(frozen=True, eq=False)
class Pairs:
    """Inputs and what is to be predicted from them: data for `training.fit`, and one batch of them.

    Attributes:
        inputs: `(N, *event)`.
        targets: class labels, long `(N,)`, or numbers, floating `(N,)` or `(N, D)`.

    Raises:
        ValueError: if inputs and targets are not equally many.

    Example:
        >>> pairs = Pairs(torch.zeros(5, 3), torch.tensor([0, 1, 1, 0, 2]))
        >>> len(pairs), pairs.shape
        (5, torch.Size([5, 3]))
        >>> pairs[torch.tensor([4, 1])].targets
        tensor([2, 1])
        >>> pairs.to(torch.float64).targets.dtype
        torch.int64
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        """Refuse an input without its target."""
        inputs, targets = tuple(self.inputs.shape), tuple(self.targets.shape)
        if not inputs or not targets or inputs[0] != targets[0]:
            raise ValueError(
                f"inputs of shape {inputs} and targets of shape {targets} are no pairs: give one target for each input"
            )

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.inputs)

    def __getitem__(self, index: Any) -> "Pairs":
        """The pairs at the positions `index`, a long tensor `(B,)` or a slice."""
        if not isinstance(index, Tensor | slice):
            raise ValueError(f"pairs[{index!r}] is no batch; give a long tensor or a slice such as [3:4]")
        return Pairs(self.inputs[index], self.targets[index])

    def __repr__(self) -> str:
        """The shapes, not the numbers."""
        inputs, targets = tuple(self.inputs.shape), tuple(self.targets.shape)
        return f"Pairs(inputs={inputs}, targets={targets} {self.targets.dtype}, device={self.device})"

    @property
    def shape(self) -> torch.Size:
        """That of the inputs, `(N, *event)`."""
        return self.inputs.shape

    @property
    def device(self) -> torch.device:
        """Where the inputs are."""
        return self.inputs.device

    def to(self, where: torch.device | torch.dtype | str, *, non_blocking: bool = False) -> "Pairs":
        """The same pairs on another device, or in another floating type, which class labels never take."""
        if not isinstance(where, torch.dtype):
            moved = (each.to(where, non_blocking=non_blocking) for each in (self.inputs, self.targets))
            return Pairs(*moved)
        return Pairs(*(each.to(where) if each.is_floating_point() else each for each in (self.inputs, self.targets)))


def check_log_weights(log_w: object, dim: int = 0) -> None:
    """Refuse anything but a floating tensor with at least one sample along `dim`.

    Raises:
        ValueError: if `log_w` is not floating point, has no axis `dim`, or no sample on it.
    """
    if not isinstance(log_w, Tensor) or not torch.is_floating_point(log_w):
        kind = log_w.dtype if isinstance(log_w, Tensor) else type(log_w).__name__
        raise ValueError(f"log-weights must be a floating-point tensor of shape (K, *batch), got {kind}")
    if not -log_w.ndim <= dim < log_w.ndim:
        raise ValueError(f"log-weights of shape {tuple(log_w.shape)} have no sample axis {dim}")
    if log_w.shape[dim] == 0:
        shape = tuple(log_w.shape)
        raise ValueError(f"log-weights of shape {shape} hold no sample along axis {dim}; draw at least one")


def check_samples(samples: int) -> None:
    """Refuse a sample count below one.

    Raises:
        ValueError: naming it.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; draw at least one")


def check_noise(noise: Tensor, expected: tuple[int, ...]) -> None:
    """Refuse noise of another shape than `expected`, and a sample count below one.

    Raises:
        ValueError: naming both shapes, or the sample count.
    """
    if expected[0] < 1:
        raise ValueError(f"samples is {expected[0]}; draw at least one for each datum")
    if noise.shape != expected:
        raise ValueError(f"noise has shape {tuple(noise.shape)}; expected (samples, B, latent) = {expected}")
