"""The rate-distortion picture."""

import pytest
from matplotlib.colors import to_hex

from jensen.recipes import studies
from jensen.recipes.results import Part, Row, StudyConfig, rows
from jensen.report.rate_distortion import Point, points, rate_against_distortion
from jensen.report.studies import write_study
from jensen.report.theme import DARK, LIGHT

VALUES = {
    "Gaussian, distortion 2.56: rate": (9.0,),
    "Gaussian, distortion 1: rate": (20.0,),
    "KL warm-up, 64-8: rate": (2.0, 4.0),
    "KL warm-up, 64-8: distortion": (3.0, 3.0),
    "beta-VAE, 64-8, beta = 0.4: rate": (5.0,),
    "beta-VAE, 64-8, beta = 0.4: distortion": (2.0,),
    "beta-VAE, 64-8, beta = 0.8: rate": (3.5,),
    "beta-VAE, 64-8, beta = 0.8: distortion": (2.8,),
    "GECO, 100-50-16, kappa = 1.6: rate": (4.0,),
    "GECO, 100-50-16, kappa = 1.6: distortion": (2.55,),
    "GECO, 100-50-16, kappa = 1.6: violation": (0.001,),
    "GECO, 100-50-16, kappa = 1.6: lambda": (2.0,),
    "at 1/lambda, 100-50-16, kappa = 1.6: rate": (3.9,),
    "at 1/lambda, 100-50-16, kappa = 1.6: distortion": (2.6,),
}
STUDY = studies.get("rate-distortion")
RESULTS = {"all": Part(1.0, VALUES)}


def test_points_are_read_from_the_table():
    assert points(rows(STUDY, RESULTS)) == [
        Point("Gaussian", "", 2.56, 9.0),
        Point("Gaussian", "", 1.0, 20.0),
        Point("KL warm-up", "64-8", 3.0, 3.0),
        Point("beta-VAE", "64-8", 2.0, 5.0),
        Point("beta-VAE", "64-8", 2.8, 3.5),
        Point("GECO", "100-50-16", 2.55, 4.0),
        Point("at 1/lambda", "100-50-16", 2.6, 3.9),
    ]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_point_is_drawn_in_its_architectures_colour(theme):
    axes = rate_against_distortion(rows(STUDY, RESULTS), theme=theme).axes[0]
    drawn = {tuple(zip(*map(list, line.get_data()), strict=True)): line for line in axes.lines}
    assert to_hex(drawn[(2.55, 4.0),].get_color()) == theme.second
    assert drawn[(2.6, 3.9),].get_markerfacecolor() == "none"
    assert to_hex(drawn[(2.0, 5.0), (2.8, 3.5)].get_color()) == theme.first
    assert drawn[(1.0, 20.0), (2.56, 9.0)].get_linestyle() == "--"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["64-8", "100-50-16"]


def test_a_study_that_has_only_begun_is_drawn_too():
    assert points([Row("GECO, 64-8, kappa = 1: rate", 1.0, 0.1, 1, ())]) == []
    assert rate_against_distortion([]).axes[0].get_legend() is None


def test_the_page_shows_it(tmp_path):
    config = StudyConfig(STUDY.name, 0, STUDY.settings)
    table, page = write_study(STUDY, config, RESULTS, folder=tmp_path, parts=33)
    assert "Rings: beta-VAEs trained anew" in page.read_text()
    assert "| GECO, 100-50-16, kappa = 1.6: violation | 0.001 |" in table.read_text()
