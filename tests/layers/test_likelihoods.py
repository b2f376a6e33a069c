"""Densities against torch, mixtures against their definition, and uncertainty that adds up."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.testing import assert_close

from jensen.layers import CategoricalLikelihood, GaussianLikelihood

DOUBLE = torch.float64


@pytest.fixture
def logits():
    return 3 * torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)  # (K, B, C)


@pytest.fixture
def outputs():
    return torch.randn(5, 6, 2, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)  # (K, B, D)


LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


def entropy(p):
    return -(p * p.log()).sum(-1)


def test_the_log_probability_of_a_label(logits):
    expected = Categorical(logits=logits).log_prob(LABELS)
    assert_close(CategoricalLikelihood().log_prob(logits, LABELS), expected, atol=1e-13, rtol=0)


def test_the_prediction_is_the_mixture_of_classes(logits):
    prediction = CategoricalLikelihood().predict(logits)
    p = logits.softmax(-1)
    assert_close(prediction.mean, p.mean(0), atol=1e-14, rtol=0)
    assert_close(prediction.total, entropy(p.mean(0)), atol=1e-13, rtol=0)
    assert_close(prediction.aleatoric, entropy(p).mean(0), atol=1e-13, rtol=0)
    assert_close(prediction.log_prob(LABELS), p.mean(0).gather(1, LABELS[:, None])[:, 0].log(), atol=1e-13, rtol=0)
    assert_close(prediction.standard_error, p.std(0) / 2, atol=1e-14, rtol=0)
    assert prediction.samples == 4


def test_entropy_is_its_two_parts_to_the_bit(logits):
    for scale in (1e-6, 1.0, 30.0, 1e4):
        prediction = CategoricalLikelihood().predict(scale * logits.float())
        assert torch.equal(prediction.total, prediction.aleatoric + prediction.epistemic)
        assert (prediction.epistemic >= 0).all()
        assert (prediction.total <= math.log(3) + 1e-6).all()


def test_the_mean_of_log_probabilities_is_no_mixture(logits):
    """A twin that averages logarithms is below, by Jensen's inequality."""
    prediction = CategoricalLikelihood().predict(logits)
    assert (CategoricalLikelihood().log_prob(logits, LABELS).mean(0) < prediction.log_prob(LABELS) - 1e-3).all()


def test_the_mutual_information_counts_what_the_draws_disagree_on():
    apart = torch.tensor([[[50.0, 0.0]], [[0.0, 50.0]]])
    alike = apart[:1].expand(2, 1, 2)
    assert_close(CategoricalLikelihood().predict(apart).epistemic, torch.tensor([math.log(2)]))
    assert CategoricalLikelihood().predict(alike).epistemic.item() == 0.0


@pytest.mark.parametrize("far", [200.0, 1e4, math.inf])
def test_nothing_breaks_at_probability_zero(far):
    logits = torch.tensor([[[0.0, -far, 0.0]], [[0.0, -far, -far]]])
    prediction = CategoricalLikelihood().predict(logits)
    for value in (prediction.mean, prediction.total, prediction.aleatoric, prediction.epistemic):
        assert value.isfinite().all()
    assert_close(prediction.mean, torch.tensor([[0.75, 0.0, 0.25]]))
    found = prediction.log_prob(torch.tensor([1])).item()
    assert found == pytest.approx(-far - math.log(4) + math.log(3)) if math.isfinite(far) else found == -math.inf


