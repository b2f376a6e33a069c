"""The generalised Gauss-Newton matrix of an awkward network, beside Jacobians that autograd builds whole."""

import math

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.testing import assert_close

from jensen.layers.curvature import (
    DiagonalCurvature,
    FullCurvature,
    KroneckerCurvature,
    OutputCurvature,
    find_sites,
    last_site,
    output_curvature,
    record,
)
from jensen.layers.likelihoods import CategoricalLikelihood, GaussianLikelihood

DOUBLE = torch.float64
SHAPES = [FullCurvature, KroneckerCurvature, DiagonalCurvature]
LIKELIHOODS = [CategoricalLikelihood(), GaussianLikelihood(scale=0.6)]


class Awkward(nn.Module):
    """Groups, strides, dilation, circular and string padding, a layer that is called twice, operations in place."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding="valid", groups=2)
        self.second = nn.Conv2d(4, 1, 3, padding="same", dilation=(1, 2), padding_mode="circular", bias=False)
        self.third = nn.Conv1d(3, 2, 3, padding=1)
        self.twice = nn.Linear(2, 2)
        self.last = nn.Linear(24, 3)

    def forward(self, x):
        h = torch.relu_(self.first(x)).tanh()
        h = (h + self.second(h))[:, :3]
        h = self.third(h.flatten(2)).mT
        h = self.twice(self.twice(h).tanh())
        return self.last(h.flatten(1)).sin_()


@pytest.fixture
def awkward():
    torch.manual_seed(1)
    return Awkward().double(), torch.randn(5, 2, 7, 5, dtype=DOUBLE)


def jacobian(network, sites, x):
    """`(B, C, P)`, the parameters in the order of the sites' matrices."""

    f, names = network(x), [name for name, _ in network.named_parameters()]
    rows = [torch.autograd.grad(each, network.parameters(), retain_graph=True) for each in f.flatten()]
    J = {
        name: torch.stack(each).unflatten(0, f.shape) for name, each in zip(names, zip(*rows, strict=True), strict=True)
    }
    columns = []
    for site in sites:
        prefix = f"{site.name}." if site.name else ""
        weight = J[f"{prefix}weight"].flatten(3)
        bias = [] if site.layer.bias is None else [J[f"{prefix}bias"].unsqueeze(-1)]
        columns.append(torch.cat([weight, *bias], 3).flatten(2))
    return torch.cat(columns, 2)


def gauss_newton(network, sites, x, likelihood):
    J, f = jacobian(network, sites, x), network(x).detach()
    if isinstance(likelihood, CategoricalLikelihood):
        p = f.softmax(1)
        inner = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    else:
        inner = torch.eye(3, dtype=DOUBLE).expand(len(x), 3, 3) / 0.6**2
    return torch.einsum("bcp,bce,beq->pq", J, inner, J)


def fitted(shape, network, sites, x, likelihood, batch=2):
    curvature = shape(sites)
    for part in x.split(batch):
        tape = record(network, sites, part)
        curvature.add(tape, output_curvature(likelihood, tape.outputs))
    return curvature


