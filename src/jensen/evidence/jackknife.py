"""The jackknife of importance-weighted bounds as an estimate of the log-evidence, with its error."""

import math
from collections.abc import Iterator

from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_k
from jensen.bounds import iwae
from jensen.bounds import jackknife as jackknife_bound
from jensen.evidence._weights import as_values, is_heavy, kish

__all__ = ["jackknife"]


def jackknife(log_weights: Tensor, *, order: int = 1) -> Evidence:
    r"""Mean of the jackknife-corrected bounds of independent replicates: an estimate of $\log Z$, and no bound.

    $$\log \hat Z = \frac{1}{R} \sum_r \hat{\mathcal{L}}_K^{J, m}(w_{1r}, \ldots, w_{Kr}), \qquad
    \mathrm{se} = \frac{\mathrm{sd}_r}{\sqrt R}$$

    The bias is $O(K^{-(m+1)})$ where the weights have $m + 2$ moments; more replicates make the error smaller and leave
    the bias as it is. `bounds.jackknife_bias` predicts it. The diagnostic `iwae` is the bound that order 0 would give,
    `correction` what the jackknife added to it: as long as that is large beside the error, the bias that is left may be
    too.

    Args:
        log_weights: $\log p(y, \theta) - \log q(\theta)$ of independent draws of $q$, `(K, R)`: K to each bound, R
            bounds; or `(K,)`. `-inf` is a weight of zero; NaN is counted, and taken for one.
        order: the number $m$ of bias terms to remove, below K.

    Returns:
        An estimate; its `std_error` is NaN for a single replicate.

    Raises:
        ValueError: if the shape is another, there are fewer than two draws, a weight is infinite, `order` is negative
            or not below K, or a replicate has no more than `order` positive weights.

    Example:
        >>> w = torch.distributions.Exponential(torch.ones((), dtype=torch.float64)).sample((20, 500))
        >>> print(jackknife(w.log()))
        log Z = 0.01 ± 0.01 (jackknife)

    References:
        | Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference (Nowozin, 2018), eq. 14
        | https://openreview.net/forum?id=HyZoi-WRb
    """  # noqa: E501
    log_w, nan = _checked(log_weights)
    K, R = log_w.shape
    estimates = jackknife_bound(log_w, order=order)
    if not bool(estimates.isfinite().all()):
        poor = int((~estimates.isfinite()).sum())
        raise ValueError(f"{poor} of {R} replicates have no more than {order} positive weights; use more draws in each")
    log_z, bound = float(estimates.mean()), float(iwae(log_w).mean())
    k = pareto_k(log_w)
    diagnostics: dict[str, Diagnostic] = {
        "order": order,
        "bias": f"O(K^-{order + 1}), of either sign: no bound" if order else "O(K^-1), below zero: a bound",
        "iwae": bound,
        "correction": log_z - bound,
        "pareto_k": k,
        "samples": K,
        "replicates": R,
        "draws": log_w.numel(),
        "nan": nan,
        "minus_inf": int((log_w == -math.inf).sum()) - nan,
    }
    error = float(estimates.std()) / math.sqrt(R) if R > 1 else math.nan
    return Evidence(log_z, error, diagnostics, method="jackknife", warnings=tuple(_warnings(log_w, k=k, nan=nan)))


def _checked(log_weights: Tensor) -> tuple[Tensor, int]:
    """Log-weights `(K, R)` in double precision without NaN, and how many there were."""
    log_weights = as_values(log_weights, "log_weights")
    if log_weights.ndim not in (1, 2) or not log_weights.is_floating_point() or log_weights.numel() < 2:
        raise ValueError(f"log_weights must be (K, R) or (K,), two draws at least, got {tuple(log_weights.shape)}")
    log_w = log_weights.detach().cpu().double()
    log_w = log_w.unsqueeze(-1) if log_w.ndim == 1 else log_w
    if bool((log_w == math.inf).any()):
        raise ValueError(f"log_weights is +inf at {int((log_w == math.inf).sum())} of {log_w.numel()} draws")
    return log_w.nan_to_num(-math.inf, neginf=-math.inf), int(log_w.isnan().sum())


def _warnings(log_w: Tensor, *, k: float, nan: int) -> Iterator[str]:
    if is_heavy(k, draws=log_w.numel(), share=kish(log_w) / log_w.numel()):
        yield (
            f"The weights have a Pareto tail index of {k:.2f}: the moments in the bias are too large or infinite, and "
            "its order is not reached."
        )
    if log_w.shape[1] == 1:
        yield "A single replicate has no spread to take an error from; give the weights as (K, R) with R > 1."
    if nan:
        yield f"{nan} of {log_w.numel()} log-weights are NaN and were given weight zero."
