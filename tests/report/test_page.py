"""The page of a run: what is on it, that it needs nothing else, and that a run's own texts stay texts."""

import json
import math
import re
import shutil

import pytest
import torch
from safetensors.numpy import load_file

from jensen import recipes
from jensen.evaluation import BoundEstimate, Evaluation, LayerActivity
from jensen.recipes import running
from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.report import write_report, write_samples
from jensen.report.images import to_images
from jensen.report.sections import latent_units
from jensen.report.tables import bound_name, bounds_rows, evaluation_table

RECIPES = {
    "one layer": recipes.adapt(recipes.get("iwae-mnist"), smoke=True, data="digits", samples=2, images=23),
    "two layers": recipes.adapt(recipes.get("iwae2-mnist"), smoke=True, data="digits", samples=2),
    "grey": recipes.adapt(recipes.get("vae-mnist-grey"), smoke=True, data="digits"),
}
FIGURES = {
    "bounds",
    "interpolation",
    "latent-map",
    "latent-units",
    "learning-curve",
    "neighbours",
    "plane",
    "reconstructions",
    "samples",
    "traversals",
}
OUTSIDE = re.compile(
    r"""(?:src|href|srcset|action|data|poster)\s*=\s*["'](?!data:)|url\(|@import|<script|<link""", re.I
)


def trained(run, recipe):
    make_folder(run, config := Config(recipe, 0, (8, 8), device="cpu"))
    running.train(run, config, build(recipe), device="cpu", progress=False)
    running.measure(run, samples=12, device="cpu")
    return run


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("report") / "run", RECIPES["one layer"])


@pytest.fixture
def run(one_layer, tmp_path):
    return shutil.copytree(one_layer, tmp_path / "run")


@pytest.mark.parametrize("name", RECIPES)
def test_the_page_shows_everything_and_fetches_nothing(name, tmp_path):
    run = trained(tmp_path, RECIPES[name])
    page = write_report(run).read_text()
    titles = ("Held-out log-likelihood", "Samples", "Reconstructions", "Nearest training images", "Latent traversals")
    for title in (*titles, "A map of the test images", "Training", "Latent units", "Environment"):
        assert f"<h2>{title}</h2>" in page
    assert OUTSIDE.search(page) is None
    figures = FIGURES | ({"information"} if name != "two layers" else set())
    assert {path.stem for path in (run / "figures").iterdir()} == figures
    assert page.count("data:image/png;base64,") == 2 * len(figures)
    assert page.count("alt=") == len(figures)
    assert ("<h2>Information in the latents</h2>" in page) == (name != "two layers")


@pytest.mark.parametrize(
    "text", ['<img src="x.png">', "<a href='http://x'>", "a{background:url(x)}", "<SCRIPT>", "<link>"]
)
def test_something_from_outside_would_be_seen(text):
    assert OUTSIDE.search(text)


def test_the_numbers_on_the_page_are_those_of_the_evaluation(run):
    page = write_report(run).read_text()
    for cells in bounds_rows(running.load_evaluation(run)):
        row = "".join(f'<td class="number">{cell}</td>' if i else f"<td>{cell}</td>" for i, cell in enumerate(cells))
        assert row in page


def test_without_an_evaluation_the_page_says_what_to_do(run):
    (run / "evaluation.json").unlink()
    page = write_report(run).read_text()
    assert f"Not evaluated yet: `jensen evaluate {run}`" in page
    assert "<h2>Latent units</h2>" not in page


def test_a_layer_of_dependent_units_is_told_in_words(run):
    content = json.loads((run / "evaluation.json").read_text())
    layer = content["layers"][0]
    layer["kl"] = [12.5]
    (run / "evaluation.json").write_text(json.dumps(content))
    (section,) = latent_units(run, running.load_evaluation(run))
    assert f"of {len(layer['variance'])} units active, 12.500 nats" in section


def test_without_an_epoch_the_page_says_so(run):
    (run / "metrics.jsonl").unlink()
    assert "No epoch was finished yet." in write_report(run).read_text()


def test_texts_of_the_run_stay_texts(run):
    nasty = "<script>alert(1)</script>"
    content = json.loads((run / "config.json").read_text())
    content["recipe"]["name"] = content["recipe"]["title"] = content["recipe"]["differs"] = nasty
    content["recipe"]["differs"] = [nasty]
    (run / "config.json").write_text(json.dumps(content))
    (run / "environment.json").write_text(json.dumps({nasty: nasty, "packages": {nasty: nasty}}))
    page = write_report(run).read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_a_damaged_environment_is_named(run):
    (run / "environment.json").write_text("[1")
    with pytest.raises(ValueError, match=r"environment.json is damaged"):
        write_report(run)


def test_the_page_is_the_same_every_time_and_leaves_the_generator_alone(run):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = write_report(run).read_text()
    assert write_report(run).read_text() == first
    assert torch.equal(torch.get_rng_state(), before)
    assert write_report(run, seed=1).read_text() != first


def test_published_numbers_are_shown_for_the_data_they_are_on(run):
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["published"] == []
    assert "<h2>Published numbers</h2>" not in write_report(run).read_text()
    config["recipe"]["published"] = recipes.get("iwae-mnist").to_json()["published"]
    (run / "config.json").write_text(json.dumps(config))
    page = write_report(run).read_text()
    assert "<h2>Published numbers</h2>" in page
    assert "84.78" in page


def test_samples_are_the_models(run):
    picture, numbers = write_samples(run, n=6, seed=4)
    _, model = running.load_model(run)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        expected = model.sample(6)
    assert picture == run / "figures" / "draws.png"
    assert (load_file(numbers)["images"].reshape(6, 64) == expected.numpy()).all()


def test_no_sample_is_refused(run):
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        write_samples(run, n=0)


def test_flat_images_get_their_shape_back():
    flat = torch.arange(24.0).reshape(2, 12)
    assert to_images(flat, (3, 4))[1, 2, 3] == 23
    assert to_images(flat, (2, 2, 3)).shape == (2, 2, 2, 3)
    assert to_images(flat, (3, 4, 1)).shape == (2, 3, 4)


def test_the_table_in_a_terminal_has_the_same_cells():
    rows = (
        BoundEstimate("elbo", 1, -90.0, math.nan, 0.01),
        BoundEstimate("block_jackknife", 5000, -87.5, 0.5, 0.02, blocks=100),
    )
    layers = tuple(LayerActivity(variance=(0.5, 0.0, active), kl=(1.0, 0.0, 0.5)) for active in (0.0, 0.2))
    evaluation = Evaluation(rows=rows, layers=layers, data=1234, samples=5000)
    table = evaluation_table(evaluation)
    assert list(zip(*(column.cells for column in table.columns), strict=True)) == [
        ("ELBO", "1", "-90.000", "–", "0.0100"),
        ("jackknife, blocks", "5,000", "-87.500", "0.500", "0.0200"),
    ]
    assert table.title == "1,234 test images, 5,000 draws each"
    assert table.caption == "active units: 1 of 3 + 2 of 3"
    assert bound_name(rows[0]) == "ELBO"
