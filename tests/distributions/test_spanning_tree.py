import itertools
import math

import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence
from torch.testing import assert_close

from jensen.distributions.spanning_tree import SpanningTree

DOUBLE = torch.float64
FALSE_ALARM = 2 * scipy.stats.norm.sf(4.56)
K4 = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
THETA = torch.tensor([0.6, -0.4, 0.1, -0.9, 1.2, 0.3], dtype=DOUBLE)


def complete(n):
    return torch.tensor(list(itertools.combinations(range(n), 2)))


GRAPHS = {
    "pair": (torch.tensor([[1, 0]]), 2, 1),
    "path": (torch.tensor([[0, 1], [2, 1], [2, 3]]), 4, 1),
    "cycle": (torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]), 5, 5),
    "K4": (K4, 4, 16),
    "K5": (complete(5), 5, 125),
    "house": (torch.tensor([[3, 4], [0, 1], [1, 2], [2, 3], [0, 3], [1, 4], [4, 0]]), 5, 24),
}


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def test_everything_is_as_enumeration_says(draw, graph):
    edges, nodes, trees = graph
    q = SpanningTree(edges, 2 * draw(3, len(edges)) + 5, nodes=nodes)
    every = q.enumerate_support()
    assert every.shape == (trees, 3, len(edges))
    assert q.support_size == trees
    assert len({tuple(each.tolist()) for each in every[:, 0]}) == trees
    assert q.support.check(every).all()
    total = (every * q.logits).sum(-1).logsumexp(0)
    log_p = (every * q.logits).sum(-1) - total
    p = log_p.exp()
    assert_close(q.log_normalizer, total, atol=1e-12, rtol=0)
    assert_close(q.log_prob(every), log_p, atol=1e-12, rtol=0)
    mean = (p.unsqueeze(-1) * every).sum(0)
    assert_close(q.mean, mean, atol=1e-12, rtol=0)
    assert_close(q.variance, mean * (1 - mean), atol=1e-12, rtol=0)
    assert_close(q.entropy(), -(p * log_p).sum(0), atol=1e-12, rtol=0)


def test_the_trees_are_all_there_are(graph):
    """Of all edge sets of the right size, those whose incidence vectors are linearly independent."""
    edges, nodes, _ = graph
    incidence = torch.zeros(len(edges), nodes, dtype=DOUBLE)
    rows = torch.arange(len(edges))
    incidence[rows, edges[:, 0]], incidence[rows, edges[:, 1]] = 1.0, -1.0
    sets = torch.tensor(list(itertools.combinations(range(len(edges)), nodes - 1)))
    is_tree = torch.linalg.det(incidence[sets][..., 1:]).abs() > 0.5
    q = SpanningTree(edges, torch.zeros(len(edges)), nodes=nodes)
    indicator = torch.zeros(len(sets), len(edges)).scatter(-1, sets, 1.0)
    assert torch.equal(q.support.check(indicator), is_tree)
    assert {tuple(each.tolist()) for each in indicator[is_tree]} == {
        tuple(each.tolist()) for each in q.enumerate_support()
    }


def laplacian_minor(edges, logits, nodes):
    weights = torch.zeros(nodes, nodes, dtype=DOUBLE)
    weights[edges[:, 0], edges[:, 1]] = logits.exp()
    weights = weights + weights.T
    return (weights.sum(0).diag() - weights)[1:, 1:]


def test_the_normalizer_is_that_of_the_matrix_tree_theorem(draw):
    edges = complete(12)
    logits = 3 * draw(len(edges))
    q = SpanningTree(edges, logits, nodes=12)
    minor = laplacian_minor(edges, logits, 12)
    assert_close(q.log_normalizer, torch.linalg.slogdet(minor).logabsdet, atol=1e-11, rtol=0)
    inverse = torch.zeros(12, 12, dtype=DOUBLE)
    inverse[1:, 1:] = torch.linalg.inv(minor)
    i, j = edges.T
    resistance = inverse[i, i] + inverse[j, j] - 2 * inverse[i, j]
    assert_close(q.mean, logits.exp() * resistance, atol=1e-11, rtol=0)
    assert q.support_size == 12**10


def test_a_tabulated_case():
    q = SpanningTree(K4, THETA, nodes=4)
    assert_close(q.log_normalizer.item(), 3.5919729259, atol=5e-11, rtol=0)


def test_weights_where_a_determinant_fails():
    """A cheap bridge between two dear cliques: in double precision the determinant of the Laplacian is noise."""
    edges = torch.tensor([[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5], [2, 3]])
    logits = torch.tensor([40.0, 40, 40, 40, 40, 40, -40], dtype=DOUBLE)
    q = SpanningTree(edges, logits, nodes=6)
    assert_close(q.log_normalizer.item(), 4 * 40.0 - 40.0 + math.log(9), atol=1e-12, rtol=0)
    assert_close(q.mean, torch.tensor([2 / 3] * 6 + [1.0], dtype=DOUBLE), atol=1e-14, rtol=0)
    naive = torch.linalg.slogdet(laplacian_minor(edges, logits, 6)).logabsdet
    assert not abs(naive - q.log_normalizer) < 1


