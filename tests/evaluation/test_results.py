import dataclasses
import json
import math

import pytest

from jensen.evaluation import BoundEstimate, Evaluation, LayerActivity


@pytest.fixture
def result():
    return Evaluation(
        rows=(
            BoundEstimate("elbo", 1, -90.5, 0.5, 0.01, "groups", 1500),
            BoundEstimate("iwae", 1500, -87.25, 0.4, 0.02, "delta", 1),
            BoundEstimate("block_jackknife", 1500, -87.0, 0.4, 0.02, "delta", 1, 100),
        ),
        layers=(LayerActivity((0.5, 1e-6), (2.0, 0.0)), LayerActivity((0.02,), (0.1,), 0.05)),
        data=100,
        samples=1500,
        seed=3,
        batch_size=20,
        chunk=50,
        ess_mean=120.5,
        ess_minimum=3.25,
        ess_low=2,
        seconds=1.5,
        notes=("2 of 100 data ...",),
    )


def test_there_and_back(result):
    assert Evaluation.from_json(result.to_json()) == result


def test_what_is_not_finite_survives(result):
    rows = (BoundEstimate("elbo", 1, -math.inf, math.nan, math.inf),)
    odd = dataclasses.replace(result, rows=rows)
    text = odd.to_json()
    back = Evaluation.from_json(text)
    assert back.rows[0].value == -math.inf
    assert math.isnan(back.rows[0].std_error)
    assert back.to_json() == text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not plain JSON"))


def test_signs(result):
    assert result.nll == 87.25
    assert result.gap == 3.25
    assert result.tightest.name == "iwae", "a jackknife is no bound"


def test_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.data = 3


def test_the_table_is_plain_and_ends_in_the_negative_log_likelihood(result):
    table = result.table()
    assert [row["name"] for row in table] == ["elbo", "iwae", "block_jackknife", "nll"]
    assert len({tuple(row) for row in table}) == 1
    assert table[-1]["value"] == 87.25
    assert table[-1]["mc_error"] == 0.02
    json.dumps(table)


def test_active_units(result):
    assert [(layer.active, layer.units) for layer in result.layers] == [(1, 2), (0, 1)]


def test_no_bound_is_no_evaluation():
    with pytest.raises(ValueError, match="at least one row named elbo or iwae"):
        Evaluation(rows=())


def edited(result, **entries):
    return json.dumps({**json.loads(result.to_json()), **entries})


def test_malformed_text(result):
    text = result.to_json()
    for wrong, message in [
        ("", "must be JSON; reading stopped at line 1"),
        (text[: len(text) // 2], "must be JSON; reading stopped at line"),
        ("[]", "must be an object with"),
        ('{"format": "else"}', "'else'"),
        (text.replace("-90.5", "NaN"), "plain JSON, got NaN"),
        (edited(result, data="100"), r"evaluation\.data must be of type int, got '100'"),
        (edited(result, data=1.5), r"evaluation\.data must be of type int, got 1\.5"),
        (edited(result, data=True), r"evaluation\.data must be of type int, got True"),
        (edited(result, ess_mean="many"), r"evaluation\.ess_mean must be of type float, got 'many'"),
        (edited(result, ess_mean=10**400), r"evaluation\.ess_mean is too large"),
        (edited(result, notes="one"), r"evaluation\.notes must be a list"),
        (edited(result, rows=[]), "at least one row"),
        (edited(result, rows=[3]), r"evaluation\.rows\[0\] must have exactly the entries"),
        (edited(result, rows=[{"name": "elbo"}]), r"evaluation\.rows\[0\] must have exactly the entries"),
        (edited(result, layers=[{"variance": [None], "kl": [0.0], "threshold": 0.1}]), r"layers\[0\]\.variance\[0\]"),
        (edited(result, other=1), "evaluation must have exactly the entries"),
    ]:
        with pytest.raises(ValueError, match=message):
            Evaluation.from_json(wrong)
