"""What lies below the log-evidence, given as what it is."""

import math

from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_k
from jensen.evidence._weights import Cleaned, clean, kish, mean_with_error

__all__ = ["elbo"]


def elbo(log_weights: Tensor) -> Evidence:
    r"""Evidence lower bound: the mean log-weight of draws from a variational density.

    $$\mathcal{L} = \frac{1}{N} \sum_{n=1}^{N} \log w_n, \qquad
    \mathbb{E}[\mathcal{L}] = \log Z - \mathrm{KL}(q \,\|\, p(\theta \mid y)), \quad
    w_n = \frac{p(y \mid \theta_n)\, p(\theta_n)}{q(\theta_n)}$$

    The standard error is that of *the bound*; how far it lies below $\log Z$ has none. The same draws'
    importance-weighted bound $\log \frac{1}{N} \sum_n w_n$ less the ELBO is a first idea of that gap, too small in
    expectation.

    Args:
        log_weights: $\log w_n$, `(N,)`, of independent draws from $q$; where one is `-inf`, so is the bound.

    Returns:
        A result of kind `bound`, in nats; `diagnostics` holds `iwae`, `gap` (`iwae` less the bound), `pareto_k`,
        `effective_sample_size` (Kish), `draws`, `nan`, `minus_inf`.

    Raises:
        ValueError: if there are fewer than two draws, any is `inf`, or all are `-inf` or NaN.

    Example:
        >>> found = elbo(torch.tensor([-1.0, -3.0, -2.0, -2.0], dtype=torch.float64))
        >>> print(found)
        log Z ≥ -2.0 ± 0.4 (elbo)
        >>> round(found.diagnostics["gap"], 2)
        0.24

    References:
        | Automatic Differentiation Variational Inference (Kucukelbir, Tran, Ranganath, Gelman & Blei, 2017), eq. 6
        | https://arxiv.org/abs/1603.00788
    """
    cleaned = clean(log_weights, "log_weights")
    if cleaned.values.ndim != 1:
        raise ValueError(f"log_weights must be independent draws (N,), got {tuple(cleaned.values.shape)}")
    iwae = mean_with_error(cleaned.values).value
    bound, error = _mean(cleaned)
    diagnostics: dict[str, Diagnostic] = {
        "iwae": iwae,
        "gap": iwae - bound,
        "pareto_k": pareto_k(cleaned.values),
        "effective_sample_size": kish(cleaned.values),
        **cleaned.counts,
    }
    warnings = (*_sentences(bound, iwae), *cleaned.warnings("log_weights"))
    return Evidence(bound, error, diagnostics, method="elbo", kind="bound", warnings=warnings)


def _mean(cleaned: Cleaned) -> tuple[float, float]:
    """The mean log-weight and its standard error; `-inf` and NaN where a weight is zero."""
    values = cleaned.values
    if cleaned.nan + cleaned.minus_inf:
        return -math.inf, math.nan
    shift = values[0]
    return float(shift + (values - shift).mean()), float(values.std()) / math.sqrt(len(values))


def _sentences(bound: float, iwae: float) -> tuple[str, ...]:
    if bound == -math.inf:
        return ("The density reaches where the joint density is zero, so that the bound is -inf and has no error.",)
    gap = f"{iwae - bound:.2g}"
    return (
        f"A lower bound: the error is its own, and none is known for its gap to log Z (above {gap} by these draws).",
    )
