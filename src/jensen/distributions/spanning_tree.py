r"""Spanning trees of a weighted graph.

Everything follows from taking the nodes out one after the other. A node $v$ with edges of weights $w_{vu}$ that sum to
$d$ leaves, between each two of its neighbours, an edge of weight $w_{vu} w_{vt} / d$ beside the one that is there, and
the total weight of all trees was $d$ times what it is then. This is Gaussian elimination on the graph's Laplacian, but
weights are never subtracted, so that it works in log space, for any weights. What remains is the rounding of
differences of logits: log-probabilities are off by a few times machine precision times the largest difference, up to
5e-3 in single precision at logits of 1e4 and -1e4, and 1e-11 in double.
"""

from typing import NamedTuple

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from jensen.distributions._checks import check_floating
from jensen.distributions._discrete import (
    broadcast,
    check_int,
    expected,
    gumbel_like,
    impossible,
    log_add,
    log_zero,
    possible,
    repeat,
)

__all__ = ["SpanningTree"]


class SpanningTree(Distribution):
    r"""Spanning trees of an undirected graph, each as likely as the product of the weights of its edges.

    $$p(T) = \frac{1}{Z} \exp \sum_{e \in T} l_e, \qquad Z = \sum_T \exp \sum_{e \in T} l_e$$

    A value has a one for each edge of the tree. $Z$ is a minor of the Laplacian (Kirchhoff); draws are exact, and take
    as many steps as there are nodes. Adding a constant to all logits changes nothing.

    Args:
        edges: the two nodes of each edge, numbered from 0, long, `(E, 2)`; no loops, no edge twice.
        logits: log-weights $l$ of the edges, `(*batch, E)`; `-inf` for an edge that is in no tree.
        nodes: the number of nodes, at least 2.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`. Without it,
            `log_prob` of what is no tree has no meaning.

    Raises:
        ValueError: if `edges` is no list of pairs of different nodes, its length is not that of `logits`,
            `logits` are not floating point, `nodes` is no int, or the graph is not connected.

    Example:
        >>> triangle = torch.tensor([[0, 1], [1, 2], [0, 2]])
        >>> q = SpanningTree(triangle, torch.tensor([1.0, 2.0, 3.0]).log(), nodes=3)
        >>> q.log_prob(torch.tensor([1.0, 1.0, 0.0])).exp(), q.mean
        (tensor(0.1818), tensor([0.4545, 0.7273, 0.8182]))

    References:
        | Gradient Estimation with Stochastic Softmax Tricks (Paulus, Choi, Tarlow, Krause & Maddison, 2020)
        | https://arxiv.org/abs/2006.08063v1
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, edges: Tensor, logits: Tensor, *, nodes: int, validate_args: bool | None = None) -> None:
        _check_edges(edges, logits, nodes)
        if validate_args is not False and bool((logits == torch.inf).any()):
            raise ValueError(f"logits of shape {tuple(logits.shape)} hold +inf; give finite ones, or -inf for no edge")
        self.edges = edges.to(logits.device)
        self.nodes = nodes
        self.logits = logits
        present = torch.ones_like(logits)
        self._check_connected(present if validate_args is False else (logits != -torch.inf).to(present))
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Indicators of the edges of a tree."""
        return _Tree(self.edges, self.nodes)

    @property
    def log_normalizer(self) -> Tensor:
        r"""$\log Z$, `(*batch)`."""
        return self._log_z(self.logits) + self.logits.detach().amax(-1) * (self.nodes - 1)

    @property
    def mean(self) -> Tensor:
        r"""The probability of each edge to be in the tree, $\partial \log Z / \partial l$, `(*batch, E)`."""
        differentiable = torch.is_grad_enabled() and self.logits.requires_grad
        with torch.inference_mode(mode=False), torch.enable_grad():
            logits = self.logits if differentiable else self.logits.detach().clone().requires_grad_()
            (mean,) = torch.autograd.grad(self._log_z(logits).sum(), logits, create_graph=differentiable)
        return mean

    @property
    def variance(self) -> Tensor:
        """Of each entry, `(*batch, E)`."""
        return self.mean * (1 - self.mean)

    @property
    def support_size(self) -> int:
        """The number of spanning trees."""
        return round(self._log_z(torch.zeros(len(self.edges), dtype=torch.float64)).exp().item())

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "SpanningTree":
        """The same distribution with its parameters expanded to `batch_shape`."""
        logits = self.logits.expand(*batch_shape, -1)
        new = SpanningTree(self.edges, logits, nodes=self.nodes, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """Indicators of the edges of a tree, `(*sample_shape, *batch, E)`."""
        with torch.no_grad():
            tree = torch.zeros(*sample_shape, *self.batch_shape, 1, 1, dtype=torch.bool, device=self.logits.device)
            for step in reversed(_eliminate(self._log_weights(self.logits))):
                tree = _put_back(tree, step)
            first, second = self.edges.unbind(-1)
            return tree[..., first, second].to(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`."""
        if self._validate_args:
            self._validate_sample(value)
        log_weights, value = broadcast(self._centered(self.logits), value)
        return impossible((log_weights * value).sum(-1) - self._log_z(self.logits), self._terms)

    def entropy(self) -> Tensor:
        r"""$\log Z - \sum_e p(e \in T) \, l_e$ in nats, `(*batch)`."""
        return self._log_z(self.logits) - (self.mean * self._centered(self.logits)).sum(-1)

    def enumerate_support(self, *, expand: bool = True) -> Tensor:  # type: ignore[override]
        """Every tree, `(S, *batch, E)`; those with the first edges first."""
        pairs = [(int(one), int(other)) for one, other in self.edges.tolist()]
        trees = torch.tensor(_trees(pairs, tuple(range(self.nodes))), device=self.logits.device)
        states = self.logits.new_zeros(len(trees), len(pairs)).scatter_(-1, trees, 1.0)
        return repeat(states, self.batch_shape, expand=expand)

    @property
    def _terms(self) -> int:
        return len(self.edges) + 1

    def _centered(self, logits: Tensor) -> Tensor:
        """The logits up to a constant, none above zero."""
        return possible(logits - logits.detach().amax(-1, keepdim=True), self._terms)

    def _log_weights(self, logits: Tensor) -> Tensor:
        """Symmetric, `(*batch, nodes, nodes)`."""
        log_weights = self._centered(logits)
        return _adjacency(self.edges, log_weights, self.nodes, log_zero(log_weights, self._terms))

    def _log_z(self, logits: Tensor) -> Tensor:
        degrees = [step.star.logsumexp(-1) for step in _eliminate(self._log_weights(logits))]
        return torch.stack(degrees).sum(0)

    def _check_connected(self, present: Tensor) -> None:
        reached = _reach(_adjacency(self.edges, present, self.nodes, 0.0) > 0)[..., 0, :].all(-1)
        if not reached.all():
            raise ValueError(
                f"the {len(self.edges)} edges do not connect all {self.nodes} nodes"
                f"{'' if reached.ndim == 0 else ' in every batch element'}; there is no spanning tree"
            )


class _Step(NamedTuple):
    """What taking out a node did: its own log-weights, those between the others before, and those it left there."""

    star: Tensor  # (*batch, v)
    kept: Tensor  # (*batch, v, v)
    left: Tensor  # (*batch, v, v)


def _eliminate(log_weights: Tensor) -> list[_Step]:
    """Take out the nodes from the last to the second."""
    steps = []
    for v in range(log_weights.shape[-1] - 1, 0, -1):
        star, kept = log_weights[..., v, :v], log_weights[..., :v, :v]
        degree = star.logsumexp(-1)[..., None, None]
        left = star.unsqueeze(-1) + star.unsqueeze(-2) - degree
        steps.append(_Step(star, kept, left))
        log_weights = log_add(kept, left)
    return steps


def _put_back(tree: Tensor, step: _Step) -> Tensor:
    """A tree with the node again, given one without it, `(*sample, *batch, v, v)`.

    An edge that the node had left there is dropped; each piece that the tree falls into is tied to the node by one
    edge, as likely as its weight.
    """
    chance = (step.left - log_add(step.kept, step.left)).exp().expand(tree.shape)
    dropped = (torch.rand_like(chance) < chance).triu(1)
    tree = tree & ~(dropped | dropped.mT)
    keys = step.star.expand(tree.shape[:-1])
    keys = keys + gumbel_like(keys)  # (*sample, *batch, v)
    best = keys.unsqueeze(-2).masked_fill(~_reach(tree), -torch.inf).amax(-1)
    tied = keys >= best
    rows = torch.cat([tree, tied.unsqueeze(-2)], -2)  # (*sample, *batch, v + 1, v)
    column = torch.cat([tied, torch.zeros_like(tied[..., :1])], -1)
    return torch.cat([rows, column.unsqueeze(-1)], -1)


def _reach(adjacency: Tensor) -> Tensor:
    """Which nodes a path leads to from each, itself among them; boolean, `(*batch, v, v)`."""
    v = adjacency.shape[-1]
    paths = (adjacency | torch.eye(v, dtype=torch.bool, device=adjacency.device)).float()
    for _ in range((v - 1).bit_length()):
        paths = (paths @ paths).clamp_max(1)
    return paths > 0


def _adjacency(edges: Tensor, values: Tensor, nodes: int, elsewhere: float) -> Tensor:
    """The values of the edges `(*batch, E)` as a symmetric matrix, `(*batch, nodes, nodes)`."""
    first, second = edges.to(values.device).unbind(-1)
    places = torch.cat([first * nodes + second, second * nodes + first])
    matrix = values.new_full((*values.shape[:-1], nodes * nodes), elsewhere)
    both = torch.cat([values, values], -1)
    return matrix.scatter(-1, places.expand(both.shape), both).reshape(*values.shape[:-1], nodes, nodes)


def _trees(edges: list[tuple[int, int]], piece: tuple[int, ...], start: int = 0) -> list[list[int]]:
    """All ways to join the pieces by edges from `start` on, as lists of edges; `piece` is that of each node."""
    if len(set(piece)) == 1:
        return [[]]
    found = []
    for index in range(start, len(edges)):
        one, other = (piece[node] for node in edges[index])
        if one != other:
            joined = tuple(one if each == other else each for each in piece)
            found += [[index, *rest] for rest in _trees(edges, joined, index + 1)]
    return found


def _check_edges(edges: Tensor, logits: Tensor, nodes: int) -> None:
    if edges.ndim != 2 or edges.shape[-1] != 2 or edges.is_floating_point():
        raise ValueError(f"edges must be integers of shape (E, 2), got {edges.dtype} of shape {tuple(edges.shape)}")
    if logits.ndim == 0 or logits.shape[-1] != len(edges):
        shapes = f"logits {tuple(logits.shape)} and edges {tuple(edges.shape)}"
        raise ValueError(f"got {shapes}; expected one logit for each edge, (*batch, {len(edges)})")
    check_floating(logits)
    check_int("nodes", nodes)
    pairs = [tuple(sorted(pair)) for pair in edges.tolist()]
    if nodes < 2 or any(low < 0 or high >= nodes for low, high in pairs):
        raise ValueError(f"edges must join nodes from 0 to nodes - 1, with at least two nodes; got nodes={nodes}")
    if any(low == high for low, high in pairs) or len(set(pairs)) < len(pairs):
        raise ValueError("edges hold a loop, or an edge twice; leave out loops and add the weights of parallel edges")


class _Tree(constraints.Constraint):
    """Indicators of the edges of a spanning tree."""

    is_discrete = True
    event_dim = 1

    def __init__(self, edges: Tensor, nodes: int) -> None:
        self.edges = edges
        self.nodes = nodes
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each is one, `(*batch)`."""
        right = ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == self.nodes - 1)
        return right & _reach(_adjacency(self.edges, value, self.nodes, 0.0) > 0)[..., 0, :].all(-1)


@register_kl(SpanningTree, SpanningTree)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: SpanningTree, p: SpanningTree) -> Tensor:
    if q.nodes != p.nodes or not torch.equal(q.edges, p.edges):
        shapes = f"{tuple(q.edges.shape)} and {tuple(p.edges.shape)}"
        raise ValueError(f"the graphs differ (edges of shape {shapes}); a divergence needs the same edges in one order")
    return p._log_z(p.logits) - expected(q.mean, p._centered(p.logits), p._terms) - q.entropy()
