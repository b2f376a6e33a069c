"""The page of a network: what is on it, that it needs nothing else, and that it comes before an evaluation, too."""

import json
import math
import re

import numpy as np
import pytest

from jensen import recipes
from jensen.recipes import networks
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.recipes.network_build import build
from jensen.recipes.network_results import Curve, LayerRow, NetworkEvaluation, Quantity
from jensen.report import evaluation_tables, network_pictures, write_report
from jensen.report.network_tables import layer_rows, network_tables, quantity_rows
from jensen.report.theme import DARK, LIGHT
from jensen.report.words import config_entries, recipe_entries

OUTSIDE = re.compile(r"""(?:src|href)\s*=\s*["'](?!data:)|url\(|@import|<script|<link""", re.I)
EVERYWHERE = {"learning-curve"}
MASKS = {"mask-fc1", "mask-fc2"}
FIGURES = {
    "bbb-digits": {"reliability", "selective-risk", "doubtful", "signal-to-noise", "pruning"},
    "bbb-diabetes": {"predictions", "intervals", "signal-to-noise"},
    "sparse-vd-digits": {
        "reliability",
        "selective-risk",
        "doubtful",
        "dropout-rates",
        "inputs",
        "mask-fc1",
        "mask-fc2",
    },
    "laplace-digits": {"reliability", "selective-risk", "doubtful"},
}


def trained(run, name):
    recipe = recipes.adapt(recipes.get(name), smoke=True, options=(("hidden", 12),))
    experiment = build(recipe)
    make_folder(run, config := Config(recipe, 0, experiment.shape, device="cpu"))
    networks.train(run, config, experiment, device="cpu", progress=False)
    return run


@pytest.mark.parametrize("name", FIGURES)
def test_the_page_shows_everything_and_fetches_nothing(name, tmp_path):
    run = trained(tmp_path, name)
    found = networks.measure(run, device="cpu")
    page = write_report(run).read_text()
    assert OUTSIDE.search(page) is None
    assert {path.stem for path in (run / "figures").iterdir()} == FIGURES[name] | EVERYWHERE
    assert page.count("data:image/png;base64,") == 2 * len(FIGURES[name] | EVERYWHERE)
    for row in quantity_rows(found.quantities):
        assert f"<td>{row[0]}</td>" in page
    for title in ("On the test data", "Training", "Configuration", "Environment"):
        assert f"<h2>{title}</h2>" in page
    assert ("What is left" in page) == (name == "sparse-vd-digits")


def test_the_page_comes_before_an_evaluation_too_and_is_the_same_every_time(tmp_path):
    run = trained(tmp_path, "bbb-diabetes")
    page = write_report(run).read_text()
    assert f"Not evaluated yet: `jensen evaluate {run}`" in page
    assert write_report(run).read_text() == page


def test_published_numbers_stand_beside_this_run(tmp_path):
    run = trained(tmp_path, "sparse-vd-digits")
    published = recipes.get("sparse-vd-mnist").to_json()["published"]
    content = json.loads((run / "config.json").read_text())
    content["recipe"]["published"] = published
    (run / "config.json").write_text(json.dumps(content))
    error = networks.measure(run, device="cpu")["error, shrunk"].value
    page = write_report(run).read_text()
    assert "<td>error, shrunk</td><td>1.92</td>" in page
    assert f"<td>{error:.4g}</td>" in page


def test_the_table_has_draws_beside_means():
    rows = quantity_rows(
        [
            Quantity("error", 2.0, 0.14, "%"),
            Quantity("error, at the means", 2.1, 0.15, "%"),
            Quantity("KL of the weights", 1234.5678, math.nan, "nats"),
            Quantity("file before", 1_068_000.0, math.nan, "bytes"),
            Quantity("masked and shrunk differ by", 2.4e-7, math.nan, ""),
        ]
    )
    assert rows == [
        ("error", "2.00", "0.14", "2.10", "0.15", "%"),
        ("KL of the weights", "1234.5678", "", "", "", "nats"),
        ("file before", "1,068,000", "", "", "", "bytes"),
        ("masked and shrunk differ by", "2.4e-07", "", "", "", ""),
    ]


def test_a_layer_that_is_not_cut_says_so():
    (row,) = layer_rows([LayerRow("fc1", (3, 4), 12, 4, 3, 32, math.inf)])
    assert row == ("fc1", "12", "12", "0.0 %", "4", "3", "32", "–")


def test_tables_follow_the_kind_of_evaluation():
    found = NetworkEvaluation(
        "classification",
        10,
        5,
        0,
        (Quantity("error", 2.0, 0.14, "%"),),
        layers=(LayerRow("fc1", (3, 4), 12, 4, 3, 32, 3.0),),
        outside="noise",
    )
    assert [table.row_count for table in evaluation_tables(found)] == [1, 1]
    assert network_tables(found)[0].caption == "out of distribution: noise"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_pictures_take_both_grounds(theme):
    x = (0.5, 0.7, 0.9)
    curve = Curve("c", x, (0.4, 0.75, 0.9), (0.1, 0.1, 0.05))
    figures = [
        network_pictures.reliability([("draws", curve), ("means", curve)], theme=theme),
        network_pictures.selective_risk([("draws", curve)], theme=theme),
        network_pictures.signal_to_noise(curve, curve, theme=theme),
        network_pictures.pruning(curve, theme=theme),
        network_pictures.dropout_rates([("fc1", curve, math.inf), ("fc2", curve, 0.6)], theme=theme),
        network_pictures.predictions(curve, theme=theme),
        network_pictures.intervals([("draws", curve)], theme=theme),
    ]
    assert {figure.get_facecolor() for figure in figures} == {figures[0].get_facecolor()}
    with pytest.raises(ValueError, match="there is no layer to show"):
        network_pictures.dropout_rates([])
    assert network_pictures.tint(np.zeros((1, 2), dtype=np.float32)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    "name", [name for name in recipes.names() if isinstance(recipes.get(name), recipes.NetworkRecipe)]
)
def test_every_recipe_is_put_in_words(name):
    recipe = recipes.get(name)
    entries = dict(recipe_entries(recipe))
    assert recipe.data.name in entries["data"]
    assert ("objective" in entries) == recipe.weights.random
    assert dict(config_entries(Config(recipe, 0, (8, 8))))["recipe"] == name
