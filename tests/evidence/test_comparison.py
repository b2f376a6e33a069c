"""Where methods agree, and what is said where they do not."""

import math

import pytest

from jensen._evidence import Evidence
from jensen.evidence.accounts import Cost
from jensen.evidence.comparison import Comparison

COST = Cost(0.5, 1000)


def comparison(exact=None, failures=None, **results):
    return Comparison(results, dict.fromkeys(results, COST), failures or {}, exact)


def test_estimates_three_combined_errors_apart_are_named():
    found = comparison(a=Evidence(0.0, 0.3), b=Evidence(1.4, 0.4), c=Evidence(1.6, 0.4))
    assert [(a, b) for a, b, _ in found.disagreements] == [("a", "c")]
    assert found.disagreements[0][2] == pytest.approx(1.6 / 0.5)
    assert any("differ by 3.2" in note for note in found.notes())


@pytest.mark.parametrize(
    "other",
    [
        Evidence(5.0, 0.01, kind="score"),
        Evidence(5.0, 0.01, kind="bound"),
        Evidence(5.0, math.nan, kind="approximation"),
        Evidence(5.0, math.nan),
    ],
)
def test_what_claims_no_error_is_not_judged(other):
    assert comparison(a=Evidence(0.0, 0.3), b=other).disagreements == ()


def test_rounding_is_no_difference():
    assert comparison(a=Evidence(0.0, 0.0), b=Evidence(1e-12, 0.0)).disagreements == ()
    assert comparison(a=Evidence(0.0, 0.0), b=Evidence(1e-3, 0.0)).disagreements[0][2] == math.inf


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(-2.0, 0.1), "1.0 σ ok"),
        (Evidence(-1.0, 0.1), "9.0 σ above"),
        (Evidence(-2.9, 0.1), "10.0 σ below"),
        (Evidence(-1.9, 0.0), "0.0 σ ok"),
        (Evidence(-2.5, 0.1, kind="bound"), "0.6 below"),
        (Evidence(-1.0, math.nan, kind="score"), "a score"),
        (Evidence(-1.6, math.nan, kind="approximation"), "0.3 above"),
    ],
)
def test_a_verdict_against_the_exact_value(evidence, words):
    assert comparison(exact=-1.9, a=evidence).verdict("a") == words


def test_without_an_exact_value_the_surest_calm_estimate_is_the_reference():
    found = comparison(
        a=Evidence(0.0, 0.2), b=Evidence(0.1, 0.1), c=Evidence(0.9, 0.01, warnings=("It is not to be trusted.",))
    )
    assert found.reference == "b"
    assert found.verdict("b") == "yardstick"
    assert found.verdict("a") == "0.4 σ ok"
    assert found.verdict("c") == "8.0 σ above"


def test_it_is_a_mapping_that_explains_what_is_missing():
    found = comparison(failures={"nested": "the prior is flat"}, a=Evidence(0.0, 0.2))
    assert dict(found) == {"a": Evidence(0.0, 0.2)}
    with pytest.raises(KeyError, match="nested failed: the prior is flat"):
        found["nested"]
    with pytest.raises(KeyError, match="there are: a"):
        found["b"]


def test_the_table_shows_all_of_it():
    text = str(comparison(exact=0.01, failures={"nested": "no"}, a=Evidence(0.0123, 0.002), b=Evidence(-1.0, math.nan)))
    assert "0.0123" in text
    assert "0.0020" in text
    assert "nested failed: no" in text
    assert "against the exact value" in text
    assert "1,000" in text
    assert "–" in text


def test_the_picture_is_written(tmp_path):
    found = comparison(exact=0.0, a=Evidence(0.0, 0.2), b=Evidence(-90.0, 0.1), c=Evidence(0.1, math.nan, kind="score"))
    figure = found.picture(tmp_path / "evidence.png")
    assert (tmp_path / "evidence.png").stat().st_size > 1000
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
