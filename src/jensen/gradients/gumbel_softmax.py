r"""The gradient of a relaxed expectation in place of that of a discrete one.

Estimates the gradient of $\mathbb{E}[f(\mathrm{softmax}(z / \tau))]$, where $z$ are the Gumbel scores of q. It takes q
with a relaxation (`relaxation`) and an f that is differentiable between the corners of the simplex. The bias against
$\mathbb{E}_q[f]$ vanishes with `tau` where f is smooth, while the variance grows like $1 / \tau$. One evaluation of f
for each draw. Differentiable any number of times.

References:
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), eq. 2
    | https://arxiv.org/abs/1611.01144v5
"""

from torch import Generator, Tensor
from torch.distributions import Distribution

from jensen.gradients._parts import Cost, check_samples, evaluate
from jensen.gradients.graph import check_differentiable
from jensen.gradients.relaxation import Relaxation, check_tau, relaxation

__all__ = ["gumbel_softmax", "kernel"]


def kernel(f: Cost, p: Relaxation, *, u: Tensor, tau: float | Tensor) -> Tensor:
    r"""The mean of $f$ at relaxed samples, from uniform noise $u$, `(*batch)`.

    $$\frac{1}{K} \sum_k f\big(\sigma(z_k / \tau)\big), \qquad z_k = g(l, u_k)$$
    """
    return f(p.soften(p.scores(u), tau)).mean(0)


def gumbel_softmax(
    f: Cost, q: Distribution, *, samples: int = 1, tau: float | Tensor = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Mean of `f` at relaxed samples: value and gradient estimate the relaxed expectation, not $\mathbb{E}_q[f]$.

    $$\mathbb{E}\big[f(\sigma(z / \tau))\big] \to \mathbb{E}_q[f], \qquad \tau \to 0$$

    Args:
        f: maps relaxed samples `(K, *batch, *event)`, between the values that q takes, to costs `(K, *batch)`;
            differentiable.
        q: Bernoulli, OneHotCategorical, IndependentBernoulli, `Independent` of those, or with a method `relaxation()`.
        samples: number of draws $K$.
        tau: temperature, a number or a tensor that broadcasts against `(*batch, *variables)`.
        generator: for the noise.

    Returns:
        The relaxed expectation's estimate, `(*batch)`.

    Raises:
        UnsupportedError: if `q` has no relaxation, or `f` no derivative at the samples.
        ValueError: if `tau` is not positive, there is no draw, or `f` returns another shape.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = torch.distributions.OneHotCategorical(logits=logits)
        >>> value = gumbel_softmax(lambda z: z.sum(-1), q, samples=4)
        >>> value.detach()
        tensor(1.)

    References:
        | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), eq. 2
        | https://arxiv.org/abs/1611.01144v5
    """
    check_samples(samples)
    check_tau(tau)
    p = relaxation(q)
    return kernel(lambda z: check_differentiable(evaluate(f, z, q), z), p, u=p.noise(samples, generator), tau=tau)