def as_matrix(curvature):
    """An explicit `(P, P)` matrix of any shape of curvature."""
    if isinstance(curvature, FullCurvature):
        return curvature.matrix
    if isinstance(curvature, DiagonalCurvature):
        return torch.diag(torch.cat(curvature.eigenvalues()))
    blocks = []
    for l in range(len(curvature.rows)):
        pairs = zip(curvature.outputs[l], curvature.inputs[l], strict=True)
        blocks += [torch.kron(B, A) / curvature.rows[l] for B, A in pairs]
    return torch.block_diag(*blocks)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_full_matrix_and_its_diagonal(awkward, likelihood):
    network, x = awkward
    sites = find_sites(network, "all")
    expected = gauss_newton(network, sites, x, likelihood)
    full = fitted(FullCurvature, network, sites, x, likelihood).matrix
    diagonal = fitted(DiagonalCurvature, network, sites, x, likelihood)
    assert_close(full, expected, rtol=0, atol=1e-12)
    assert_close(as_matrix(diagonal), torch.diag(expected.diagonal()), rtol=0, atol=1e-12)
    with pytest.raises(AssertionError):
        assert_close(full / len(x), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("chosen", ["all", ["first", "t*"], ["last"]])
def test_determinant_variances_and_outputs_are_those_of_the_explicit_matrix(awkward, shape, chosen):
    network, x = awkward
    sites = find_sites(network, chosen)
    curvature = fitted(shape, network, sites, x, CategoricalLikelihood())
    prior = torch.linspace(0.4, 0.9, len(sites), dtype=DOUBLE)
    counts = torch.tensor([site.count for site in sites])
    H = as_matrix(curvature)
    precision = H + torch.diag(prior.repeat_interleave(counts))
    sigma, J = torch.linalg.inv(precision), jacobian(network, sites, x)
    covariance = curvature.covariance(prior)
    marginals = covariance.marginals(record(network, sites, x))
    assert covariance.log_det_precision == pytest.approx(torch.logdet(precision).item(), abs=1e-10)
    assert_close(marginals.covariance, J @ sigma @ J.mT, rtol=0, atol=1e-11)
    assert_close(marginals.variance, (J @ sigma @ J.mT).diagonal(dim1=1, dim2=2), rtol=0, atol=1e-11)
    variances = torch.cat([each.flatten() for each in covariance.variances()])
    assert_close(variances, sigma.diagonal(), rtol=0, atol=1e-11)
    effective = torch.stack([each.sum() for each in (sigma @ H).diagonal().split(counts.tolist())])
    assert_close(covariance.effective(), effective, rtol=0, atol=1e-10)
    g = torch.randn(len(H), dtype=DOUBLE)
    split = [each.view(site.shape) for each, site in zip(g.split(counts.tolist()), sites, strict=True)]
    assert covariance.quadratic(split) == pytest.approx((g @ sigma @ g).item(), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_draws_have_the_covariance(awkward, shape):
    network, x = awkward
    sites = find_sites(network, ["first", "twice"])
    curvature = fitted(shape, network, sites, x, CategoricalLikelihood())
    covariance = curvature.covariance(torch.ones(2, dtype=DOUBLE))
    sigma = torch.linalg.inv(as_matrix(curvature) + torch.eye(sum(site.count for site in sites), dtype=DOUBLE))
    torch.manual_seed(0)
    n = 40_000
    draws = torch.cat([each.flatten(1) for each in covariance.draw(n)], 1)
    found, scale = draws.T @ draws / n, torch.outer(sigma.diagonal(), sigma.diagonal())
    z = (found - sigma) / ((scale + sigma.square()) / n).sqrt()
    assert z.abs().max() < 5.2  # of 1596 entries, so that their largest is within the suite's budget
    outputs = covariance.marginals(record(network, sites, x))
    f = outputs.draw(n) - outputs.mean
    expected = outputs.covariance
    found = torch.einsum("kbc,kbe->bce", f, f) / n
    diagonal = expected.diagonal(dim1=1, dim2=2)
    z = (found - expected) / ((diagonal.unsqueeze(1) * diagonal.unsqueeze(2) + expected.square()) / n).sqrt()
    assert z.abs().max() < 4.56


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_last_layer_needs_no_pass_backward(shape, likelihood):
    torch.manual_seed(2)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    wrapped = nn.Sequential(network, nn.Identity(), nn.Flatten(0, 0), nn.Unflatten(1, (3,))).double()
    x = torch.randn(7, 4, dtype=DOUBLE)
    short = fitted(shape, network, [last_site(network, x)], x, likelihood)
    long = fitted(shape, wrapped, [last_site(wrapped, x)], x, likelihood)
    assert record(network, [last_site(network, x)], x).direct
    assert not record(wrapped, [last_site(wrapped, x)], x).direct
    assert_close(as_matrix(short), as_matrix(long), rtol=0, atol=1e-12)
    prior = torch.ones(1, dtype=DOUBLE)
    near = short.covariance(prior).marginals(record(network, [last_site(network, x)], x))
    far = long.covariance(prior).marginals(record(wrapped, [last_site(wrapped, x)], x))
    assert_close(near.covariance, far.covariance, rtol=0, atol=1e-12)


def test_an_output_that_is_changed_in_place_is_not_taken_for_the_layers():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True)).double()
    assert not record(network, find_sites(network, "all"), torch.randn(4, 2, dtype=DOUBLE)).direct


def test_one_datum_or_equal_gradients_make_the_kronecker_form_exact():
    torch.manual_seed(3)
    network, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), torch.randn(6, 3, dtype=DOUBLE)
    sites = find_sites(network, "all")

    def off(data, likelihood):
        """The largest difference within the block of each layer."""
        kron = as_matrix(fitted(KroneckerCurvature, network, sites, data, likelihood))
        full = as_matrix(fitted(FullCurvature, network, sites, data, likelihood))
        first = sites[0].count
        blocks = torch.block_diag(full[:first, :first], full[first:, first:])
        return (kron - blocks).abs().max().item(), (kron - blocks)[first:, first:].abs().max().item()

    assert off(x[:1], CategoricalLikelihood())[0] < 1e-13
    assert off(x, GaussianLikelihood(scale=0.5))[1] < 1e-12
    assert off(x, GaussianLikelihood(scale=0.5))[0] > 0.1
    assert off(x, CategoricalLikelihood())[1] > 1e-3