@pytest.mark.parametrize("scale", ["learned", 0.3])
def test_noise_that_is_the_same_everywhere(outputs, scale):
    likelihood = GaussianLikelihood(scale=scale, outputs=2).double()
    sigma = torch.tensor([0.3, 0.3], dtype=DOUBLE)
    if scale == "learned":
        sigma = torch.tensor([0.3, 2.0], dtype=DOUBLE)
        likelihood.log_scale.data = sigma.log()
    y = torch.randn(6, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    each = Normal(outputs, sigma).log_prob(y).sum(-1)
    assert_close(likelihood.log_prob(outputs, y), each, atol=1e-12, rtol=0)
    assert_mixture(likelihood.predict(outputs), y, outputs, sigma.expand_as(outputs), each)


def test_noise_that_depends_on_the_input(outputs):
    mean, log_scale = outputs.chunk(2, -1)
    likelihood = GaussianLikelihood(scale="conditional")
    y = torch.randn(6, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    each = Normal(mean, log_scale.exp()).log_prob(y[:, None]).sum(-1)
    assert_close(likelihood.log_prob(outputs, y), each, atol=1e-12, rtol=0)
    assert_mixture(likelihood.predict(outputs), y, mean, log_scale.exp(), each)
    assert list(likelihood.parameters()) == []


def assert_mixture(prediction, y, mean, sigma, each):
    assert_close(prediction.mean, mean.mean(0), atol=1e-13, rtol=0)
    second_moment = (sigma**2 + mean**2).mean(0)
    assert_close(prediction.total, second_moment - mean.mean(0) ** 2, atol=1e-13, rtol=0)
    assert_close(prediction.aleatoric, (sigma**2).mean(0), atol=1e-13, rtol=0)
    assert_close(prediction.log_prob(y), each.exp().mean(0).log(), atol=1e-12, rtol=0)
    assert (prediction.log_prob(y) > each.mean(0)).all()


def test_outputs_without_an_axis_of_their_own():
    outputs, y = torch.randn(4, 6, dtype=DOUBLE), torch.randn(6, dtype=DOUBLE)
    likelihood = GaussianLikelihood(scale=0.5)
    each = Normal(outputs, 0.5).log_prob(y)
    assert_close(likelihood.log_prob(outputs, y), each, atol=1e-12, rtol=0)
    assert_close(likelihood.predict(outputs).log_prob(y), each.logsumexp(0) - math.log(4), atol=1e-12, rtol=0)


def test_the_learned_noise_finds_that_of_the_data():
    y = 0.7 * torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    likelihood = GaussianLikelihood().double()
    exact = {"tolerance_grad": 1e-10, "tolerance_change": 1e-16, "line_search_fn": "strong_wolfe"}
    optimizer = torch.optim.LBFGS(likelihood.parameters(), max_iter=100, **exact)

    def loss():
        optimizer.zero_grad()
        value = -likelihood.log_prob(torch.zeros(1, 4000, 1, dtype=DOUBLE), y).mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert likelihood.log_scale.exp().item() == pytest.approx(y.square().mean().sqrt().item(), abs=1e-6)


def test_low_precision_outputs_are_scored_in_single_precision(logits):
    low = logits.bfloat16()
    assert CategoricalLikelihood().log_prob(low, LABELS).dtype == torch.float32
    assert GaussianLikelihood(scale=1.0).log_prob(low, torch.zeros(6, 3)).dtype == torch.float32


def test_one_draw_has_no_epistemic_part_and_no_error(logits, outputs):
    for prediction in (
        CategoricalLikelihood().predict(logits[:1]),
        GaussianLikelihood(scale=1.0).predict(outputs[:1]),
    ):
        assert prediction.epistemic.abs().max() < 1e-15
        assert prediction.standard_error.isnan().all()


@pytest.mark.parametrize(
    ("likelihood", "outputs", "targets", "message"),
    [
        (CategoricalLikelihood(), (1, 5), torch.zeros(5, dtype=torch.long), r"give \(B,\) and \(B, classes\)"),
        (CategoricalLikelihood(), (1, 5, 3), torch.zeros(5), "labels must be long, got torch.float32"),
        (CategoricalLikelihood(), (1, 5, 3), torch.zeros(5, 1, dtype=torch.long), r"\(5, 1\) do not fit"),
        (GaussianLikelihood(), (1, 5, 2), torch.zeros(5), r"\(5,\) do not fit.*\(5, 2\)"),
        (GaussianLikelihood(), (1, 5), torch.zeros(5, 1), r"\(5, 1\) do not fit"),
        (GaussianLikelihood(outputs=2), (1, 5, 1), torch.zeros(5), r"2 scales do not fit outputs of shape \(1, 5, 1\)"),
        (GaussianLikelihood(outputs=2), (1, 2), torch.zeros(2), r"2 scales do not fit outputs of shape \(1, 2\)"),
        (GaussianLikelihood(scale="conditional"), (1, 5, 3), torch.zeros(5), "are not means and log-scales"),
        (GaussianLikelihood(scale="conditional"), (1, 4), torch.zeros(4), "are not means and log-scales"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(likelihood, outputs, targets, message):
    with pytest.raises(ValueError, match=message):
        likelihood.log_prob(torch.zeros(outputs), targets)
    with pytest.raises(ValueError, match=message):
        likelihood.check(torch.zeros(outputs), targets)


def test_other_numbers_of_targets_than_of_outputs_are_refused():
    with pytest.raises(ValueError, match=r"\(4,\) do not fit.*\(5, 3\)"):
        CategoricalLikelihood().log_prob(torch.zeros(1, 5, 3), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"\(4,\) do not fit.*\(5, 1\)"):
        GaussianLikelihood().log_prob(torch.zeros(1, 5, 1), torch.zeros(4))


def test_labels_of_no_class_are_refused():
    with pytest.raises(ValueError, match=r"labels lie in \[0, 3\], but the network has 3 outputs"):
        CategoricalLikelihood().check(torch.zeros(1, 1, 3), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"labels lie in \[-1, 2\]"):
        CategoricalLikelihood().check(torch.zeros(1, 1, 3), torch.tensor([-1, 2]))


def test_predictions_refuse_other_targets(logits, outputs):
    with pytest.raises(ValueError, match="do not fit"):
        CategoricalLikelihood().predict(logits).log_prob(LABELS[:3])
    with pytest.raises(ValueError, match="do not fit"):
        GaussianLikelihood(scale=1.0).predict(outputs).log_prob(torch.zeros(6))


@pytest.mark.parametrize("scale", ["free", 0.0, -1.0, math.inf, math.nan])
def test_what_is_no_scale_is_refused(scale):
    with pytest.raises(ValueError, match="'learned', 'conditional' or a positive number"):
        GaussianLikelihood(scale=scale)


def test_no_output_is_refused():
    with pytest.raises(ValueError, match="outputs must be at least 1"):
        GaussianLikelihood(outputs=0)


def test_they_are_modules_and_say_what_they_are():
    assert isinstance(CategoricalLikelihood(), nn.Module)
    assert repr(GaussianLikelihood(scale=2.0)) == "GaussianLikelihood(scale=2.0)"
