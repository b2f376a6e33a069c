r"""Watson's lemma: a Laplace transform's expansion, from the integrand's Taylor series at zero.

References:
    | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.4
    | https://doi.org/10.1007/978-1-4757-3069-2
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from jensen.asymptotics._local import without_zeros
from jensen.asymptotics.derivatives import taylor
from jensen.asymptotics.series import MOST, AsymptoticSeries, Contribution, collect

__all__ = ["watson"]


def watson(
    f: Callable[[Tensor], Tensor],
    x: float,
    *,
    alpha: float = 0.0,
    beta: float = 1.0,
    order: int | None = None,
) -> AsymptoticSeries:
    r"""The expansion of $\int_0^b t^\alpha f(t^\beta)\, e^{-xt}\, dt$ for large $x$ and any $b > 0$.

    $$\int_0^b t^\alpha f(t^\beta)\, e^{-xt}\, dt \sim \sum_n \frac{f^{(n)}(0)}{n!}\,
    \frac{\Gamma(\alpha + \beta n + 1)}{x^{\alpha + \beta n + 1}}$$

    The upper end $b$ is not asked for: it changes the integral by $O(e^{-bx})$, less than any term.

    Args:
        f: a smooth function of torch, called with one number.
        x: the large parameter, positive.
        alpha: the power of $t$ at zero, above -1.
        beta: the power of $t$ that $f$ is a function of, positive.
        order: how many terms to sum; the best number, before the smallest term, where it is not given.

    Returns:
        The series, with its value, truncation error and best order.

    Raises:
        ValueError: if `x` or `beta` is not positive, or `alpha` not above -1.

    Warns:
        UserWarning: if `order` goes past the smallest term.

    Example:
        >>> series = watson(lambda t: 1 / (1 + t), 10.0)
        >>> series.partial_sums[:3], series.order
        (tensor([0.1000, 0.0900, 0.0920], dtype=torch.float64), 10)

    References:
        | Advanced Mathematical Methods for Scientists and Engineers (Bender & Orszag, 1978), sec. 6.4
        | https://doi.org/10.1007/978-1-4757-3069-2
    """
    if not 0 < x < math.inf or not beta > 0 or not alpha > -1:
        raise ValueError(f"watson needs x > 0, alpha > -1 and beta > 0, got x = {x}, alpha = {alpha}, beta = {beta}")
    if order is not None and order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    coefficients = taylor(f, 0.0, order=(MOST if order is None else order + 2) + 4)
    if not bool(coefficients.isfinite().all()):
        raise ValueError("f must be smooth at 0; take a power of t out of it by alpha, or by beta")
    kept = torch.from_numpy(without_zeros(coefficients.to(torch.complex128).numpy()))
    powers = [alpha + beta * n + 1 for n in kept.tolist()]
    scale = torch.tensor([math.exp(math.lgamma(p) - p * math.log(x)) for p in powers], dtype=torch.float64)
    only = Contribution(0.0, (coefficients[kept] * scale).to(torch.complex128), tuple(powers))
    return collect([only], order=order, is_real=not coefficients.is_complex())
