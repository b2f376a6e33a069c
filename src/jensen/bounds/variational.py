"""The evidence lower bound, and the two estimators of it in the paper on variational autoencoders."""

from torch import Tensor

from jensen._contracts import LogWeights, check_log_weights

__all__ = ["elbo", "minibatch", "sgvb_a", "sgvb_b"]


def elbo(log_w: Tensor, *, dim: int = 0) -> Tensor:
    r"""Evidence lower bound, the mean log-weight, in nats.

    $$\mathcal{L} = \frac{1}{K} \sum_{k=1}^{K} \log w_k, \qquad \mathbb{E}[\mathcal{L}] \le \log p(x)$$

    More samples make it less noisy, not tighter: `iwae` is its neighbour with the logarithm outside the mean. The gap
    is $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$.

    Args:
        log_w: log-weights $\log p(x, z) - \log q(z \mid x)$, `(K, *batch)`.
        dim: the axis of the $K$ samples.

    Returns:
        The bound, `(*batch)`.

    Raises:
        ValueError: if `log_w` is not floating point or holds no sample.

    Example:
        >>> elbo(torch.tensor([0.0, math.log(3.0)]))
        tensor(0.5493)

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 2
        | https://arxiv.org/abs/1312.6114v11
    """
    check_log_weights(log_w, dim)
    return log_w.mean(dim)


def sgvb_a(log_weights: LogWeights) -> Tensor:
    r"""Estimator A of the evidence lower bound: everything by Monte Carlo, in nats.

    $$\tilde{\mathcal{L}}^A = \frac{1}{L} \sum_{l=1}^{L} \log p(x, z^{(l)}) - \log q(z^{(l)} \mid x)$$

    Args:
        log_weights: the three log-densities, `(L, B)` each.

    Returns:
        The bound, `(B,)`.

    Raises:
        ValueError: if there is no sample.

    Example:
        >>> sgvb_a(LogWeights(torch.tensor([[-3.0]]), torch.tensor([[-1.0]]), torch.tensor([[-0.5]])))
        tensor([-3.5000])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 6
        | https://arxiv.org/abs/1312.6114v11
    """
    return elbo(log_weights.total)


def sgvb_b(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    r"""Estimator B of the evidence lower bound: only the reconstruction term by Monte Carlo, in nats.

    $$\tilde{\mathcal{L}}^B = -\mathrm{KL}(q(z \mid x) \,\|\, p(z))
    + \frac{1}{L} \sum_{l=1}^{L} \log p(x \mid z^{(l)})$$

    Of the same expectation as `sgvb_a`. The closed form may stand in a *mean* over $L$ samples. It may not stand inside
    the logarithm of `iwae`: $\log \frac{1}{K} \sum_k p(x \mid z_k) - \mathrm{KL}$ can exceed $\log p(x)$ and is no
    bound.

    Args:
        log_likelihood: $\log p(x \mid z^{(l)})$, `(L, B)`.
        kl: the divergence in closed form, `(B,)`.

    Returns:
        The bound, `(B,)`.

    Raises:
        ValueError: if the shapes do not belong together.

    Example:
        >>> sgvb_b(torch.tensor([[-3.0], [-5.0]]), torch.tensor([0.5]))
        tensor([-4.5000])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 7
        | https://arxiv.org/abs/1312.6114v11
    """
    check_log_weights(log_likelihood)
    if kl.shape != log_likelihood.shape[1:]:
        raise ValueError(
            f"kl of shape {tuple(kl.shape)} does not fit log_likelihood of shape {tuple(log_likelihood.shape)}: "
            f"give one divergence for each datum, shape {tuple(log_likelihood.shape[1:])}"
        )
    return log_likelihood.mean(0) - kl


def minibatch(bound: Tensor, *, dataset_size: int) -> Tensor:
    r"""Estimate of the bound on a whole data set from the bounds on a minibatch of it, in nats.

    $$\mathcal{L}(X) \approx \frac{N}{M} \sum_{i=1}^{M} \mathcal{L}(x^{(i)})$$

    Unbiased when the $M$ data are drawn uniformly from the $N$.

    Args:
        bound: the bound on each datum of the minibatch, `(M,)`.
        dataset_size: the number $N$ of data.

    Returns:
        The estimate, a scalar.

    Raises:
        ValueError: if the minibatch is empty, not of shape `(M,)`, larger than the data set, or not floating point.

    Example:
        >>> minibatch(torch.tensor([-90.0, -110.0]), dataset_size=60_000)
        tensor(-6000000.)

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), eq. 8
        | https://arxiv.org/abs/1312.6114v11
    """
    if bound.ndim != 1 or not 1 <= bound.shape[0] <= dataset_size:
        raise ValueError(f"a minibatch of shape {tuple(bound.shape)} is not (M,) with 1 <= M <= {dataset_size}")
    if not bound.is_floating_point():
        raise ValueError(f"the bounds on a minibatch must be floating point, got {bound.dtype}")
    return dataset_size * bound.mean()
