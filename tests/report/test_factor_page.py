from dataclasses import replace

import pytest

from jensen import recipes
from jensen.recipes import factors
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.report import write_report
from jensen.report.loss_pictures import loss_curves
from jensen.report.tables import evaluation_tables
from jensen.training import read_records


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factors") / "run"
    recipe = recipes.adapt(recipes.get("factors-digits"), smoke=True, options=(("hidden", "12"),))
    experiment = factors.build(recipe)
    config = Config(recipe, seed=0, shape=experiment.shape, device="cpu")
    make_folder(folder, config)
    factors.train(folder, config, experiment, device="cpu", progress=False)
    return folder


def test_a_page_before_and_after_the_evaluation(run):
    page = write_report(run).read_text()
    assert "Not evaluated yet" in page
    for figure in ("swaps", "ways", "draws", "losses"):
        assert (run / "figures" / f"{figure}.png").read_bytes()[1:4] == b"PNG"
    found = factors.measure(run, device="cpu")
    page = write_report(run).read_text()
    assert "Not evaluated yet" not in page
    assert "A perceptron misreads the label from s in" in page
    for quantity in found.quantities:
        assert f"<td>{quantity.what}</td>" in page
    assert "http" not in page.replace(recipes.get("factors-digits").paper.url, "")
    (table,) = evaluation_tables(found)
    assert table.row_count == len(found.quantities)


def test_the_curve_of_the_discriminator_has_the_line_where_it_knows_nothing(run):
    records = read_records(run)
    panels = loss_curves(records, real=1.0).axes
    shown = {axes.get_title(loc="left"): axes for axes in panels if axes.get_visible()}
    assert set(shown) == set(records[-1].monitor)
    height = shown["discriminator"].lines[1].get_ydata()[0]
    assert height == pytest.approx(2 * 0.6931471805599453)
    with pytest.raises(ValueError, match="no loss to show"):
        loss_curves([], real=1.0)
    with pytest.raises(ValueError, match="no loss to show"):
        loss_curves([replace(records[0], monitor={})], real=1.0)
