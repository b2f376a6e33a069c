import math

import pytest
import torch

from jensen._evidence import Evidence
from jensen.evidence.model_comparison import BayesFactor, ModelProbabilities, bayes_factor, model_probabilities

DOUBLE = torch.float64


def evidences(log_z, error):
    return [Evidence(z, s) for z, s in zip(log_z, error, strict=True)]


def simulated(log_z, error, prior, n=200_000):
    """Standard deviations of the probabilities over draws of the log-evidences."""
    noise = torch.randn(n, len(log_z), dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    draws = torch.tensor(log_z, dtype=DOUBLE) + torch.tensor(error, dtype=DOUBLE) * noise
    return (draws + torch.tensor(prior, dtype=DOUBLE).log()).softmax(-1).std(0)


def test_radiata_pine():
    found = bayes_factor(Evidence(-301.7046021, 3e-4), Evidence(-310.1282855, 4e-4))
    assert found.log_bf == pytest.approx(8.4236834, abs=1e-7)
    assert found.value == pytest.approx(4553.65, abs=0.01)
    assert found.std_error == pytest.approx(5e-4, rel=1e-12)
    assert found.words == "very strong for the first"
    assert found.warnings == ()


def test_turtles():
    found = bayes_factor(Evidence(-156.4785898, 0.0), Evidence(-156.7197320, 0.0))
    assert found.value == pytest.approx(1.272702, abs=1e-6)
    assert found.words == "not worth more than a bare mention"
    assert str(found) == "log BF = 0.2411 (not worth more than a bare mention)"


def test_the_other_way_round():
    a, b = Evidence(-3.0, 0.1), Evidence(-7.0, 0.2)
    assert bayes_factor(b, a).log_bf == -bayes_factor(a, b).log_bf
    assert bayes_factor(b, a).words == "strong for the second"


def test_the_interval_covers_on_the_scale_of_the_factor():
    noise = torch.randn(2, 2000, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    results = [bayes_factor(Evidence(1 + 0.3 * x, 0.3), Evidence(0.4 * y, 0.4)) for x, y in noise.T.tolist()]
    inside = [low <= math.e <= high for low, high in (each.interval(0.9) for each in results)]
    assert sum(inside) / 2000 == pytest.approx(0.9, abs=4.56 * math.sqrt(0.09 / 2000))
    added = [abs(each.log_bf - 1) <= 1.645 * (0.3 + 0.4) for each in results]  # errors added instead of squares
    assert sum(added) / 2000 > 0.95


def test_a_factor_that_is_too_large_to_write():
    assert BayesFactor(1e4, 1.0).value == math.inf
    assert BayesFactor(-1e4, 1.0).value == 0
    assert BayesFactor(1e4, 1.0).interval() == (math.inf, math.inf)


def test_what_is_no_evidence_is_named():
    good = Evidence(-1.0, 0.1, method="bridge")
    for bad, says in (
        (Evidence(-1.0, 0.0, method="map", kind="score"), "the second model (map): a score does not estimate log Z"),
        (Evidence(-1.0, 0.1, method="elbo", kind="bound"), "unknown gap"),
        (Evidence(-1.0, math.nan, method="harmonic"), "no standard error"),
        (Evidence(-1.0, 0.1, warnings=("The tail is heavy.",)), "the second model: The tail is heavy."),
    ):
        assert any(says in sentence for sentence in bayes_factor(good, bad).warnings)
        by_name = model_probabilities({"line": good, "curve": bad}).warnings
        assert any(sentence.startswith("curve") for sentence in by_name)
    assert math.isnan(bayes_factor(good, Evidence(-1.0, math.nan)).std_error)
    assert bayes_factor(good, good).warnings == ()


def test_two_impossible_models_have_no_factor():
    never = Evidence(-math.inf, 0.0)
    with pytest.raises(ValueError, match="no difference"):
        bayes_factor(never, never)
    assert bayes_factor(Evidence(0.0, 0.1), never).log_bf == math.inf


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_probability(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        BayesFactor(0.0, 1.0).interval(level)


@pytest.mark.parametrize(
    ("log_z", "error", "prior"),
    [
        ((-3.0, -2.0, -4.0), (0.02, 0.03, 0.01), (1.0, 1.0, 1.0)),
        ((-1000.0, -1000.5), (0.05, 0.0), (0.2, 0.8)),
        ((0.0, 0.1, 0.2, -9.0, 0.3), (0.03, 0.0, 0.02, 0.05, 0.04), (1.0, 2.0, 3.0, 4.0, 5.0)),
    ],
)
def test_probabilities_and_their_errors_by_simulation(log_z, error, prior):
    found = model_probabilities(evidences(log_z, error), prior=prior)
    expected = (torch.tensor(log_z, dtype=DOUBLE) + torch.tensor(prior, dtype=DOUBLE).log()).softmax(0)
    assert list(found.probabilities) == [str(i) for i in range(len(log_z))]
    assert list(found.probabilities.values()) == pytest.approx(expected.tolist(), rel=1e-12)
    by_draws = simulated(log_z, error, prior).tolist()
    assert list(found.std_errors.values()) == pytest.approx(by_draws, rel=0.02)
    without_the_others = [p * (1 - p) * s for p, s in zip(expected.tolist(), error, strict=True)]
    assert without_the_others != pytest.approx(by_draws, rel=0.02)


def test_the_jacobian_is_that_of_the_softmax():
    log_z, error = torch.tensor([0.3, -1.0, 0.9, 2.0], dtype=DOUBLE), torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda z: z.softmax(0), log_z)
    expected = (jacobian.square() @ error.square()).sqrt()
    found = model_probabilities(evidences(log_z.tolist(), error.tolist()))
    assert list(found.std_errors.values()) == pytest.approx(expected.tolist(), rel=1e-12)


def test_a_nearly_certain_model_keeps_its_small_error():
    found = model_probabilities(evidences((0.0, -50.0), (0.1, 0.1)))
    error = math.exp(-50) * math.hypot(0.1, 0.1)
    assert list(found.std_errors.values()) == pytest.approx([error, error], rel=1e-9)


def test_names_and_prior_belong_together():
    models = {"line": Evidence(-310.0, 0.01), "curve": Evidence(-308.0, 0.02)}
    prior = {"curve": 1.0, "line": math.exp(2)}
    found = model_probabilities(models, prior=prior)
    assert dict(found.probabilities) == pytest.approx({"line": 0.5, "curve": 0.5}, abs=1e-12)
    assert list(found.probabilities) == ["line", "curve"]
    with pytest.raises(TypeError):
        found.probabilities["line"] = 1.0
    assert str(ModelProbabilities({"a": 1.0}, {"a": 0.0})) == "a 1.0000 ± 0.0000"


def test_a_model_that_cannot_be():
    never = {"a": Evidence(-1.0, 0.1), "b": Evidence(-math.inf, 0.0)}
    assert dict(model_probabilities(never).probabilities) == {"a": 1.0, "b": 0.0}
    excluded = model_probabilities(evidences((-1.0, 5.0), (0.1, 0.1)), prior=[1.0, 0.0])
    assert list(excluded.probabilities.values()) == [1.0, 0.0]
    assert list(excluded.std_errors.values()) == [0.0, 0.0]


def test_a_large_error_is_said_to_be_too_large():
    assert "too large" in model_probabilities(evidences((0.0, 0.0), (2.0, 0.1))).warnings[0]
    assert model_probabilities(evidences((0.0, 0.0), (0.2, 0.1))).warnings == ()


@pytest.mark.parametrize(
    ("models", "prior", "says"),
    [
        ([], None, "no model"),
        (evidences((0.0, 1.0), (0.1, 0.1)), [1.0], "2 finite numbers"),
        (evidences((0.0, 1.0), (0.1, 0.1)), [1.0, -1.0], "from 0 on"),
        (evidences((0.0, 1.0), (0.1, 0.1)), {"a": 1.0, "b": 1.0}, r"the models are \['0', '1'\]"),
        (evidences((0.0, 1.0), (0.1, 0.1)), [0.0, 0.0], "comparable"),
        (evidences((-math.inf, -math.inf), (0.0, 0.0)), None, "comparable"),
    ],
)
def test_bad_input(models, prior, says):
    with pytest.raises(ValueError, match=says):
        model_probabilities(models, prior=prior)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bayes_factor(1.0, 2.0), r"^a must be an Evidence, such as .*, got 1.0$"),
        (lambda: bayes_factor(Evidence(-1.0, 0.1), "b"), "^b must be an Evidence"),
        (lambda: model_probabilities([Evidence(-1.0, 0.1), -2.0]), "^1 must be an Evidence"),
        (lambda: model_probabilities({"line": -2.0}), "^line must be an Evidence"),
        (lambda: model_probabilities(3.0), "a sequence of Evidence, or a mapping"),
        (lambda: model_probabilities(Evidence(-1.0, 0.1)), "a sequence of Evidence, or a mapping"),
    ],
)
def test_what_is_no_evidence_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
