"""The No-U-Turn sampler of nutpie on a target's torch log-density: few long chains instead of many short ones."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from jensen._chains import effective_sample_size, split_r_hat
from jensen._random import seeded_generator
from jensen._targets import Draws, Target
from jensen.samplers._checks import check_target, whole
from jensen.samplers.hmc import Chains

__all__ = ["nuts"]

Density = Callable[[Any], tuple[float, Any]]


def nuts(target: Target, *, chains: int = 4, draws: int = 1000, warmup: int = 400, seed: int = 0) -> Chains:
    r"""Draw from a posterior by the No-U-Turn sampler of `nutpie`, one gradient at a time.

    An independent implementation to hold `hamiltonian` against; with a log-density written in torch it is slower by
    orders of magnitude. The trajectories' lengths differ, so `trajectory_length` is NaN. It needs
    `pip install "jensen[nuts]"`.

    Args:
        target: what to draw from.
        chains: how many, one after the other.
        draws: of each chain, after the warm-up.
        warmup: transitions before.
        seed: of all randomness.

    Raises:
        ValueError: if nutpie is absent, there are too few chains or draws, or a function of the target's raises.

    References:
        | The No-U-Turn Sampler: Adaptively Setting Path Lengths in Hamiltonian Monte Carlo (Hoffman & Gelman, 2014)
        | https://arxiv.org/abs/1111.4246
    """
    check_target(target)
    chains, draws, warmup = whole(chains=chains, draws=draws, warmup=warmup)
    if min(chains, warmup) < 1 or draws < 4:
        raise ValueError(f"give chains >= 1, warmup >= 1 and draws >= 4; got {chains}, {warmup} and {draws}")
    nutpie, from_pyfunc = _nutpie()
    density = _Density(target)
    starts = _starts(target, seed)
    import numpy as np

    model = from_pyfunc(
        target.dim,
        lambda: density,
        lambda *_: lambda x: {"u": np.asarray(x)},
        expanded_dtypes=[np.dtype("float64")],
        expanded_shapes=[(target.dim,)],
        expanded_names=["u"],
        make_initial_point_fn=starts,
    )
    with _one_thread():
        try:
            found = nutpie.sample(
                model,
                draws=draws,
                tune=warmup,
                chains=chains,
                cores=1,
                seed=seed,
                progress_bar=False,
                save_warmup=False,
            )
        except BaseException as error:
            raise (density.failure or error) from error
    if density.failure is not None:
        raise density.failure
    return _chains(target, found, density)


class _Density:
    """The log-joint density and its gradient at numpy points; an exception is kept for later and Rust never sees it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.evaluations = self.not_finite = 0
        self.failure: BaseException | None = None

    def __call__(self, x: Any) -> tuple[float, Any]:
        """Log-density `()` and gradient `(d,)`; NaN where there is none.

        After a failure it is a normal's, for nutpie's threads end well only if they end by themselves.
        """
        if self.failure is not None:
            return -float(x @ x) / 2, -x
        self.evaluations += 1
        try:
            value, gradient = self._differentiate(torch.as_tensor(x.copy()).to(self.target.dtype))
        except BaseException as error:
            self.failure = error
            return self(x)
        if not (value < float("inf") and bool(gradient.isfinite().all())):
            self.not_finite += 1
            return float("nan"), 0 * x
        return value, gradient.double().numpy()

    def _differentiate(self, x: Tensor) -> tuple[float, Tensor]:
        with torch.enable_grad():
            u = x.unsqueeze(0).requires_grad_()
            value = self.target.log_joint(u).sum()
            if not value.requires_grad:
                return value.item(), torch.zeros_like(x)
            (gradient,) = torch.autograd.grad(value, u, allow_unused=True, materialize_grads=True)
        return value.item(), gradient[0]


def _nutpie() -> tuple[Any, Callable[..., Any]]:
    try:
        module = importlib.import_module("nutpie")
        return module, importlib.import_module("nutpie.compiled_pyfunc").from_pyfunc
    except ImportError as error:
        raise ValueError('nuts needs nutpie: pip install "jensen[nuts]"') from error


def _starts(target: Target, seed: int) -> Callable[[int], Any]:
    """A draw of the prior by each chain's own seed, of positive density if one of a hundred is."""

    def draw(chain_seed: int) -> Any:
        points = target.sample_prior(100, generator=seeded_generator(seed + chain_seed % 2**31))
        good = target.log_joint(points).isfinite().nonzero()[:, 0]
        return points[good[0] if len(good) else 0].double().numpy()

    return draw


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _chains(target: Target, found: Any, density: _Density) -> Chains:
    points = torch.as_tensor(found.posterior["u"].values.copy()).transpose(0, 1).to(target.dtype)  # (S, C, d)
    S, C, d = points.shape
    log_likelihood, log_prior = target.log_terms(points.reshape(-1, d)).reshape(2, S, C)
    stats = found.sample_stats
    acceptance = stats["mean_tree_accept"] if "mean_tree_accept" in stats else stats["acceptance_rate"]
    moved = (points[1:] != points[:-1]).any(-1).any(0)
    return Chains(
        Draws(points, log_likelihood, log_prior),
        split_r_hat(points),
        effective_sample_size(points),
        float(acceptance.mean()),
        int(stats["diverging"].sum()),
        float(stats["step_size"].values[:, -1].mean()),
        float("nan"),
        density.not_finite,
        density.evaluations,
        0,
        int((~moved).sum()),
    )
