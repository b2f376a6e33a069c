"""Normalising flows as posteriors, by `zuko`, which is imported when the first one is made."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from jensen.distributions import DiagonalNormal, Pushforward

__all__ = ["FLOWS", "FlowPosterior"]

FLOWS = {"maf": "MAF", "nsf": "NSF", "naf": "NAF"}
"""Flows by the name that recipes call them: affine, rational-quadratic splines, neural autoregressive."""


class FlowPosterior(nn.Module):
    r"""A posterior that need not be Gaussian: an encoder's Gaussian, carried through an autoregressive flow.

    $$z_0 = \mu(x) + \sigma(x) \odot \epsilon, \qquad z = f(z_0; \mu(x), \log \sigma(x)), \qquad
    \log q(z \mid x) = \log \mathcal{N}(z_0; \mu, \mathrm{diag}(\sigma^2)) - \log |\det \partial f / \partial z_0|$$

    The flow runs from noise to latents (inverse autoregressive), so that a draw and its density are one pass. Each of
    its transforms sees $\mu(x)$ and $\log \sigma(x)$ as its context. There is no closed-form divergence from a prior: a
    bound of such a model takes its terms at draws.

    Differs from the paper: its context is another output of the encoder, here it is the Gaussian's parameters, so that
    any encoder will do.

    Args:
        encoder: a module from data to a `DiagonalNormal` over latents.
        latent: number of latent units.
        flow: `maf` (affine transforms, as in the paper), `nsf` (rational-quadratic splines within $[-5, 5]$, identity
            outside) or `naf` (monotone networks).
        transforms: how many, each in the reverse order of the one before.
        hidden: widths of the network of each.

    Raises:
        ValueError: if `zuko` is not installed, there is no such flow, or a size is below one.

    Example:
        >>> q = FlowPosterior(GaussianMLP(6, (8,), 2), 2, flow="nsf", hidden=(16,))(torch.zeros(3, 6))
        >>> q.rsample((5,)).shape
        torch.Size([5, 3, 2])

    References:
        | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent: int,
        *,
        flow: str = "maf",
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        super().__init__()
        if flow not in FLOWS:
            raise ValueError(f"there is no flow {flow!r}; there are {', '.join(FLOWS)}")
        if min(latent, transforms, *hidden) < 1:
            raise ValueError(f"sizes must be positive, got latent {latent}, transforms {transforms}, hidden {hidden}")
        self.encoder = encoder
        made = getattr(_zuko().flows, FLOWS[flow])(
            latent, 2 * latent, transforms=transforms, hidden_features=tuple(hidden), activation=nn.ELU
        )
        self.transform: nn.Module = made.transform

    def forward(self, x: Tensor) -> Pushforward:
        """The posterior given data, `(*batch, pixels)`."""
        base: DiagonalNormal = self.encoder(x)
        context = torch.cat([base.loc, base.log_scale], -1)
        return Pushforward(base, self.transform(context), validate_args=False)


def _zuko() -> Any:
    """The package; importing it switches off the validation of torch's distributions, which is switched on again."""
    validates = Distribution._validate_args
    try:
        import zuko
    except ImportError as error:
        raise ValueError("a flow needs zuko: pip install 'jensen[flows]'") from error
    finally:
        Distribution.set_default_validate_args(validates)
    return zuko
