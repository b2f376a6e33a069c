"""Draws of other libraries reach the same points: real ones where they are installed, stand-ins everywhere."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.distributions import Beta, Dirichlet, HalfNormal, Normal
from torch.testing import assert_close

from jensen._targets import Draws, Target
from jensen.evidence.draws import as_draws, as_points, evaluate

DOUBLE = torch.float64
S, C = 6, 3


@pytest.fixture
def target():
    prior = {
        "mu": Normal(torch.zeros(2, dtype=DOUBLE), 1.0),
        "sigma": HalfNormal(torch.ones(1, dtype=DOUBLE)[0]),
        "weights": Dirichlet(torch.ones(3, dtype=DOUBLE)),
    }
    return Target(lambda mu, sigma, weights: -(mu**2).sum(-1) / sigma + weights[:, 0].log(), prior)


@pytest.fixture
def points(target):
    """Real coordinates `(S, C, d)`, all of them different."""
    return torch.randn(S, C, target.dim, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)


@pytest.fixture
def by_name(target, points):
    """The same in the model's own space, chains first, `(C, S, *event)`, with a variable more."""
    values = {name: value.transpose(0, 1).numpy() for name, value in target.constrain(points).items()}
    return {**values, "lp__": np.zeros((C, S))}


class Variable(NamedTuple):
    """As much of xarray's `DataArray` as is asked for."""

    array: np.ndarray
    dims: tuple
    name: str = "x"

    def transpose(self, *order):
        named = [each for each in order if each is not ...]
        rest = [each for each in self.dims if each not in named]
        return Variable(np.transpose(self.array, [self.dims.index(each) for each in [*named, *rest]]), (*named, *rest))

    @property
    def values(self):
        return self.array


class Group(Mapping):
    """As much of xarray's `Dataset`, and of one node of its `DataTree`, as is asked for."""

    def __init__(self, variables, children=None):
        self.data_vars = variables
        self.dims = {"chain": C, "draw": S}
        self.children = children or {}
        self.groups = ("/", *(f"/{name}" for name in self.children))

    def __getitem__(self, name):
        return (self.children | self.data_vars)[name]

    def __iter__(self):
        return iter({**self.data_vars, **self.children})

    def __len__(self):
        return len(self.data_vars) + len(self.children)


class InferenceDataLike:
    def __init__(self, **groups):
        self.__dict__.update(groups)

    def groups(self):
        return list(self.__dict__)


class StanFit:
    """CmdStanPy lays the chains end to end."""

    chains = C

    def __init__(self, by_name):
        self.by_name = by_name

    def stan_variables(self):
        return {name: value.reshape(C * S, *value.shape[2:]) for name, value in self.by_name.items()}


class Sampler:
    def __init__(self, by_name):
        self.by_name = by_name

    def get_samples(self, *, group_by_chain):
        return self.by_name if group_by_chain else None


def dataset(by_name):
    return Group(
        {
            name: Variable(value, ("chain", "draw", *(f"{name}_dim_{i}" for i in range(value.ndim - 2))))
            for name, value in by_name.items()
        }
    )