def test_divergence_is_that_of_enumeration(draw):
    q, p = SpanningTree(K4, draw(3, 6), nodes=4), SpanningTree(K4, draw(6), nodes=4)
    every = q.enumerate_support()
    exact = (q.log_prob(every).exp() * (q.log_prob(every) - p.log_prob(every))).sum(0)
    assert_close(kl_divergence(q, p), exact, atol=1e-12, rtol=0)
    narrow = SpanningTree(K4, torch.tensor([0.0, -math.inf, 0, 0, 0, 0], dtype=DOUBLE), nodes=4)
    assert kl_divergence(p, narrow) == math.inf
    assert kl_divergence(narrow, p).isfinite()
    with pytest.raises(ValueError, match="the graphs differ"):
        kl_divergence(p, SpanningTree(K4[[1, 0, 2, 3, 4, 5]], draw(6), nodes=4))


def test_derivatives_of_both_orders(draw):
    logits = draw(2, 6).requires_grad_()
    every = SpanningTree(K4, logits, nodes=4).enumerate_support()[:5]
    for function in (
        lambda l: SpanningTree(K4, l, nodes=4).log_prob(every),
        lambda l: SpanningTree(K4, l, nodes=4).entropy(),
        lambda l: SpanningTree(K4, l, nodes=4).log_normalizer,
    ):
        assert gradcheck(function, logits)
        assert gradgradcheck(function, logits)
    assert gradcheck(lambda l: SpanningTree(K4, l, nodes=4).mean, logits)


def test_marginals_without_a_graph(draw):
    logits = draw(2, 6).requires_grad_()
    expected = SpanningTree(K4, logits, nodes=4).mean
    assert expected.requires_grad
    with torch.no_grad():
        found = SpanningTree(K4, logits, nodes=4).mean
    assert not found.requires_grad
    with torch.inference_mode():
        inferred = SpanningTree(K4, logits * 1, nodes=4).mean
    assert_close(found, expected.detach())
    assert_close(inferred.clone(), expected.detach())


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (0.05, False)])
def test_draws_fit_the_probabilities(shift, fits):
    """Pearson's statistic over the sixteen trees, 15 degrees of freedom, at the tail probability of |z| = 4.56."""
    torch.manual_seed(0)
    q, n = SpanningTree(K4, THETA, nodes=4), 100_000
    every = q.enumerate_support()
    moved = THETA + shift * torch.tensor([1.0, -1, 1, -1, 1, -1], dtype=DOUBLE)
    x = SpanningTree(K4, moved, nodes=4).sample((n,))
    observed = (x.unsqueeze(1) == every).all(-1).double().sum(0)
    assert observed.sum() == n
    expected = n * q.log_prob(every).exp()
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    assert (scipy.stats.chi2.sf(statistic, len(every) - 1) > FALSE_ALARM) == fits


def test_trees_joined_at_random_are_caught():
    """The peer of exact sampling, Kruskal on noisy weights, has another distribution."""
    torch.manual_seed(0)
    q, n = SpanningTree(K4, THETA, nodes=4), 20_000
    every = q.enumerate_support()
    keys = THETA - torch.empty(n, 6, dtype=DOUBLE).exponential_().log()
    rank = keys.argsort(-1).argsort(-1).double()
    x = every[(2.0**rank @ every.T).argmax(-1)]  # the tree of the largest edges
    observed = (x.unsqueeze(1) == every).all(-1).double().sum(0)
    expected = n * q.log_prob(every).exp()
    statistic = ((observed - expected) ** 2 / expected).sum().item()
    assert scipy.stats.chi2.sf(statistic, len(every) - 1) < FALSE_ALARM


def test_marginals_of_draws_from_a_larger_graph_with_a_batch(draw):
    torch.manual_seed(0)
    edges, n = GRAPHS["house"][0], 20_000
    q = SpanningTree(edges, 1.5 * draw(2, 3, len(edges)), nodes=5)
    x = q.sample((n,))
    assert x.shape == (n, 2, 3, len(edges))
    assert q.support.check(x).all()
    z = (x.mean(0) - q.mean) / (q.variance / n).sqrt()
    assert z.abs().max() < 4.56


@pytest.mark.parametrize("size", [60.0, 1e4])
def test_extreme_logits_in_single_precision(size):
    logits = torch.tensor([size, size, -size, -size, 0.0, -size]).requires_grad_()
    q = SpanningTree(K4, logits, nodes=4)
    log_p = q.log_prob(torch.tensor([[1.0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 1]]))
    assert_close(log_p[0].item(), 0.0, atol=1e-5, rtol=0)
    assert log_p[1] < -4.9 * size
    assert torch.autograd.grad(log_p.sum(), logits)[0].isfinite().all()
    assert_close(q.mean.detach(), torch.tensor([1.0, 1, 0, 0, 1, 0]), atol=1e-5, rtol=0)
    assert (q.sample((200,)) == torch.tensor([1.0, 1, 0, 0, 1, 0])).all()


