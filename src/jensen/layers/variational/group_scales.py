r"""Scales that the weights of a group share: priors that shrink whole groups, and their posteriors.

Weights are $w_{ij} = z_i \tilde w_{ij}$ with one scale $z_i$ for each group $i$. Under the normal-Jeffreys prior the
posterior of a scale is Gaussian; under the horseshoe it is lognormal, a product of four lognormal pieces, two of which
all groups share.

References:
    | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017)
    | https://arxiv.org/abs/1705.08665v4
"""

import math

import torch
from torch import Tensor, nn

from jensen.distributions import kl_log_uniform, kl_lognormal_gamma, root_of_lognormals

__all__ = ["HorseshoeScales", "NormalJeffreysScales"]


class NormalJeffreysScales(nn.Module):
    r"""Gaussian posteriors of scales under the normal-Jeffreys prior (group variational dropout, BC-GNJ).

    $$p(z_i) \propto 1 / |z_i|, \qquad q(z_i) = \mathcal{N}(\mu_i, \mu_i^2 \alpha_i)$$

    All scales start at $\mu_i = 1$.

    Args:
        groups: their number $G$.
        initial_log_variance: where $\log \mu_i^2 \alpha_i$ starts.

    Attributes:
        noise_size: how many standard normal numbers make one draw of all scales, $G$.

    Raises:
        ValueError: if there is no group.

    Example:
        >>> scales = NormalJeffreysScales(3)
        >>> scales.log_alpha()
        tensor([-9., -9., -9.], grad_fn=<SubBackward0>)

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4.1
        | https://arxiv.org/abs/1705.08665v4
    """

    def __init__(self, groups: int, *, initial_log_variance: float = -9.0) -> None:
        super().__init__()
        _check_groups(groups)
        self.noise_size = groups
        self.mean = nn.Parameter(torch.ones(groups))
        self.log_variance = nn.Parameter(torch.full((groups,), float(initial_log_variance)))

    def from_noise(self, noise: Tensor) -> Tensor:
        """The scales that standard normal noise `(*batch, G)` stands for, `(*batch, G)`."""
        return torch.addcmul(self.mean, (0.5 * self.log_variance).exp(), noise)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance of every scale, `(G,)` each."""
        return self.mean, self.log_variance.exp()

    def log_alpha(self) -> Tensor:
        """Logarithm of variance by squared mean, `(G,)`; finite where the mean is zero."""
        tiny = torch.finfo(self.mean.dtype).tiny
        return self.log_variance - self.mean.square().clamp_min(tiny).log()

    def kl(self) -> Tensor:
        """Divergence from the prior in nats by Molchanov's approximation, `()`."""
        return kl_log_uniform(self.log_alpha()).sum()


class HorseshoeScales(nn.Module):
    r"""Lognormal posteriors of scales under the horseshoe prior (BC-GHS).

    $$z_i = s \tilde z_i, \quad s \sim \mathcal{C}^+(0, \tau_0), \quad \tilde z_i \sim \mathcal{C}^+(0, 1); \qquad
    s = \sqrt{s_a s_b}, \quad \tilde z_i = \sqrt{\tilde \alpha_i \tilde \beta_i},$$

    $$s_a \sim \mathrm{Gamma}(\tfrac{1}{2}, \tau_0^2), \quad s_b \sim \mathrm{InvGamma}(\tfrac{1}{2}, 1), \quad
    \tilde \alpha_i \sim \mathrm{Gamma}(\tfrac{1}{2}, 1), \quad \tilde \beta_i \sim \mathrm{InvGamma}(\tfrac{1}{2}, 1)$$

    Each piece has a lognormal posterior, so $\log z_i$ is Gaussian with half the sum of the four means and a quarter of
    the sum of the four variances. The scale $s$ is one for all groups: its noise is, too, the first number of a draw.
    The pieces start at the minimum of their divergence at that variance, which makes every $z_i = 1$.

    Args:
        groups: their number $G$.
        global_scale: $\tau_0$.
        initial_log_variance: where the logarithm of the variance of the logarithm of each piece starts.

    Attributes:
        noise_size: how many standard normal numbers make one draw of all scales, $G + 1$.
        mean: means of the logarithms of $s_a$ and all $\tilde \alpha_i$ in the first row, of $s_b$ and all
            $\tilde \beta_i$ in the second, `(2, 1 + G)`.
        log_variance: logarithms of their variances, `(2, 1 + G)`.

    Raises:
        ValueError: if there is no group, or `global_scale` is not positive and finite.

    Example:
        >>> mean, variance = HorseshoeScales(2, global_scale=1e-5).moments()
        >>> mean
        tensor([1.0001, 1.0001], grad_fn=<ExpBackward0>)

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4.2
        | https://arxiv.org/abs/1705.08665v4
    """

    log_prior_scale: Tensor

    def __init__(self, groups: int, *, global_scale: float = 1e-5, initial_log_variance: float = -9.0) -> None:
        super().__init__()
        _check_groups(groups)
        if not 0 < global_scale < math.inf:
            raise ValueError(f"global_scale is {global_scale}; the half-Cauchy needs a positive number")
        self.noise_size = groups + 1
        prior = torch.zeros(2, groups + 1)
        prior[0, 0] = 2 * math.log(global_scale)
        self.register_buffer("log_prior_scale", prior, persistent=False)
        start = prior + math.log(2.0) * torch.tensor([[-1.0], [1.0]])
        start[1, 0] -= prior[0, 0]
        self.mean = nn.Parameter(start)
        self.log_variance = nn.Parameter(torch.full_like(start, float(initial_log_variance)))

    def from_noise(self, noise: Tensor) -> Tensor:
        """The scales that standard normal noise `(*batch, G + 1)` stands for, `(*batch, G)`; the first is that of s."""
        mean, variance = root_of_lognormals(self.mean, self.log_variance.exp())
        log_scales = torch.addcmul(mean, variance.sqrt(), noise)
        return torch.exp(log_scales[..., 1:] + log_scales[..., :1])

    def moments(self) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance of every scale, `(G,)` each, of the lognormal marginal."""
        log_mean, log_variance = self._moments_of_log()
        mean = torch.exp(log_mean + 0.5 * log_variance)
        return mean, mean.square() * torch.expm1(log_variance)

    def log_alpha(self) -> Tensor:
        """Logarithm of variance by squared mean of the marginal of every scale, `(G,)`."""
        return torch.expm1(self._moments_of_log()[1]).log()

    def kl(self) -> Tensor:
        """Divergence of all pieces from their priors in nats, exact, `()`.

        That of an inverse gamma piece is that of its reciprocal, whose logarithm has the opposite mean.
        """
        reciprocal = torch.stack((self.mean[0], -self.mean[1]))
        return kl_lognormal_gamma(
            reciprocal - self.log_prior_scale, self.log_variance.exp(), shape=0.5, scale=1.0
        ).sum()

    def _moments_of_log(self) -> tuple[Tensor, Tensor]:
        mean, variance = root_of_lognormals(self.mean, self.log_variance.exp())
        return mean[1:] + mean[0], variance[1:] + variance[0]


def _check_groups(groups: int) -> None:
    if groups < 1:
        raise ValueError(f"there are {groups} groups; at least one is needed")
