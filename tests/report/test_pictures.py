"""Figures show the numbers that they are given, exactly, and leave matplotlib as it was."""

import subprocess
import sys
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from jensen.report.pictures import Series, bars, bound_by_samples, image_grid, learning_curve, png, save
from jensen.report.theme import DARK, LIGHT, THEMES

CURVE = [Series("training", range(1, 41), np.linspace(-30, -20, 40)), Series("validation", [10, 40], [-25, -22])]


def pixels(figure):
    return np.rint(imread(BytesIO(png(figure)))[..., :3] * 255).astype(int)


def colour(text):
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("ink", [True, False])
def test_every_pixel_of_a_grid_is_a_square_of_its_grey_level(theme, ink):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4)) / 255
    shown = pixels(image_grid(images.astype(np.float32), columns=2, zoom=6, ink=ink, theme=theme))
    gap = 2
    assert shown.shape == (3 * (18 + gap) + gap, 2 * (24 + gap) + gap, 3)
    for i, image in enumerate(images):
        top, left = gap + (i // 2) * (18 + gap), gap + (i % 2) * (24 + gap)
        tile = shown[top : top + 18, left : left + 24]
        level = 1 - image if ink and theme is LIGHT else image
        assert (tile == np.rint(level * 255).repeat(6, 0).repeat(6, 1)[..., None]).all()
    assert (shown[0] == colour(theme.rule)).all()
    assert (shown[-19:-2, -25:-2] == colour(theme.rule)).all(), "the place of the missing sixth image"


def test_colour_images_keep_their_colours():
    image = np.zeros((1, 2, 2, 3), dtype=np.float32)
    image[0, 0, 1] = [1.0, 0.5, 0.0]
    shown = pixels(image_grid(image, columns=1, zoom=3))
    assert shown[2 + 1, 2 + 4].tolist() == [255, 128, 0]
    assert shown[2 + 4, 2 + 1].tolist() == [0, 0, 0]


def test_bands_stand_apart():
    images = np.zeros((4, 4, 4), dtype=np.float32)
    apart = pixels(image_grid(images, columns=1, zoom=1, rows_in_band=2))
    together = pixels(image_grid(images, columns=1, zoom=1))
    assert apart.shape[0] == together.shape[0] + 2 * 2


def test_values_outside_are_clipped():
    shown = pixels(image_grid(np.array([[[-3.0, 7.0]]], dtype=np.float32), columns=1, zoom=2))
    assert shown[2, 2].tolist() == [0, 0, 0]
    assert shown[2, 4].tolist() == [255, 255, 255]


@pytest.mark.parametrize("shape", [(0, 8, 8), (8, 8), (2, 3, 4, 5, 6)])
def test_what_is_no_stack_of_images_is_refused(shape):
    with pytest.raises(ValueError, match="cannot show images"):
        image_grid(np.zeros(shape, dtype=np.float32), columns=2)


def test_no_column_is_refused():
    with pytest.raises(ValueError, match="a grid of 0 columns"):
        image_grid(np.zeros((1, 2, 2), dtype=np.float32), columns=0)


def test_a_curve_holds_its_series():
    (axes,) = learning_curve(CURVE).axes
    drawn = [line.get_xydata() for line in axes.lines]
    assert len(drawn) == 2
    for line, data in zip(CURVE, drawn, strict=True):
        assert np.array_equal(data, np.column_stack([line.x, line.y]))
    assert [text.get_text() for text in axes.texts] == ["training", "validation"][:: 1 if CURVE[0].y[-1] < -22 else -1]


def test_a_steep_beginning_does_not_flatten_the_rest():
    (axes,) = learning_curve(
        [Series("training", range(1, 101), [-500.0] * 3 + [-20.0 - 1 / n for n in range(97, 0, -1)])]
    ).axes
    low, high = axes.get_ylim()
    assert -23 < low < -20.99
    assert -20.1 < high < -19


def test_names_at_the_ends_do_not_touch():
    (axes,) = learning_curve([Series("a", [1, 2], [-30, -20.0]), Series("b", [1, 2], [-30, -20.001])]).axes
    heights = sorted(text.xy[1] for text in axes.texts)
    low, high = axes.get_ylim()
    assert heights[1] - heights[0] > 0.05 * (high - low)


def test_the_bound_by_samples_marks_every_k():
    figure = bound_by_samples([Series("bound", [1, 5, 5000], [-3, -2, -1], [0.1, 0.1, 0.1])])
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["1", "5", "5,000"]


@pytest.mark.parametrize("draw", [learning_curve, bound_by_samples])
@pytest.mark.parametrize("series", [[], [Series("a", [], [])]])
def test_nothing_to_show_is_refused(draw, series):
    with pytest.raises(ValueError, match="there is no"):
        draw(series)


def test_inactive_units_are_pale_and_units_sorted():
    (axes,) = bars([[0.1, 3.0, 2.0]], [[False, True, True]]).axes
    assert [patch.get_height() for patch in axes.patches] == [3.0, 2.0, 0.1]
    faces = [mpl.colors.to_hex(patch.get_facecolor()) for patch in axes.patches]
    assert faces == [LIGHT.first, LIGHT.first, LIGHT.faint]
    assert axes.get_title(loc="left") == "2 of 3 units active"


def test_flags_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="do not match"):
        bars([[0.1, 3.0]], [[True]])


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_can_be_read_on_its_ground(theme):
    def luminance(text):
        channels = [c / 255 for c in colour(text)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    def contrast(text):
        light, dark = sorted((luminance(text), luminance(theme.paper)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    assert contrast(theme.ink) > 7
    assert contrast(theme.muted) > 4.5
    assert min(contrast(theme.first), contrast(theme.second)) > 3
    assert contrast(theme.rule) < 2  # the control: a grid line must not shout


def test_a_figure_is_written_with_its_folder(tmp_path):
    path = save(learning_curve(CURVE, theme=DARK), tmp_path / "a" / "b.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_the_same_figure_gives_the_same_bytes():
    assert png(learning_curve(CURVE)) == png(learning_curve(CURVE))


def test_matplotlib_is_left_as_it_was():
    before = dict(mpl.rcParams)
    for theme in THEMES:
        png(learning_curve(CURVE, theme=theme))
        png(bars([[1.0]], [[True]], theme=theme))
        png(image_grid(np.zeros((1, 2, 2), dtype=np.float32), columns=1, theme=theme))
    assert dict(mpl.rcParams) == before
    code = "import sys, jensen.report.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
