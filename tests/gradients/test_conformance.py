"""Every estimator of the registry is what it is declared to be: unbiased ones pass the audit, biased ones fail it.

The cases are asymmetric and cubic, per coordinate, one-hot and bits, with and without a batch, by logits and by probs,
with parameters inside f. Seeds are fixed; with other seeds an audit accuses an unbiased estimator once in a thousand
times, so that one of the twelve audits here would in about 1 % of the suites.
"""

import functools
from typing import NamedTuple

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, OneHotCategorical

from jensen.gradients.audit import audit
from jensen.gradients.registry import ESTIMATORS

DOUBLE = torch.float64
REPLICATES = 3000
OPTIONS = {"relax": {"control": lambda z: 0.5 * z.sum(-1) + z[..., 0].sin()}, "concrete": {"tau": 0.5}}
METHODS = [(name, OPTIONS[name]) if each.needs else name for name, each in ESTIMATORS.items()]
W = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE)
BITS_W = torch.tensor([0.9, -0.5, 0.7], dtype=DOUBLE)


class Case(NamedTuple):
    f: object
    q: object
    parameters: object = None


def _tensor(*numbers):
    return torch.tensor(numbers, dtype=DOUBLE, requires_grad=True)


def four():
    return Case(lambda z: (z @ W - 0.3) ** 3, OneHotCategorical(logits=_tensor(0.6, -0.4, 0.1, -0.9)))


def bits():
    q = Independent(Bernoulli(logits=_tensor(0.3, -0.6, 0.9)), 1)
    return Case(lambda z: 4 * (z @ BITS_W - 0.4) ** 3 + z[..., 0] * z[..., 2], q)


def batch():
    logits = _tensor([0.6, -0.4, 0.1, -0.9], [-1.0, 0.2, 0.5, 0.4])
    shift = torch.tensor([0.3, -0.7], dtype=DOUBLE)
    return Case(lambda z: (z @ W - shift) ** 3, OneHotCategorical(probs=logits.exp()))


def inside():
    """The last two are parameters of f alone, and only their direct gradient is there."""
    logits, w, shift = _tensor(0.3, -0.6, 0.9), _tensor(0.9, -0.5, 0.7), _tensor(0.4)
    q = Independent(Bernoulli(logits=logits), 1)
    return Case(lambda z: 4 * (z @ w - shift) ** 3, q, {"logits": logits, "w": w, "shift": shift})


def normal():
    loc, log_scale = _tensor(0.5, -1.0), _tensor(-0.5, 0.3)
    return Case(lambda z: z**3 - torch.sin(2 * z), Normal(loc, log_scale.exp()))


CASES = {each.__name__: each for each in (four, bits, batch, inside, normal)}
NOT_FOR = {
    "four": {"pathwise", "arm", "disarm"},
    "bits": {"pathwise"},
    "batch": {"pathwise", "arm", "disarm"},
    "inside": {"pathwise"},
}
FOR_NORMAL = {"pathwise", "score_function", "leave_one_out", "measure_valued", "muprop"}


@functools.cache
def audited(case, samples):
    f, q, parameters = CASES[case]()
    replicates = REPLICATES // 3 if parameters else REPLICATES
    return audit(f, q, methods=METHODS, samples=samples, replicates=replicates, parameters=parameters, seed=1)


def applicable(case, samples):
    names = FOR_NORMAL if case == "normal" else set(ESTIMATORS) - NOT_FOR[case]
    return {name for name in names if ESTIMATORS[name].least_samples <= samples}


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_all_that_should_apply_does(case, samples):
    found = audited(case, samples)
    assert {row.name.partition("(")[0] for row in found.rows} == applicable(case, samples), found.skipped


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_what_is_declared_unbiased_passes_in_gradient_and_value(case, samples):
    found = audited(case, samples)
    assert [(row.name, row.fault, row.worst_z) for row in found.rows if row.declared == "unbiased" and row.fault] == []


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("case", [case for case in CASES if case != "normal"])
def test_what_is_declared_biased_fails_by_its_gradient(case, samples):
    found = audited(case, samples)
    biased = [row for row in found.rows if row.declared == "biased"]
    assert len(biased) == sum(not each.unbiased for each in ESTIMATORS.values())
    assert [(row.name, row.worst_z) for row in biased if row.fault in ("", "value")] == []


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_variances_are_ordered_as_proved(case, samples):
    """Rao-Blackwellisation and more draws do not hurt; half a tenth is left for noise."""
    found = audited(case, samples)
    variance = {row.name: row.variance for row in found.rows}
    pairs = [("rao_blackwell", "score_function"), ("disarm", "arm"), ("unordered_set", "score_function")]
    assert [pair for pair in pairs if pair[0] in variance if pair[1] in variance
            if variance[pair[0]] > 1.15 * variance[pair[1]]] == []  # fmt: skip


@pytest.mark.parametrize("case", ["four", "bits"])
def test_a_wrong_declaration_would_be_noticed(case, monkeypatch):
    """The negative control: estimators that swap their declarations fail both tests."""
    f, q, _ = CASES[case]()
    for name, unbiased in (("leave_one_out", False), ("straight_through", True)):
        swapped = ESTIMATORS[name].__class__(**{**vars(ESTIMATORS[name]), "unbiased": unbiased})
        monkeypatch.setitem(ESTIMATORS, name, swapped)
    found = audit(f, q, methods=["leave_one_out", "straight_through"], replicates=2000, seed=1)
    assert found.row("leave_one_out").declared == "biased"
    assert found.row("leave_one_out").passed
    assert found.row("straight_through").declared == "unbiased"
    assert not found.row("straight_through").passed


@pytest.mark.slow
@pytest.mark.parametrize("case", ["four", "bits", "batch"])
def test_with_many_more_replicates(case):
    f, q, _ = CASES[case]()
    found = audit(f, q, methods=METHODS, samples=3, replicates=200_000, seed=2)
    assert [(row.name, row.fault) for row in found.rows if (row.declared == "biased") == row.passed] == []