FORMS = {
    "mapping": lambda by_name: by_name,
    "tensors": lambda by_name: {name: torch.from_numpy(value) for name, value in by_name.items()},
    "lists": lambda by_name: {name: value.tolist() for name, value in by_name.items()},
    "Dataset": dataset,
    "InferenceData": lambda by_name: InferenceDataLike(posterior=dataset(by_name), sample_stats=Group({})),
    "DataTree": lambda by_name: Group({}, {"posterior": dataset(by_name), "sample_stats": Group({})}),
    "nested mapping": lambda by_name: {"posterior": by_name, "sample_stats": {}},
    "CmdStanPy": StanFit,
    "MCMC": Sampler,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_points(form, target, points, by_name):
    found = as_draws(FORMS[form](by_name), target)
    assert_close(found.points, points, rtol=1e-9, atol=1e-9)
    assert_close(found.log_joint, target.log_joint(points.flatten(0, 1)).reshape(S, C), rtol=1e-9, atol=1e-9)
    assert found.log_likelihood.shape == found.log_prior.shape == (S, C)


def test_chains_and_draws_the_other_way_round_are_caught(target, points, by_name):
    """The twin that takes CmdStan's chains to be interleaved."""
    twin = {name: value.reshape(S, C, *value.shape[2:]).swapaxes(0, 1) for name, value in by_name.items()}
    assert not torch.allclose(as_points(twin, target), points)


def test_axes_are_found_by_name(target, points, by_name):
    turned = {
        name: Variable(np.moveaxis(value, 0, -1), ("draw", *(f"d{i}" for i in range(value.ndim - 2)), "chain"))
        for name, value in by_name.items()
    }
    assert_close(as_points(Group(turned), target), points)


def test_one_chain_without_its_axis(target, points, by_name):
    found = as_points({name: value[1] for name, value in by_name.items()}, target)
    assert_close(found, points[:, 1:2])


@pytest.mark.parametrize("as_array", [torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.float, torch.Tensor.clone])
def test_bare_arrays_have_draws_first(as_array):
    target = Target(lambda x: -x.sum(-1), HalfNormal(torch.ones(2, dtype=DOUBLE)))
    theta = torch.rand(S, C, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) + 0.1
    assert_close(as_points(as_array(theta), target), theta.log(), rtol=1e-6, atol=1e-6)
    assert_close(as_points(as_array(theta[:, 0]), target), theta[:, :1].log(), rtol=1e-6, atol=1e-6)


def test_a_labelled_array_is_turned():
    target = Target(lambda x: -x.sum(-1), HalfNormal(torch.ones(2, dtype=DOUBLE)))
    theta = np.random.default_rng(0).random((C, S, 2))
    found = as_points(Variable(theta, ("chain", "draw", "x")), target)
    assert_close(found, torch.from_numpy(theta).transpose(0, 1).log())


class Chains(NamedTuple):
    draws: Draws
    r_hat: float = 1.0


def test_draws_of_this_library_pass(target, points):
    terms = target.log_terms(points.flatten(0, 1)).reshape(2, S, C)
    draws = Draws(points, *terms)
    for form in (draws, Chains(draws)):
        assert all(map(torch.equal, as_draws(form, target), draws))
        assert torch.equal(as_points(form, target), points)


def test_draws_of_another_target_are_caught(target, points):
    terms = target.log_terms(points.flatten(0, 1)).reshape(2, S, C)
    with pytest.raises(ValueError, match="made for another target"):
        as_draws(Draws(points, terms[0] + 1, terms[1]), target)
    with pytest.raises(ValueError, match=r"shape \(6, 3, 2\); expected \(draws, chains, d\) = \(S, C, 5\)"):
        as_draws(Draws(points[..., :2], *terms), target)


def test_evaluation_goes_in_parts_and_without_gradients():
    sizes = []

    def double(x):
        sizes.append(len(x))
        assert not torch.is_grad_enabled()
        return torch.stack([x.sum(-1), 2 * x.sum(-1)])

    x = torch.ones(20_000, 2, requires_grad=True)
    assert evaluate(double, x).shape == (2, 20_000)
    assert sum(sizes) == 20_000
    assert max(sizes) < 10_000


class TestBadInput:
    def test_names_that_do_not_match(self, target, by_name):
        by_name["tau"] = by_name.pop("sigma")
        message = r"have \['lp__', 'mu', 'tau', 'weights'\] and lack \['sigma'\].*are \['mu', 'sigma', 'weights'\]"
        with pytest.raises(ValueError, match=message):
            as_draws(by_name, target)

    def test_shapes_that_do_not_match(self, target, by_name):
        with pytest.raises(ValueError, match=r"mu has shape \(3, 6\); expected \(chains, draws, 2\) or \(draws, 2\)"):
            as_draws({**by_name, "mu": by_name["sigma"]}, target)
        with pytest.raises(ValueError, match="different numbers of"):
            as_draws({**by_name, "mu": by_name["mu"][:, :2]}, target)
        with pytest.raises(ValueError, match=r"has shape \(3, 0\)"):
            as_draws({**by_name, "sigma": by_name["sigma"][:, :0]}, target)

    @pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 0.0])
    def test_a_scale_outside_the_support(self, target, by_name, value):
        by_name["sigma"] = by_name["sigma"].copy()
        by_name["sigma"][2, 4] = value
        with pytest.raises(ValueError, match=r"1 of 18 draws .* draw 4 of chain 2: mu = \["):
            as_draws(by_name, target)

    def test_a_probability_outside_the_support(self):
        target = Target(lambda p: p.log(), Beta(*torch.ones(2, dtype=DOUBLE)))
        with pytest.raises(ValueError, match=r"2 of 3 draws .*; first draw 1 of chain 0: theta = 1.5"):
            as_draws(np.array([0.5, 1.5, -0.5]), target)

    def test_weights_that_do_not_sum_to_one(self, target, by_name):
        with pytest.raises(ValueError, match="18 of 18 draws are not finite or lie outside"):
            as_draws({**by_name, "weights": 2 * by_name["weights"]}, target)

    def test_an_array_for_a_target_with_names(self, target):
        with pytest.raises(ValueError, match=r"have names \(mu, sigma, weights\); give their draws by name"):
            as_draws(np.zeros((4, 5)), target)

    def test_no_posterior(self, target):
        with pytest.raises(ValueError, match="no group named posterior"):
            as_draws(InferenceDataLike(prior=Group({})), target)
        with pytest.raises(ValueError, match="no group named posterior"):
            as_draws(Group({}, {"prior": Group({})}), target)

    def test_axes_without_names(self, target, by_name):
        bad = Group({name: Variable(value, ("sample",)) for name, value in by_name.items()})
        with pytest.raises(ValueError, match=r"has the axes \('sample',\); expected chain and draw"):
            as_draws(bad, target)

    def test_words(self):
        target = Target(lambda x: -x, HalfNormal(torch.ones(1, dtype=DOUBLE)[0]))
        with pytest.raises(ValueError, match="draws must be numbers"):
            as_draws("chain", target)


def test_arviz(target, points, by_name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arviz = pytest.importorskip("arviz")
        newer = int(arviz.__version__.partition(".")[0]) >= 1
        kept = arviz.from_dict({"posterior": by_name}) if newer else arviz.from_dict(posterior=by_name)
        for form in (kept, kept.posterior, kept["posterior"]):
            assert_close(as_points(form, target), points)


def test_data_tree(target, points, by_name):
    xarray = pytest.importorskip("xarray")
    variables = {
        name: (("chain", "draw", *(f"{name}_{i}" for i in range(value.ndim - 2))), value)
        for name, value in by_name.items()
    }
    posterior = xarray.Dataset(variables)
    assert_close(as_points(posterior, target), points)
    tree = xarray.DataTree.from_dict({"posterior": posterior, "sample_stats": xarray.Dataset()})
    assert_close(as_points(tree, target), points)
    assert_close(as_points(tree["posterior"], target), points)
    with pytest.raises(ValueError, match="no group named posterior"):
        as_points(xarray.DataTree.from_dict({"prior": posterior}), target)
    simple = Target(lambda x: -x.sum(-1), Normal(torch.zeros(2, dtype=DOUBLE), 1.0))
    assert_close(as_points(posterior["mu"], simple), points[..., :2])
