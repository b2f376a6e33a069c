"""What a result says of itself."""

import math

import pytest

from jensen._evidence import Evidence


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (Evidence(-257.23257, 0.00075, method="bridge"), "log Z = -257.2326 ± 0.0008 (bridge)"),
        (Evidence(1.5, 13.4), "log Z = 1.5 ± 13.4"),
        (Evidence(-3.0, 0.0, kind="approximation"), "log Z ≈ -3.0000"),
        (Evidence(-3.0, math.nan, kind="score", method="map"), "score -3.0000 (map)"),
        (Evidence(-3.0, 0.02, kind="bound"), "log Z ≥ -3.00 ± 0.02"),
    ],
)
def test_a_value_is_written_with_the_digits_its_error_allows(evidence, text):
    assert str(evidence) == text


def test_the_interval_is_a_normal_one():
    low, high = Evidence(0.0, 1.0).interval()
    assert (low, high) == pytest.approx((-1.959964, 1.959964), abs=1e-6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Evidence(0.0, 1.0).interval(95)


def test_diagnostics_cannot_be_changed():
    evidence = Evidence(0.0, 1.0, {"iterations": 3})
    with pytest.raises(TypeError):
        evidence.diagnostics["iterations"] = 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((math.nan, 1.0), "NaN"), ((0.0, -1.0), "negative"), ((0.0, 1.0, {}, "x", "guess"), "kind must be one of")],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Evidence(*arguments)