@pytest.mark.parametrize("size", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("nodes", [4, 6])
def test_single_precision_costs_a_few_roundings_of_the_logits(nodes, size):
    generator = torch.Generator().manual_seed(0)
    edges = complete(nodes)
    logits = size * (torch.randint(3, (50, len(edges)), generator=generator) - 1)
    logits = logits + torch.randn(logits.shape, generator=generator)
    exact = SpanningTree(edges, logits.double(), nodes=nodes)
    every = exact.enumerate_support(expand=False)
    log_p = exact.log_prob(every)
    error = (SpanningTree(edges, logits, nodes=nodes).log_prob(every.float()).double() - log_p).abs()
    rounding = torch.finfo(torch.float32).eps * (logits.amax(-1) - logits.amin(-1))
    assert (error[log_p > -20] < (4 * rounding).expand_as(error)[log_p > -20]).all()
    assert (error < 4 * rounding + 1e-6 * log_p.abs()).all()


def test_an_edge_without_weight_is_as_good_as_absent():
    without = [0, 2, 3, 4, 5]
    logits = torch.where(torch.arange(6) == 1, -math.inf, THETA).requires_grad_()
    q, p = SpanningTree(K4, logits, nodes=4), SpanningTree(K4[without], THETA[without], nodes=4)
    assert_close(q.log_normalizer, p.log_normalizer, atol=1e-13, rtol=0)
    assert_close(q.mean[without], p.mean, atol=1e-13, rtol=0)
    assert q.mean[1] == 0
    every = q.enumerate_support()
    log_p = q.log_prob(every)
    assert ((log_p == -math.inf) == (every[:, 1] == 1)).all()
    assert_close(log_p.exp().sum().item(), 1.0, atol=1e-13, rtol=0)
    (gradient,) = torch.autograd.grad(q.entropy(), logits)
    assert gradient.isfinite().all()
    assert gradient[1] == 0
    assert q.sample((300,))[:, 1].sum() == 0


@pytest.mark.parametrize(("shape", "value_batch"), [((6,), ()), ((6,), (5,)), ((3, 6), ()), ((3, 1, 6), (2, 1, 5))])
def test_values_broadcast_against_the_batch(draw, shape, value_batch):
    q = SpanningTree(K4, draw(*shape), nodes=4)
    value = torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=DOUBLE).expand(*value_batch, 6)
    log_p = q.log_prob(value)
    assert log_p.shape == torch.broadcast_shapes(q.batch_shape, value_batch)
    assert_close(log_p, q.log_prob(value.expand(*log_p.shape, 6)))


def test_expanding_and_printing(draw):
    q = SpanningTree(K4, draw(3, 6).float(), nodes=4, validate_args=True)
    expanded = q.expand((2, 3))
    assert expanded.batch_shape == (2, 3)
    assert expanded.sample((5,)).shape == (5, 2, 3, 6)
    assert expanded.sample().dtype == torch.float32
    assert repr(q) == "SpanningTree(logits: torch.Size([3, 6]))"
    for bad in ([1.0, 1, 0, 1, 0, 0], [1.0, 1, 0, 0, 0, 0], [1.0, 1, 1, 1, 0, 0], [0.5, 0.5, 1, 1, 0, 0]):
        with pytest.raises(ValueError, match="support"):
            expanded.log_prob(torch.tensor(bad))


@pytest.mark.parametrize(
    ("edges", "logits", "nodes", "message"),
    [
        (K4[:3, :1], torch.zeros(3), 4, r"shape \(E, 2\), got torch.int64 of shape \(3, 1\)"),
        (K4.float(), torch.zeros(6), 4, "integers"),
        (K4, torch.zeros(5), 4, r"logits \(5,\) and edges \(6, 2\)"),
        (K4, torch.tensor(0.0), 4, r"logits \(\) and edges \(6, 2\)"),
        (K4, torch.zeros(6), 3, "nodes=3"),
        (torch.tensor([[0, 1], [1, 1]]), torch.zeros(2), 2, "a loop"),
        (torch.tensor([[0, 1], [1, 0]]), torch.zeros(2), 2, "an edge twice"),
        (torch.tensor([[0, 1], [2, 3]]), torch.zeros(2), 4, "do not connect all 4 nodes; there is no"),
        (K4, torch.zeros(6), 5, "do not connect all 5 nodes"),
        (K4[:3], torch.tensor([[0.0, 0, 0], [0, 0, -math.inf]]), 4, "in every batch element"),
        (K4, torch.tensor([0.0, 0, 0, 0, 0, math.inf]), 4, r"\+inf"),
        (K4, torch.zeros(6), 4.0, "nodes must be an int, got 4.0 of type float"),
        (K4, torch.zeros(6, dtype=torch.long), 4, "int64; give floating-point"),
    ],
)
def test_bad_input_is_refused(edges, logits, nodes, message):
    with pytest.raises(ValueError, match=message):
        SpanningTree(edges, logits, nodes=nodes)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_no_draw_has_no_log_probability(draw, batch):
    q = SpanningTree(K4, draw(*batch, 6), nodes=4)
    assert q.log_prob(q.sample((0,))).shape == (0, *batch)
