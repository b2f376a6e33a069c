"""What the sections of latents show is what the model gives, and only where it gives it."""

import numpy as np
import pytest
import torch
from torch import nn

from jensen import recipes
from jensen.evaluation import LatentInformation
from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.report import latent_sections as sections
from jensen.report.latent_pictures import class_map, information_bars, labelled_rows
from jensen.report.latents import code_of
from jensen.report.neighbours import nearest
from jensen.report.theme import DARK, LIGHT

RECIPE = recipes.adapt(recipes.get("vae-digits"), smoke=True)
CONFIG = Config(RECIPE, 0, (8, 8))
TITLES = ("Latent traversals", "A plane of codes", "Between test images", "A map of the test images")


@pytest.fixture(scope="module")
def experiment():
    return build(RECIPE)


@pytest.fixture
def shown(monkeypatch):
    """The figures by their name, drawn in the light theme, and their captions."""
    figures = {}

    def keep(run, name, draw, *, alt, caption, narrow=True):
        figures[name] = draw(LIGHT), caption
        draw(DARK)
        return f"<{name}>{alt}"

    monkeypatch.setattr(sections, "figure", keep)
    return figures


def latent(experiment, model, run):
    return "".join(sections.latent_sections(run, CONFIG, model, experiment=experiment))


def collapse(model, *, but=0):
    """Let all units but the first few know nothing."""
    last = model.encoder.network[-1]
    size = len(last.bias) // 2
    with torch.no_grad():
        last.weight[but:size], last.bias[but:size] = 0, 0
    return model


def test_a_gaussian_code_gets_every_section(experiment, shown, tmp_path):
    page = latent(experiment, experiment.model, tmp_path)
    assert [title for title in TITLES if f"<h2>{title}</h2>" in page] == list(TITLES)
    assert set(shown) == {"traversals", "plane", "interpolation", "latent-map"}
    names = [text.get_text() for text in shown["traversals"][0].texts]
    code = code_of(experiment.model, experiment.test[:1])
    variance = code.encode(experiment.test).double().var(0, correction=0)
    first, second = variance.argsort(descending=True)[:2].tolist()
    assert names[0] == f"unit {first}\n{variance[first]:.2f}"
    assert f"unit {first} to the right and unit {second} upwards" in shown["plane"][1]
    assert "first two principal components" in shown["latent-map"][1]
    assert "each the digit of its class" in shown["latent-map"][1]


def test_a_collapsed_posterior_is_said_so(experiment, shown, tmp_path):
    page = latent(experiment, collapse(build(RECIPE).model), tmp_path)
    assert "No unit is active: the posterior has collapsed to the prior" in page
    assert not shown


def test_two_active_units_are_the_map(experiment, shown, tmp_path):
    latent(experiment, collapse(build(RECIPE).model, but=2), tmp_path)
    figure, caption = shown["latent-map"]
    assert "the two most active units; no other is active" in caption
    assert {figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()} == {"unit 0", "unit 1"}
    assert len(shown["traversals"][0].texts) == 2


def test_one_active_unit_has_no_plane(experiment, shown, tmp_path):
    latent(experiment, collapse(build(RECIPE).model, but=1), tmp_path)
    assert set(shown) == {"traversals", "interpolation", "latent-map"}


def test_models_without_a_code_get_no_section(experiment, shown, tmp_path):
    discrete = recipes.adapt(recipes.get("discrete-vae-digits"), smoke=True)
    assert latent(experiment, build(discrete).model, tmp_path) == ""
    assert latent(experiment, nn.Linear(64, 64), tmp_path) == ""
    neighbours = sections.neighbour_sections(tmp_path, CONFIG, nn.Linear(1, 1), experiment=experiment, seed=0)
    assert list(neighbours) == []
    assert list(sections.information_section(tmp_path, None)) == []


