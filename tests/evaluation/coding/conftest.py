"""Models whose bound, and even whose evidence, is known: what a code must weigh."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from jensen.distributions import DiagonalNormal, StandardNormal
from jensen.layers import BernoulliMLP, GaussianMLP
from jensen.models import IWAE, VAE, LadderVAE

LEVELS = 200
LOW, HIGH = -8.0, 8.0
STEP = (HIGH - LOW) / (LEVELS - 1)


class NormalLevels(Distribution):
    """Pixels of 200 levels, with the masses of a Gaussian at them, made to sum to one."""

    support = constraints.independent(constraints.unit_interval, 1)
    arg_constraints = {}
    levels = LEVELS

    def __init__(self, mean: Tensor, scale: float) -> None:
        self.loc, self.scale = mean, scale
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    def log_prob_of_levels(self) -> Tensor:
        places = torch.linspace(LOW, HIGH, LEVELS, dtype=self.loc.dtype)
        return (-0.5 * ((places - self.loc.unsqueeze(-1)) / self.scale).square()).log_softmax(-1)


class LinearGaussian(nn.Module):
    """z ~ N(0, I_2); four pixels x ~ N(Wz, s^2), two for each latent, so that p(z|x) has independent entries.

    The levels lie so close (0.08 of them against s = 0.5) that p(x) is that of the continuous model times the step.
    """

    def __init__(self, *, shift: float = 0.0, width: float = 1.0) -> None:
        super().__init__()
        W = torch.tensor([[1.2, 0.0], [0.7, 0.0], [0.0, 1.0], [0.0, -0.9]], dtype=torch.float64)
        self.W, self.s = nn.Parameter(W), 0.5
        self.shift, self.width = shift, width

    def prior(self) -> StandardNormal:
        return StandardNormal(self.W.new_zeros(2))

    def exact(self, x: Tensor) -> tuple[Tensor, Tensor]:
        variance = 1 / (1 + self.W.square().sum(0) / self.s**2)
        return (x * (HIGH - LOW) + LOW) @ self.W / self.s**2 * variance, variance.sqrt()

    def posterior(self, x: Tensor) -> DiagonalNormal:
        mean, scale = self.exact(x)
        return DiagonalNormal(mean + self.shift * scale, (self.width * scale).log().expand_as(mean))

    def likelihood(self, z: Tensor) -> NormalLevels:
        return NormalLevels(z @ self.W.T, self.s)

    def divergence(self) -> float:
        """KL(q || p(z|x)) in bits, the same for every x."""
        each = 0.5 * (self.width**2 + self.shift**2 - 1) - math.log(self.width)
        return 2 * each / math.log(2)

    def draw(self, count: int) -> np.ndarray:
        noise = np.random.default_rng(5)
        W = self.W.detach().numpy()
        x = noise.standard_normal((count, 2)) @ W.T + self.s * noise.standard_normal((count, 4))
        return np.clip(np.rint((x - LOW) / STEP), 0, LEVELS - 1).astype(np.int32)

    def surprise(self, levels: np.ndarray) -> float:
        """-log2 p(x) of all images."""
        return surprise(levels, self.W.detach(), self.s)


class Affine(nn.Module):
    """N(a z, s^2), entry by entry."""

    def __init__(self, a: float, s: float) -> None:
        super().__init__()
        self.a, self.log_s = nn.Parameter(torch.tensor(a).double()), nn.Parameter(torch.tensor(s).double().log())

    def forward(self, z: Tensor) -> DiagonalNormal:
        return DiagonalNormal(self.a * z, self.log_s.expand_as(z))


class Pixels(nn.Module):
    """The pixels of `LinearGaussian`, and what they say of the latents below, as a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.world = LinearGaussian()
        self.precision = self.world.W.detach().square().sum(0) / self.world.s**2

    def forward(self, z: Tensor) -> NormalLevels:
        return self.world.likelihood(z)

    def says(self, x: Tensor) -> Tensor:
        return (x * (HIGH - LOW) + LOW) @ self.world.W / self.world.s**2 / self.precision


class Said(nn.Module):
    """N(c d, v) for both units."""

    def __init__(self, c: Tensor, v: Tensor) -> None:
        super().__init__()
        self.c, self.v = c, v

    def forward(self, d: Tensor) -> DiagonalNormal:
        return DiagonalNormal(self.c * d, (0.5 * self.v.log()).expand_as(d))


class LinearGaussianLadder:
    """z2 ~ N(0, I_2), z1 ~ N(a z2, t^2 I_2), and the pixels of `LinearGaussian`: its posterior is a ladder's."""

    a, t = 1.5, 0.4

    def __init__(self) -> None:
        pixels = Pixels()
        v = 1 / pixels.precision
        up = nn.Identity()
        up.forward = pixels.says
        spread = self.t**2 + v
        top = Said(self.a / (spread + self.a**2), spread / (spread + self.a**2))
        evidence = [Said(torch.ones(2, dtype=torch.float64), v), top]
        self.W, self.s = pixels.world.W.detach(), pixels.world.s
        self.model = LadderVAE(
            up=[up, nn.Identity()], evidence=evidence, decoders=[pixels, Affine(self.a, self.t)], latents=[2, 2]
        )

    def draw(self, count: int) -> np.ndarray:
        noise = np.random.default_rng(8)
        z = self.a * noise.standard_normal((count, 2)) + self.t * noise.standard_normal((count, 2))
        x = z @ self.W.T.numpy() + self.s * noise.standard_normal((count, 4))
        return np.clip(np.rint((x - LOW) / STEP), 0, LEVELS - 1).astype(np.int32)

    def surprise(self, levels: np.ndarray) -> float:
        """-log2 p(x) of all images."""
        return surprise(levels, self.W * (self.a**2 + self.t**2) ** 0.5, self.s)

    def divergence(self) -> float:
        """E KL(p(z1|z2) || N(0, I)) in bits."""
        return 2 * (0.5 * (self.t**2 + self.a**2 - 1) - math.log(self.t)) / math.log(2)


def surprise(levels: np.ndarray, W: Tensor, s: float) -> float:
    """-log2 p(x) of all images under x ~ N(Wz, s^2), z ~ N(0, I)."""
    x = torch.from_numpy(levels * STEP + LOW)
    covariance = W @ W.T + s**2 * torch.eye(4, dtype=torch.float64)
    p = torch.distributions.MultivariateNormal(torch.zeros(4, dtype=torch.float64), covariance)
    return -float((p.log_prob(x) + 4 * math.log(STEP)).sum()) / math.log(2)


@pytest.fixture
def linear_gaussian():
    return LinearGaussian


@pytest.fixture
def linear_gaussian_ladder():
    return LinearGaussianLadder()


@pytest.fixture
def vae():
    torch.manual_seed(3)
    model = VAE(encoder=GaussianMLP(16, (12,), 3), decoder=BernoulliMLP(3, (12,), 16), latent=3)
    for parameter in model.parameters():
        parameter.data.mul_(1.5)
    return model


@pytest.fixture
def iwae():
    torch.manual_seed(4)
    encoders = [GaussianMLP(16, (12,), 5), GaussianMLP(5, (8,), 2)]
    decoders = [BernoulliMLP(5, (12,), 16), GaussianMLP(2, (8,), 5)]
    return IWAE(encoders=encoders, decoders=decoders, latents=[5, 2])


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 2, (101, 4, 4)).astype(np.uint8)
