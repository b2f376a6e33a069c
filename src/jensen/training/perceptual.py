r"""Constraints in the eyes of a network or patch by patch: what a reconstruction must keep, if not its pixels.

Expectation: $\mathbb{E}_{q(z \mid x)}[C(x, z)]$ for `constraints.Constrained`. All of them look at the pixel means
$g(z) = \mathbb{E}_{p(x \mid z)}[x]$. The networks are fixed: a copy in evaluation mode, whose parameters do not learn.

References:
    | Taming VAEs (Rezende & Viola, 2018)
    | https://arxiv.org/abs/1810.00597
"""

from copy import deepcopy
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, unfold

from jensen._contracts import Inference
from jensen.training.constraints import check_tolerance

__all__ = ["ClassificationError", "FeatureError", "PatchCorrelation"]

FLAT = 1e-4
"""A patch whose variance is well below this counts as flat; two flat patches correlate."""


class FeatureError(nn.Module):
    r"""Squared error of features $f$ of the pixel means, summed over the features, minus $\kappa^2$.

    $$C(x, z) = \|f(x) - f(g(z))\|^2 - \kappa^2$$

    Args:
        features: a network from pixels `(N, pixels)` to features `(N, *features)`.
        kappa: the tolerance $\kappa$, in the units of the features' Euclidean norm.

    Raises:
        ValueError: if the tolerance is not positive.

    Example:
        >>> FeatureError(nn.Linear(64, 10), kappa=2.0).scale
        4.0
    """

    def __init__(self, features: nn.Module, *, kappa: float) -> None:
        super().__init__()
        check_tolerance(kappa)
        self.features, self.kappa = _fixed(features), kappa

    @property
    def scale(self) -> float:
        r"""$\kappa^2$."""
        return self.kappa**2

    def forward(self, x: Tensor, inference: Inference) -> Tensor:
        """The violation at each datum, mean over the draws, `(B,)`."""
        seen = _of_draws(self.features, inference.likelihood.mean).flatten(2)  # (K, B, F)
        difference: Tensor = self.features(x).flatten(1) - seen
        return difference.square().sum(-1).mean(0) - self.scale

    def extra_repr(self) -> str:
        """The tolerance."""
        return f"kappa={self.kappa}"


class ClassificationError(nn.Module):
    r"""Surprise of a classifier at the class that it gives the datum itself, minus $\kappa$ nats.

    $$C(x, z) = -\log c(l(x) \mid g(z)) - \kappa, \qquad l(x) = \arg\max_l c(l \mid x)$$

    No labels are needed. At $\kappa = 0.1$ the reconstruction keeps the class with a probability of about 0.9.

    Args:
        classifier: a network from pixels `(N, pixels)` to logits `(N, classes)`.
        kappa: the tolerance $\kappa$ in nats.

    Raises:
        ValueError: if the tolerance is not positive; when called, if there are no logits `(N, classes)`.

    Example:
        >>> ClassificationError(nn.Linear(64, 10), kappa=0.1).scale
        0.1
    """

    def __init__(self, classifier: nn.Module, *, kappa: float) -> None:
        super().__init__()
        check_tolerance(kappa)
        self.classifier, self.kappa = _fixed(classifier), kappa

    @property
    def scale(self) -> float:
        r"""$\kappa$."""
        return self.kappa

    def forward(self, x: Tensor, inference: Inference) -> Tensor:
        """The violation at each datum, mean over the draws, `(B,)`."""
        logits = self.classifier(x)
        if logits.ndim != 2:
            raise ValueError(f"the classifier gave {tuple(logits.shape)} for {len(x)} data; expected (N, classes)")
        seen = _of_draws(self.classifier, inference.likelihood.mean)  # (K, B, classes)
        label = logits.argmax(-1).expand(seen.shape[:2])
        return cross_entropy(seen.movedim(-1, 1), label, reduction="none").mean(0) - self.kappa

    def extra_repr(self) -> str:
        """The tolerance."""
        return f"kappa={self.kappa}"


@dataclass(frozen=True)
class PatchCorrelation:
    r"""$\kappa$ minus the correlation of the datum with the pixel means, mean over all patches.

    $$C(x, z) = \kappa - \frac{1}{P} \sum_{i=1}^{P} \mathrm{corr}(x_{[i]}, g(z)_{[i]})$$

    Brightness and contrast of a patch do not count. A patch is taken around every pixel that has one; two patches that
    are both flat count as correlated.

    Attributes:
        kappa: the correlation that is asked for, above -1 and below 1.
        shape: of an image, `(H, W)` or `(H, W, C)`; data are flat in that order.
        patch: side of a patch.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> PatchCorrelation(0.75, shape=(8, 8), patch=3).scale
        0.25
    """

    kappa: float
    shape: tuple[int, ...]
    patch: int = 5

    def __post_init__(self) -> None:
        """Refuse what no correlation can be, and patches that no image has."""
        if not -1 < self.kappa < 1:
            raise ValueError(f"kappa is a correlation above -1 and below 1, got {self.kappa}")
        if len(self.shape) not in (2, 3) or not 2 <= self.patch <= min(self.shape[:2]):
            raise ValueError(f"an image of shape {self.shape} has no patches of side {self.patch}; at least 2")

    @property
    def scale(self) -> float:
        r"""$1 - \kappa$, the room below a perfect correlation."""
        return 1.0 - self.kappa

    def __call__(self, x: Tensor, inference: Inference) -> Tensor:
        """The violation at each datum, mean over the draws, `(B,)`."""
        seen = self._patches(inference.likelihood.mean.flatten(0, 1))
        seen = seen.reshape(-1, len(x), *seen.shape[1:])  # (K, B, P, p)
        return self.kappa - _correlation(self._patches(x), seen).mean(-1).mean(0)

    def _patches(self, pixels: Tensor) -> Tensor:
        """Every patch, its mean subtracted: `(N, pixels)` to `(N, P, values)`."""
        if pixels.shape[-1] != prod(self.shape):
            raise ValueError(f"data of {pixels.shape[-1]} pixels are no images of shape {self.shape}")
        height, width = self.shape[:2]
        images = pixels.reshape(len(pixels), height, width, -1).movedim(-1, 1)
        patches = unfold(images, self.patch).mT
        return patches - patches.mean(-1, keepdim=True)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Of centred patches along the last axis."""
    covariance, first, second = (a * b).mean(-1), a.square().mean(-1), b.square().mean(-1)
    return (covariance + FLAT) * ((first + FLAT) * (second + FLAT)).rsqrt()


def _of_draws(network: nn.Module, pixels: Tensor) -> Tensor:
    """A network of plain batches at draws `(K, B, pixels)`: `(K, B, *out)`."""
    out: Tensor = network(pixels.flatten(0, 1))
    return out.reshape(*pixels.shape[:2], *out.shape[1:])


def _fixed(network: nn.Module) -> nn.Module:
    return deepcopy(network).requires_grad_(False).eval()