class Memory(nn.Module):
    """Draws its training images, and rebuilds test images as they are."""

    def __init__(self, images):
        super().__init__()
        self.images, self.weight = images, nn.Parameter(torch.zeros(()))

    def sample(self, n):
        return self.images[torch.randint(len(self.images), (n,))]

    def reconstruct(self, x):
        return x


def test_a_model_that_draws_its_training_images_is_seen(experiment, shown, tmp_path):
    model = Memory(experiment.images.train)
    (page,) = sections.neighbour_sections(tmp_path, CONFIG, model, experiment=experiment, seed=0)
    assert '<td>draws</td><td class="number">0.00</td><td class="number">0.00</td>' in page
    away = nearest(experiment.originals, experiment.images.train).distance.median()
    assert f'<td>test images</td><td class="number">{_quantile(experiment):.2f}</td>' in page
    assert f'<td class="number">{away:.2f}</td></tr>' in page
    control = Memory(experiment.images.test)
    (page,) = sections.neighbour_sections(tmp_path, CONFIG, control, experiment=experiment, seed=0)
    assert '<td>draws</td><td class="number">0.00</td>' not in page


def _quantile(experiment):
    return float(nearest(experiment.originals, experiment.images.train).distance.quantile(0.05))


def test_information_is_told_with_its_ceiling(shown, tmp_path):
    found = LatentInformation(4.0, 0.5, 4.25, 0.1, (3.0, 1.0, 0.0), (0.25, 0.0, -0.01), data=1000, samples=2)
    (page,) = sections.information_section(tmp_path, found)
    assert "4.50 = 4.00 + 0.50 nats" in page
    assert "worth 6.91 nats and no more" in page
    assert "between 4.00 and 4.25 nats" in page
    heights = [patch.get_height() for patch in shown["information"][0].axes[0].patches]
    assert heights == [3.0, 1.0, 0.0, 0.25, 0.0, 0.0]
    shown.clear()
    (page,) = sections.information_section(tmp_path, LatentInformation(4.0, 0.5, data=10))
    assert not shown


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_rows_of_images_stand_beside_their_names(theme):
    images = np.random.default_rng(0).random((3, 4, 8, 8)).astype(np.float32)
    figure = labelled_rows(images, ["a", "b", "c"], theme=theme)
    heights = [text.get_position()[1] for text in figure.texts]
    assert heights == pytest.approx([5 / 6, 1 / 2, 1 / 6])
    assert labelled_rows(np.zeros((2, 3, 4, 4, 3), dtype=np.float32), ["a", "b"]).texts


def test_a_map_has_one_colour_for_each_class():
    points = np.arange(12.0).reshape(6, 2)
    axes = class_map(points, np.array([0, 0, 3, 3, 9, 9]), axes_names=("a", "b")).axes[0]
    assert [collection.get_offsets().tolist() for collection in axes.collections] == [
        points[i : i + 2].tolist() for i in (0, 2, 4)
    ]
    assert len({tuple(collection.get_facecolor()[0]) for collection in axes.collections}) == 3
    assert len(class_map(points, None, axes_names=("a", "b")).axes[0].collections) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: labelled_rows(np.zeros((2, 3, 4, 4), dtype=np.float32), ["a"]), "1 names do not fit"),
        (lambda: labelled_rows(np.zeros((2, 3, 4), dtype=np.float32), ["a", "b"]), "do not fit"),
        (lambda: class_map(np.zeros((3, 3)), None, axes_names=("a", "b")), "make no map"),
        (lambda: class_map(np.zeros((3, 2)), np.zeros(2, dtype=int), axes_names=("a", "b")), "make no map"),
        (lambda: class_map(np.zeros((1, 2)), np.array([10]), axes_names=("a", "b")), "colours for 10 classes, got"),
        (lambda: information_bars([], []), "do not match"),
        (lambda: information_bars([1.0], []), "1 and 0 units do not match"),
    ],
)
def test_what_makes_no_picture_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
