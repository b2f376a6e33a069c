"""Films of a model that draws: each frame is the canvas of its step, windows lie where they were."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from jensen import recipes
from jensen.layers.filterbanks import Window
from jensen.models import DRAW
from jensen.recipes import running
from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.report import write_report
from jensen.report.film import Box, animation, boxes, film_sections, outlined
from jensen.report.theme import DARK, LIGHT

T, SIZE = 3, 2


@pytest.fixture(scope="module")
def experiment():
    return build(recipes.adapt(recipes.get("draw-digits"), smoke=True))


@pytest.fixture
def config():
    return Config(recipes.adapt(recipes.get("draw-digits"), smoke=True), 0, (8, 8), device="cpu")


def model(**options):
    torch.manual_seed(0)
    return DRAW(shape=(8, 8), glimpses=T, hidden=8, latent=2, **options).eval()


def films(section):
    """The pictures of a section, on light ground and on dark in turn."""
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", section)
    return [Image.open(BytesIO(b64decode(text))) for text in found]


def frames(film):
    result = []
    for i in range(getattr(film, "n_frames", 1)):
        film.seek(i)
        result.append(np.asarray(film.convert("RGB")))
    return result


def colour(text):
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


def test_an_animation_gives_back_its_frames_and_their_times():
    shown = [np.random.default_rng(i).integers(0, 256, (6, 5, 3), dtype=np.uint8) for i in range(4)]
    film = Image.open(BytesIO(animation(shown, pace=120, pause=900)))
    assert film.n_frames == 4
    for i, (expected, found) in enumerate(zip(shown, frames(film), strict=True)):
        assert (found == expected).all()
        film.seek(i)
        assert film.info["duration"] == (900 if i == 3 else 120)
    assert Image.open(BytesIO(animation(shown[:1]))).n_frames == 1
    with pytest.raises(ValueError, match="there is no frame to show"):
        animation([])


def test_a_window_is_outlined_where_its_filters_are():
    numbers = torch.tensor([[5.5, 4.5], [4.5, 4.5], [2.0, 20.0], [0.0, 0.0], [0.0, 0.0]])
    (left, top, right, bottom, deviation), whole = boxes(Window(*numbers), size=2)
    assert (left, top, right, bottom, deviation) == (3, 2, 7, 6, 1)
    tiles = np.zeros((2, 80, 80, 3), dtype=np.uint8)
    shown = outlined(tiles, [Box(left, top, right, bottom, deviation), whole], zoom=10, colour="#ff0000")
    assert (tiles == 0).all(), "the tiles that were given stay as they were"
    rows, columns = np.nonzero(shown[0, :, :, 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 59, 30, 69)
    assert (shown[0, 25:55, 35:65] == 0).all(), "five pixels heavy, half a standard deviation"
    assert (shown[0, 20:25, 30:70] == [255, 0, 0]).all()
    rows, columns = np.nonzero(shown[1, :, :, 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 79, 0, 79), "cut at the edge"


def test_a_window_outside_leaves_the_image_alone():
    tiles = np.full((1, 40, 40, 3), 7, dtype=np.uint8)
    for box in (Box(-9, -9, -5, -5, 1), Box(50, 2, 60, 6, 1), Box(2, 2, 2, 2, 3)):
        assert (outlined(tiles, [box], zoom=5, colour="#ff0000") == 7).all()


def test_frames_are_the_canvases(config, experiment, tmp_path):
    drawing = model()
    draws, again = film_sections(tmp_path, config, drawing, experiment=experiment, seed=5)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        canvases = drawing.imagine(40).canvases.reshape(T, 40, 8, 8).numpy()
    dark, light, *_ = films(draws)
    for film, theme in ((light, LIGHT), (dark, DARK)):
        assert film.n_frames == T
        for t, frame in enumerate(frames(film)):
            level = np.rint(255 * (1 - canvases[t] if theme is LIGHT else canvases[t]))
            assert frame[0, 0].tolist() == colour(theme.rule)
            zoom = 10
            gap = max(2, 8 * zoom // 16)
            for i in (0, 9, 10, 39):
                top, left = gap + (i // 10) * (80 + gap), gap + (i % 10) * (80 + gap)
                assert (frame[top : top + 80, left : left + 80, 0] == level[i].repeat(zoom, 0).repeat(zoom, 1)).all()
    assert len(films(again)) == 4, "a film and a strip, each on two grounds"


def test_windows_and_patches_are_shown_with_attention(config, experiment, tmp_path):
    draws, again = film_sections(tmp_path, config, model(read=3, write=SIZE), experiment=experiment, seed=0)
    for section, theme in ((draws, LIGHT), (again, LIGHT)):
        light = frames(films(section)[1])
        assert any((frame == colour(theme.second)).all(-1).any() for frame in light)
        assert "window" in section
    assert "what it reads" in again
    plain = "".join(film_sections(tmp_path, config, model(), experiment=experiment, seed=0))
    assert "window" not in plain
    assert "what it reads" not in plain


def test_what_is_read_is_shown_between_the_images_and_the_canvases(config, experiment, tmp_path):
    drawing = model(read=SIZE)
    with torch.no_grad():
        drawing.reader.window.bias += torch.tensor([0.3, -0.2, -2.0, -1.0, 1.5])  # a part of the image, more intensely
    _, again = film_sections(tmp_path, config, drawing, experiment=experiment, seed=5)
    seen = experiment.test[:: len(experiment.test) // 10][:10]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        drawing.imagine(40)
        redrawn = drawing.redraw(seen)
    intensity = torch.stack([where.log_intensity for where in redrawn.looked]).exp()
    patches = (redrawn.patches.squeeze(-1) / intensity[..., None, None]).numpy()
    zoom, gap, pixel = 10, 5, 8 // SIZE
    for t, frame in enumerate(frames(films(again)[0])):  # on dark ground, where ink is light
        for n, (image, patch, canvas) in enumerate(zip(seen, patches[t], redrawn.canvases[t], strict=True)):
            rows = (image.reshape(8, 8), patch.repeat(pixel, 0).repeat(pixel, 1), canvas.reshape(8, 8))
            for row, shown in enumerate(rows):
                top, left = gap + row * (80 + gap), gap + n * (80 + gap)
                middle = frame[top + 5 : top + 80 : zoom, left + 5 : left + 80 : zoom].astype(float)
                grey = np.ptp(middle, axis=-1) == 0  # where no window's outline is
                assert grey.mean() > 0.5
                expected = np.rint(255 * np.asarray(shown).clip(0, 1))
                assert np.abs(middle[..., 0] - expected)[grey].max() <= 1


def test_no_more_steps_are_shown_than_the_page_says(config, experiment, tmp_path):
    torch.manual_seed(0)
    patient = DRAW(shape=(8, 8), glimpses=40, hidden=4, latent=1)
    draws, _ = film_sections(tmp_path, config, patient, experiment=experiment, seed=0)
    assert films(draws)[0].n_frames == 16
    assert "after 16 of 40 steps" in draws
    draws, _ = film_sections(tmp_path, config, model(), experiment=experiment, seed=0)
    assert f"after each of {T} steps" in draws


@pytest.mark.parametrize("shape", [(5, 9), (9, 5, 3), (6, 5, 2)])
@pytest.mark.parametrize("glimpses", [2, 20])
def test_any_size_is_shown_in_pictures_as_large_as_a_page(config, tmp_path, shape, glimpses):
    torch.manual_seed(0)
    drawing = DRAW(shape=shape, glimpses=glimpses, hidden=4, latent=1, read=3, write=2)
    experiment = SimpleNamespace(test=torch.rand(7, np.prod(shape)).round())
    sections = film_sections(tmp_path, replace(config, shape=shape), drawing, experiment=experiment, seed=0)
    for film in films("".join(sections)):
        assert max(film.size) < 3000
        assert film.size[0] < 1000


def test_films_are_kept_and_fetch_nothing(config, experiment, tmp_path):
    page = "".join(film_sections(tmp_path, config, model(read=2), experiment=experiment, seed=0))
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"film-{name}{form}.png" for name in ("draws", "again") for form in ("", "-strip")}
    assert not re.search(r"(src|srcset|href)\s*=\s*\"(?!data:)", page)


def test_a_single_step_needs_no_strip(config, experiment, tmp_path):
    torch.manual_seed(0)
    single = DRAW(shape=(8, 8), glimpses=1, hidden=8, latent=2)
    draws, _ = film_sections(tmp_path, config, single, experiment=experiment, seed=0)
    assert len(films(draws)) == 2


def test_models_that_do_not_draw_have_no_film(config, experiment, tmp_path):
    assert list(film_sections(tmp_path, config, torch.nn.Linear(2, 2), experiment=experiment, seed=0)) == []


@pytest.mark.parametrize("glimpses", [3, 5])
def test_the_page_of_a_run_shows_them_and_what_each_step_tells(config, experiment, tmp_path, glimpses):
    recipe = replace(config.recipe, model=replace(config.recipe.model, glimpses=glimpses, hidden=8))
    run, config = tmp_path / "run", replace(config, recipe=recipe)
    make_folder(run, config)
    running.train(run, config, build(recipe), device="cpu", progress=False)
    running.measure(run, samples=3, limit=20, device="cpu")
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count("How images come to be") == page.count("How images are drawn again") == 1
    assert ("What each step tells" in page) == (glimpses == 5), "many layers are steps, one bar each"
    assert not re.search(r"(src|srcset|href)\s*=\s*\"(?!data:)", page)
