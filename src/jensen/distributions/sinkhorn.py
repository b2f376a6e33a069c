r"""From any matrix to a doubly stochastic one: rows and columns are normalised in turn, in log space.

The limit is $\exp(L_{mn} + u_m + v_n)$ for the potentials $u$ and $v$ that make rows and columns sum to one. At a low
temperature the potentials have far to go, in steps of order one, and a plan that is nearly a permutation closes its
last gap at a rate near one. Twenty iterations, the number that implementations have hard-wired, leave sums of rows off
by 0.1 at $\tau = 0.1$ and by 1 at 0.005; thousands are not always enough.
"""

import torch
from torch import Tensor

from jensen.distributions.permutation_matrices import nearest_permutation

__all__ = ["sinkhorn", "sinkhorn_iterations", "stochastic_error"]

_ROUGH = 0.03
_COOLING = 4.0


def sinkhorn(log_x: Tensor, *, tau: float = 1.0, tolerance: float = 1e-6, max_iterations: int = 500) -> Tensor:
    r"""The doubly stochastic matrix $\mathrm{diag}(a)\, e^{L / \tau}\, \mathrm{diag}(b)$, iterated until it is one.

    It maximises $\langle P, L \rangle + \tau H(P)$ over the Birkhoff polytope, so that it tends to the permutation
    of `nearest_permutation` as $\tau \to 0$. The temperature is lowered in steps and Newton steps on the potentials
    stand between Sinkhorn's, in double precision whatever the type of `log_x`. The gradient is that of the limit, by
    the implicit function theorem: one symmetric system of $2N$ equations, and no iteration is kept in memory. First
    order only.

    Args:
        log_x: $L$, logarithms of positive matrices, `(*batch, N, N)`; `-inf` makes a zero.
        tau: temperature.
        tolerance: how far from one the sum of a column may be in the end; rows are exact. Rounding sets a floor.
        max_iterations: at each temperature; stop here at the latest, then less exact. `stochastic_error` tells how
            much.

    Returns:
        Matrices `(*batch, N, N)`.

    Raises:
        ValueError: if the matrices are not square or hold NaN, the entries `-inf` leave no permutation, or `tau` or
            `max_iterations` is not positive.

    Example:
        >>> sinkhorn(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
        tensor([[0.3775, 0.6225],
                [0.6225, 0.3775]])

    References:
        | Learning Latent Permutations with Gumbel-Sinkhorn Networks (Mena, Belanger, Linderman & Snoek, 2018), eq. 2
        | https://arxiv.org/abs/1802.08665v1
        | Sinkhorn Distances: Lightspeed Computation of Optimal Transport (Cuturi, 2013)
        | https://arxiv.org/abs/1306.0895
    """
    _check(log_x, max_iterations)
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau}")
    if bool(log_x.detach().isinf().any()):
        nearest_permutation(log_x)
    scaled = log_x.double() / tau
    with torch.no_grad():
        rows, columns = _potentials(scaled, tolerance, max_iterations)
    balanced = scaled + rows + columns
    if balanced.requires_grad:
        balanced = balanced + _implicit(balanced.exp())
    return balanced.exp().to(log_x.dtype)


def sinkhorn_iterations(log_x: Tensor, iterations: int) -> Tensor:
    r"""A fixed number of iterations, each of which normalises the rows, then the columns; differentiated as it stands.

    Enough where nearly doubly stochastic will do, as in the mean of `RoundedBirkhoff`. Columns sum to one, rows nearly.

    Args:
        log_x: logarithms of positive matrices, `(*batch, N, N)`; `-inf` makes a zero.
        iterations: how many.

    Returns:
        Matrices `(*batch, N, N)`.

    Raises:
        ValueError: if the matrices are not square or hold NaN, a row or column is all `-inf`, or there is no
            iteration.

    Example:
        >>> sinkhorn_iterations(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), 1)
        tensor([[0.3498, 0.5938],
                [0.6502, 0.4062]])
    """
    _check(log_x, iterations)
    for _ in range(iterations):
        log_x = log_x.log_softmax(-1).log_softmax(-2)
    return log_x.exp()


def stochastic_error(x: Tensor) -> Tensor:
    """How far from one the sum of a row or column of each matrix is at most, `(*batch)`.

    Example:
        >>> stochastic_error(torch.tensor([[0.5, 0.4], [0.5, 0.5]]))
        tensor(0.1000)
    """
    return torch.maximum(*((x.sum(dim) - 1).abs().amax(-1) for dim in (-1, -2)))


