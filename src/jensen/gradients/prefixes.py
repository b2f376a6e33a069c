r"""What is left of a product of independent factors when some of its values are taken out.

Written as sequences, a value that is not taken follows one that is up to some place $t$ and leaves it there. It belongs
to the node $(i, t)$ of the first taken value $i$ that begins as it does. The nodes are a partition: the mass of one is
the probability of the beginning times that of the numbers at $t$ that no taken value with this beginning has; after $t$
all is free. So what is left is summed without subtracting from one, and drawn without rejecting, however little it is.
"""

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from jensen.gradients.beam import log_waits

__all__ = ["beginnings", "branches", "one_by_one"]


def beginnings(log_p: Tensor, numbers: Tensor) -> Tensor:
    """Log-probability of what comes before each place.

    Args:
        log_p: the factors' log-probabilities, `(B, T, V)`.
        numbers: of some values, `(B, k, T)`.

    Returns:
        `(B, k, T)`, differentiable.
    """
    own = log_p.gather(2, numbers.transpose(1, 2)).transpose(1, 2)
    return pad(own.cumsum(2)[..., :-1], (1, 0))


def branches(log_p: Tensor, numbers: Tensor) -> Tensor:
    """Log-probability of the nodes, each number that may follow by itself.

    Args:
        log_p: the factors' log-probabilities, `(B, T, V)`.
        numbers: of the values taken, `(B, k, T)`.

    Returns:
        `(B, k, T, V)`, differentiable: the values that begin like value `i`, and go on with `v` at `t`; `-inf` where a
        value taken does so, or where an earlier one begins the same.
    """
    B, k, T = numbers.shape
    same = numbers.unsqueeze(1) == numbers.unsqueeze(2)  # (B, i, j, T)
    alike = pad(same[..., :-1].to(torch.uint8).cumprod(3, dtype=torch.uint8), (1, 0), value=1)  # before each place
    earlier = torch.ones(k, k, dtype=torch.bool, device=log_p.device).tril(-1).unsqueeze(-1)
    repeated = (alike.bool() & earlier).any(2)  # (B, i, T)
    following = numbers.transpose(1, 2).unsqueeze(1).expand(B, k, T, k)
    taken = torch.zeros(B, k, T, log_p.shape[2], dtype=torch.uint8, device=log_p.device)
    taken.scatter_add_(3, following, alike.transpose(2, 3))
    barred = taken.bool() | repeated.unsqueeze(-1)
    return (beginnings(log_p, numbers).unsqueeze(-1) + log_p.unsqueeze(1)).masked_fill(barred, -torch.inf)


@torch.no_grad()
def one_by_one(log_p: Tensor, free: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw values without replacement: a node by its mass, a number there that is not taken, the rest independently.

    Values of probability zero, which come last, are told apart by a finite log-probability.

    Args:
        log_p: the factors' log-probabilities, `(B, T, V)`, finite.
        free: independent draws from the factors, `(B, k, T)`; there must be at least `k` values.
        generator: for the nodes and the numbers.

    Returns:
        The values' numbers `(B, k, T)`, and the log-probability of what is left before each draw and after the last,
        `(B, k + 1)`.
    """
    B, k, T = free.shape
    row, place = torch.arange(B, device=free.device), torch.arange(T, device=free.device)
    others = _log_others(log_p)
    numbers, node = free.clone(), torch.full_like(free[..., 0], -1)  # the node each value was drawn from, i T + t
    begin, mass, total = (torch.empty(shape).to(log_p) for shape in (free.shape, free.shape, (B, k)))
    waits = [log_waits(each, shape=(k,), generator=generator) for each in (total, mass[:, 0], log_p[:, 0])]
    left = [log_p.new_zeros(B)]
    depth = torch.full_like(row, -1).unsqueeze(1)
    for j in range(k):
        if j:
            i = (total - waits[0][j])[:, :j].argmax(1)  # (B,)
            t = (mass[row, i] - waits[1][j]).argmax(1)
            node[:, j], depth = i * T + t, t.unsqueeze(1)
            child = (node[:, :j] == node[:, j : j + 1]).scatter_(1, i.unsqueeze(1), True)  # (B, j)
            barred = torch.zeros_like(total[:, :j]).masked_fill_(child, -torch.inf)
            follow = log_p[row, t].scatter_add_(1, numbers[row, :j, t], barred)  # (B, V)
            v = (follow - waits[2][j]).argmax(1, keepdim=True)
            mass[row, i, t] = begin[row, i, t] + follow.scatter_(1, v, -torch.inf).logsumexp(1)
            total[row, i] = mass[row, i].logsumexp(1)
            numbers[:, j] = numbers[row, i].where(place < depth, v.where(place == depth, free[:, j]))
        index = numbers[:, j].unsqueeze(2)
        begin[:, j] = pad(log_p.gather(2, index).squeeze(2).cumsum(1)[:, :-1], (1, 0))
        mass[:, j] = (begin[:, j] + others.gather(2, index).squeeze(2)).masked_fill_(place <= depth, -torch.inf)
        total[:, j] = mass[:, j].logsumexp(1)
        left.append(total[:, : j + 1].logsumexp(1))
    return numbers, torch.stack(left, 1)


def _log_others(log_p: Tensor) -> Tensor:
    """Log-probability of all numbers but each one; only the most probable can be above one half."""
    top = log_p.argmax(-1, keepdim=True)
    but_top = log_p.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    return log_p.expm1().neg().log().scatter(-1, top, but_top)