def test_it_is_the_hessian_where_the_residuals_are_zero():
    torch.manual_seed(4)
    network, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double(), torch.randn(5, 2, dtype=DOUBLE)
    y, names = network(x).detach(), [name for name, _ in network.named_parameters()]
    theta = {name: each.detach() for name, each in network.named_parameters()}
    full = fitted(FullCurvature, network, find_sites(network, "all"), x, GaussianLikelihood(scale=1.0)).matrix
    order = [0, 1, 6, 2, 3, 7, 4, 5, 8, *range(9, 13)]  # [W, b] by row in terms of W then b

    def hessian_at(targets):
        def loss(*weights):
            outputs = functional_call(network, dict(zip(names, weights, strict=True)), (x,))
            return 0.5 * (targets - outputs).square().sum()

        blocks = hessian(loss, tuple(theta.values()))
        sizes = [each.numel() for each in theta.values()]
        rows = [torch.cat([each.reshape(n, -1) for each in row], 1) for n, row in zip(sizes, blocks, strict=True)]
        return torch.cat(rows)[order][:, order]

    assert_close(full, hessian_at(y), rtol=0, atol=1e-12)
    assert (full - hessian_at(y + 1)).abs().max() > 0.1


@pytest.mark.parametrize("likelihood", [CategoricalLikelihood(), GaussianLikelihood(outputs=3)])
def test_the_output_curvature_is_the_hessian_of_the_log_likelihood(likelihood):
    if isinstance(likelihood, GaussianLikelihood):
        likelihood.double().log_scale.data.copy_(torch.tensor([0.1, -0.3, 0.5]))
    f = torch.randn(4, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(5))
    curvature = output_curvature(likelihood, f)
    y = torch.tensor([0, 2, 1, 1]) if isinstance(likelihood, CategoricalLikelihood) else torch.zeros(4, 3).double()
    expected = torch.stack(
        [hessian(lambda o, b=b: -likelihood.log_prob(o.view(1, 1, 3), y[b : b + 1]).sum(), f[b]) for b in range(4)]
    )
    roots = torch.stack(list(curvature.directions()), 2)
    assert_close(roots @ roots.mT, expected, rtol=0, atol=1e-13)
    assert_close(curvature.total(), expected.sum(0), rtol=0, atol=1e-13)
    assert_close(curvature.diagonal(), expected.diagonal(dim1=1, dim2=2), rtol=0, atol=1e-13)


def test_rounding_below_zero_is_forgiven():
    (site,) = find_sites(nn.Linear(3, 1, bias=False), "all")
    curvature = FullCurvature([site])
    curvature.matrix.copy_(torch.diag(torch.tensor([1.0, 1e-3, -1e-6])))
    log_det = curvature.covariance(torch.full((1,), 1e-7, dtype=DOUBLE)).log_det_precision
    assert log_det == pytest.approx(math.log(1e-3) + math.log(1e-7), abs=1e-3)
    curvature.matrix[2, 2] = -0.1
    with pytest.raises(ValueError, match="not positive definite"):
        curvature.covariance(torch.full((1,), 1e-7, dtype=DOUBLE))


def test_curvature_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="conditional"):
        output_curvature(GaussianLikelihood(scale="conditional"), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="2 scales do not fit 3 outputs"):
        output_curvature(GaussianLikelihood(outputs=2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no curvature of Identity"):
        output_curvature(nn.Identity(), torch.zeros(2, 3))
    site = find_sites(nn.Linear(2, 2), "all")
    tape = record(site[0].layer, site, torch.zeros(1, 2))
    broken = FullCurvature(site)
    broken.add(tape, OutputCurvature(torch.full((1, 2), -5.0), torch.zeros(1, 2)))
    with pytest.raises(ValueError, match="not positive definite"):
        broken.covariance(torch.ones(1))
    for shape in (KroneckerCurvature, DiagonalCurvature):
        broken = shape(site)
        broken.add(tape, OutputCurvature(torch.full((1, 2), float("inf")), torch.zeros(1, 2)))
        with pytest.raises(ValueError, match="positive and finite"):
            broken.covariance(torch.ones(1))
    with pytest.raises(ValueError, match="use curvature='kron'"):
        FullCurvature(find_sites(nn.Linear(300, 300), "all"))
