"""The evidence as a mean of weights, raw or smoothed."""

import math

from torch import Tensor

from jensen._evidence import Diagnostic, Evidence
from jensen._pareto import pareto_smooth
from jensen.evidence._weights import (
    EVEN,
    LogMean,
    chain_mean_with_error,
    clean,
    few_warnings,
    kish,
    mean_with_error,
    tail_warnings,
)

__all__ = ["evidence_of_mean"]


def evidence_of_mean(log_w: Tensor, *, what: str, method: str, smooth: bool = False) -> Evidence:
    """The mean of `(N,)` independent weights or of `(S, C)` along chains, with the tail's diagnosis.

    Weights that are all but equal have no tail to be smoothed, and their plain mean has an error whatever its shape.
    """
    cleaned = clean(log_w, what)
    if cleaned.values.ndim not in (1, 2):
        raise ValueError(f"{what} must be draws (N,) or draws and chains (S, C), got {tuple(cleaned.values.shape)}")
    smoothed, k = pareto_smooth(cleaned.values)
    raw, fitted = _log_mean(cleaned.values), _log_mean(smoothed)
    draws, size = cleaned.values.numel(), kish(cleaned.values)
    is_even = size > EVEN * draws
    found = fitted if smooth and not is_even else raw
    warnings = (*tail_warnings(k, draws, share=size / draws), *few_warnings(size), *cleaned.warnings(what))
    diagnostics: dict[str, Diagnostic] = {
        "pareto_k": k,
        "effective_sample_size": size,
        "raw_log_z": raw.value,
        "smoothed_log_z": fitted.value,
        **cleaned.counts,
    }
    error = found.std_error if is_even or not k >= 1 else math.nan
    return Evidence(found.value, error, diagnostics, method=method, warnings=warnings)


def _log_mean(log_w: Tensor) -> LogMean:
    return mean_with_error(log_w) if log_w.ndim == 1 else chain_mean_with_error(log_w)