def _potentials(scaled: Tensor, tolerance: float, max_iterations: int) -> tuple[Tensor, Tensor]:
    """Log-factors of rows `(*batch, N, 1)` and columns `(*batch, 1, N)`, from high temperature to low."""
    size = torch.where(scaled.isfinite(), scaled.abs(), 0.0).amax() if scaled.numel() else scaled.new_zeros(())
    heat = max(1.0, float(size))
    floor = 4 * scaled.shape[-1] * torch.finfo(scaled.dtype).eps * heat
    rows, columns = torch.zeros_like(scaled[..., :1]), torch.zeros_like(scaled[..., :1, :])
    while True:
        goal = max(tolerance, floor) if heat == 1 else _ROUGH
        rows, columns = _balance(scaled / heat, rows, columns, goal=goal, limit=max_iterations)
        if heat == 1:
            return rows, columns
        cooling = min(heat, _COOLING)
        heat, rows, columns = heat / cooling, rows * cooling, columns * cooling


def _balance(scaled: Tensor, rows: Tensor, columns: Tensor, *, goal: float, limit: int) -> tuple[Tensor, Tensor]:
    """Potentials for which rows sum to one and columns to within `goal` of it."""
    for iteration in range(limit):
        columns = -torch.logsumexp(scaled + rows, -2, keepdim=True)
        rows = -torch.logsumexp(scaled + columns, -1, keepdim=True)
        plan = (scaled + rows + columns).exp()
        if iteration == limit - 1 or bool(((plan.sum(-2) - 1).abs() <= goal).all()):
            break
        rows, columns = _newton(scaled, rows, columns, plan)
    return rows, columns


def _newton(scaled: Tensor, rows: Tensor, columns: Tensor, plan: Tensor) -> tuple[Tensor, Tensor]:
    """The potentials after a step on their convex objective, as far as it lowers that or halves the error."""
    sums = torch.cat([plan.sum(-1), plan.sum(-2)], -1)  # (*batch, 2 N)
    step_rows, step_columns = _solve(plan, 1 - sums)
    value, error = _objective(plan, rows, columns), stochastic_error(plan)
    length = torch.zeros_like(value)
    for trial in (1.0, 0.5, 0.25, 0.0625):
        moved = rows + trial * step_rows, columns + trial * step_columns
        trial_plan = (scaled + moved[0] + moved[1]).exp()
        better = (_objective(trial_plan, *moved) < value) | (stochastic_error(trial_plan) < 0.5 * error)
        length = torch.where(better & (length == 0), trial, length)
        if bool((length > 0).all()):
            break
    length = length[..., None, None]
    return rows + length * step_rows, columns + length * step_columns


def _objective(plan: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return plan.sum((-2, -1)) - rows.sum((-2, -1)) - columns.sum((-2, -1))


def _solve(plan: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    r"""The changes of the potentials that change the sums of rows and columns by `target`, `(*batch, 2 N)`.

    The system is singular along $(1, -1)$ and nearly so along more at a low temperature, where what the small ridge
    damps is multiplied by entries smaller still.
    """
    size = plan.shape[-1]
    system = torch.diag_embed(torch.cat([plan.sum(-1), plan.sum(-2)], -1))
    system[..., :size, size:] = plan
    system[..., size:, :size] = plan.mT
    system.diagonal(dim1=-2, dim2=-1).add_(size * 8 * torch.finfo(plan.dtype).eps)
    step = torch.cholesky_solve(target.unsqueeze(-1), torch.linalg.cholesky(system))
    return step[..., :size, :], step[..., size:, :].mT


def _implicit(plan: Tensor) -> Tensor:
    r"""Zeros `(*batch, N, N)` whose gradient is that of the potentials, which keep the sums as they are."""
    sums = torch.cat([plan.sum(-1), plan.sum(-2)], -1)
    rows, columns = _solve(plan.detach(), sums.detach() - sums)
    return rows + columns


def _check(log_x: Tensor, iterations: int) -> None:
    if log_x.ndim < 2 or log_x.shape[-1] != log_x.shape[-2]:
        raise ValueError(f"log_x has shape {tuple(log_x.shape)}; expected square matrices (*batch, N, N)")
    if iterations < 1:
        raise ValueError(f"there must be at least one iteration, got {iterations}")
    largest = torch.cat([log_x.detach().amax(-1), log_x.detach().amax(-2)], -1)
    if not bool(largest.isfinite().all()):
        raise ValueError("log_x holds NaN or inf, or a row or column of it is all -inf and cannot sum to one")
