"""Films of a model that draws in steps: every canvas, where it looked and where it wrote; animated, and as strips."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jensen.recipes.build import Experiment
from jensen.recipes.config import Config
from jensen.recipes.recipe import Recipe
from jensen.report import html
from jensen.report.images import _ink, _seeded, to_images
from jensen.report.pictures import _mosaic, _squares
from jensen.report.theme import DARK, LIGHT, Theme

__all__ = ["Box", "animation", "boxes", "film_sections", "outlined"]

Tiles = NDArray[np.uint8]

DRAWN, COLUMNS = 40, 10
"""Images in the film of draws, and how many stand side by side."""

FRAMES, STRIPS = 16, 5
"""The most steps that are shown, and images in a strip."""

WIDTH = 800
"""Pixels from side to side, about."""

PACE, PAUSE = 200, 2000
"""Milliseconds that a frame stays, and the last one."""

ABOUT_DRAWS = "Draws from the model, from the first canvas to the last: the mean of each pixel after {steps}."
ABOUT_AGAIN = (
    "Test images, drawn again from one posterior draw each: above as the model sees them, {seen}below the canvas."
)
ABOUT_SEEN = "then what it reads of them, "
ABOUT_WINDOWS = " A frame is the window of a step: as wide as its grid of filters, heavier where they are wider."
ABOUT_STRIP = "The first of them, from left to right."


class Row(NamedTuple):
    """A row of a film: images of every step, `(T, N, height, width)` or with three channels, and windows on them."""

    images: NDArray[np.float32]
    windows: Sequence[Sequence["Box"]] | None = None

    def tiles(self, t: int, n: slice, *, zoom: int, ink: bool, theme: Theme) -> Tiles:
        """Images of one step, outlined where there is a window, `(N, height, width, 3)`."""
        tiles = _squares(self.images[t, n], zoom, ink, theme)
        return tiles if self.windows is None else outlined(tiles, self.windows[t][n], zoom=zoom, colour=theme.second)


class Box(NamedTuple):
    """The outline of a window in pixels from the upper left corner of an image, and how wide its filters are."""

    left: float
    top: float
    right: float
    bottom: float
    deviation: float


def boxes(window: Any, *, size: int) -> list[Box]:
    r"""The outlines of windows of `size` filters a side, each filter as wide as the stride.

    Args:
        window: a `layers.filterbanks.Window` of N images.
        size: filters from side to side.

    Example:
        >>> from jensen.layers.filterbanks import Window
        >>> middle = Window(*torch.tensor([[14.5], [14.5], [1.0], [0.0], [0.0]]))
        >>> boxes(middle, size=12)
        [Box(left=8.0, top=8.0, right=20.0, bottom=20.0, deviation=1.0)]
    """
    half = size / 2 * window.stride
    x, y, deviation = window.centre_x - 0.5, window.centre_y - 0.5, (0.5 * window.log_variance).exp()
    sides = (x - half, y - half, x + half, y + half, deviation)
    return [Box(*numbers) for numbers in zip(*(side.detach().tolist() for side in sides), strict=True)]


def outlined(tiles: Tiles, around: Sequence[Box], *, zoom: int, colour: str) -> Tiles:
    """Tiles with a window's outline on each; where it reaches beyond, it runs along the edge.

    Args:
        tiles: `(N, height, width, 3)`, every pixel a square of `zoom` pixels.
        around: one outline for each.
        zoom: the side of a pixel's square.
        colour: of the outline, such as `#cf5f2a`.

    Example:
        >>> black = np.zeros((1, 8, 8, 3), dtype=np.uint8)
        >>> outlined(black, [Box(1, 1, 3, 3, 0.1)], zoom=2, colour="#ffffff")[0, :, :, 0] // 255
        array([[0, 0, 0, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 0, 0, 0, 0],
               [0, 0, 1, 1, 1, 1, 0, 0],
               [0, 0, 1, 0, 0, 1, 0, 0],
               [0, 0, 1, 0, 0, 1, 0, 0],
               [0, 0, 1, 1, 1, 1, 0, 0],
               [0, 0, 0, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    result, ink = tiles.copy(), np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.uint8)
    height, width = tiles.shape[1:3]
    for tile, box in zip(result, around, strict=True):
        left, right = (int(np.clip(round(zoom * side), 0, width)) for side in (box.left, box.right))
        top, bottom = (int(np.clip(round(zoom * side), 0, height)) for side in (box.top, box.bottom))
        heavy = int(np.clip(round(zoom * box.deviation / 2), 1, zoom))
        inside = tile[top + heavy : bottom - heavy, left + heavy : right - heavy].copy()
        tile[top:bottom, left:right] = ink
        tile[top + heavy : bottom - heavy, left + heavy : right - heavy] = inside
    return result


def animation(frames: Sequence[Tiles], *, pace: int = PACE, pause: int = PAUSE) -> bytes:
    r"""Frames as the bytes of one animated PNG file, over and over.

    Args:
        frames: pictures `(height, width, 3)` of one size.
        pace: milliseconds that a frame stays.
        pause: milliseconds that the last one stays.

    Raises:
        ValueError: if there is no frame.

    Example:
        >>> film = animation([np.zeros((4, 4, 3), dtype=np.uint8), np.full((4, 4, 3), 255, dtype=np.uint8)])
        >>> film[:4], b"acTL" in film
        (b'\x89PNG', True)
    """
    from PIL import Image

    if not frames:
        raise ValueError("there is no frame to show; a film has one at least")
    first, *rest = [Image.fromarray(frame) for frame in frames]
    durations = [*[pace] * len(rest), pause]
    buffer = BytesIO()
    first.save(buffer, format="PNG", save_all=True, append_images=rest, duration=durations, loop=0)
    return buffer.getvalue()


def film_sections(run: Path, config: Config[Recipe], model: Any, *, experiment: Experiment, seed: int) -> Iterator[str]:
    """How images come to be, and how test images are drawn again; nothing where the model does not draw in steps.

    Args:
        run: its folder, which keeps films and strips on light ground as `figures/film-*.png`.
        config: of the run.
        model: with `imagine(n)` and `redraw(x)`, as `models.DRAW`, in evaluation mode.
        experiment: of the run.
        seed: of the draws.
    """
    if not hasattr(model, "imagine"):
        return
    test = experiment.test
    seen = test[:: max(1, len(test) // COLUMNS)][:COLUMNS].to(next(model.parameters()).device)
    with _seeded(seed):
        imagined, again = model.imagine(DRAWN), model.redraw(seen)
    T, shape, ink = len(imagined.canvases), config.shape, _ink(config)
    drawn = Row(_images(imagined.canvases, shape), _outlines(imagined.written, model.write))
    rows = [Row(_images(seen.expand(T, *seen.shape), shape), _outlines(again.looked, model.read))]
    if again.patches is not None:
        rows.append(Row(_enlarged(again.patches, again.looked, shape)))
    rows.append(Row(_images(again.canvases, shape), _outlines(again.written, model.write)))
    framed = ABOUT_WINDOWS if imagined.written or again.looked else ""
    about = ABOUT_DRAWS.format(steps="the one step" if T == 1 else f"{'each' if T <= FRAMES else FRAMES} of {T} steps")
    yield html.section("How images come to be", *_shown(run, "film-draws", [drawn], ink=ink, caption=about + framed))
    about = ABOUT_AGAIN.format(seen=ABOUT_SEEN if again.patches is not None else "")
    yield html.section("How images are drawn again", *_shown(run, "film-again", rows, ink=ink, caption=about + framed))


def _shown(run: Path, name: str, rows: Sequence[Row], *, ink: bool, caption: str) -> Iterator[str]:
    """A film, and some of its images as a strip."""
    T = len(rows[0].images)
    steps = np.unique(np.linspace(0, T - 1, min(T, FRAMES)).round().astype(int))
    films, strips = zip(*(_drawn(rows, steps, ink=ink, theme=theme) for theme in (LIGHT, DARK)), strict=True)
    folder = run / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(films[0])
    (folder / f"{name}-strip.png").write_bytes(strips[0])
    yield html.figure(*films, alt="Images as they are drawn, step by step", caption=caption)
    if T > 1:
        yield html.figure(*strips, alt="The same images beside each other", caption=ABOUT_STRIP)


def _drawn(rows: Sequence[Row], steps: NDArray[np.int64], *, ink: bool, theme: Theme) -> tuple[bytes, bytes]:
    """A film of all images and a strip of the first ones, on one ground."""
    count, width = rows[0].images.shape[1], rows[0].images.shape[3]
    look = {"zoom": max(1, WIDTH // (COLUMNS * width)), "ink": ink, "theme": theme}
    starts = range(0, count, COLUMNS)
    frames = [
        _laid(
            [row.tiles(t, slice(start, start + COLUMNS), **look) for start in starts for row in rows], len(rows), theme
        )
        for t in steps
    ]
    look["zoom"] = max(1, WIDTH // (max(len(steps), COLUMNS) * width))
    lines = [
        np.concatenate([row.tiles(t, slice(i, i + 1), **look) for t in steps])
        for i in range(min(STRIPS, count))
        for row in rows
    ]
    return animation(frames), animation([_laid(lines, len(rows), theme)])


def _laid(lines: Sequence[Tiles], band: int, theme: Theme) -> Tiles:
    """Lines of tiles below each other, a wider gap after so many."""
    return _mosaic(np.concatenate(lines), len(lines[0]), band if band > 1 else 0, theme)


def _images(flat: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Flat images `(T, N, pixels)` as `(T, N, *shape)`."""
    images = to_images(flat.reshape(-1, flat.shape[-1]), shape)
    return images.reshape(*flat.shape[:2], *images.shape[1:])


def _outlines(windows: Sequence[Any] | None, size: int | None) -> list[list[Box]] | None:
    return None if windows is None or size is None else [boxes(window, size=size) for window in windows]


def _enlarged(patches: Tensor, windows: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Patches `(T, N, size, size, channels)` without their intensity, as large as an image."""
    T, N, size = patches.shape[:3]
    log_intensity = torch.stack([window.log_intensity for window in windows])
    plain = patches * (-log_intensity).exp()[..., None, None, None]
    rows, columns = (torch.arange(side, device=patches.device) * size // side for side in shape[:2])
    return _images(plain[:, :, rows][:, :, :, columns].reshape(T, N, -1), shape)
