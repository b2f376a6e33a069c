"""From a run folder to compressed images and back."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from jensen.evaluation import evaluate
from jensen.evaluation.coding import PEERS, BitsBack, Peer, Stream, compress, decompress, weigh_peer
from jensen.evaluation.coding.weighing import Weighing
from jensen.recipes.build import build
from jensen.recipes.machine import choose_device, threads
from jensen.recipes.running import load_model
from jensen.recipes.thinning import thinned
from jensen.training.files import write_atomically

__all__ = ["compress_run", "decompress_file", "read_images"]

BYTE = 255


def compress_run(
    run: Path,
    out: Path,
    *,
    images: Path | None = None,
    split: Literal["test", "validation"] = "test",
    limit: int | None = None,
    bits: int = 12,
    lanes: int = 1,
    samples: int = 50,
    verify: bool = True,
    device: str = "cpu",
    progress: bool = False,
) -> Weighing:
    """Compress images by the model of a run, and weigh them by its bound and by other coders, too.

    Args:
        run: the run folder.
        out: the file to write, whole or not at all; its folder is made where it is missing.
        images: a `.npy` file or a folder of `.png` files to compress, in place of the run's own; see `read_images`.
        split: which of the run's own images; binarised ones are the one draw that `jensen evaluate` sees.
        limit: so many images only: of the run's own evenly spaced, of others the first.
        bits: a latent unit has two to the power of this many bins.
        lanes: how many images pass through the networks together.
        samples: draws for each image, for the bound.
        verify: decode the file again and compare.
        device: where the networks compute.
        progress: show progress bars.

    Raises:
        ValueError: if the run cannot be loaded, its model cannot code images, or not these.
        OSError: if the file cannot be written.
    """
    if samples < 1 or (limit is not None and limit < 1):
        raise ValueError(f"samples and limit must be at least 1, got samples={samples}, limit={limit}")
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name the file to write")
    config, model = load_model(run, device=choose_device(device))
    levels = BitsBack(model, pixels=prod(config.shape), bits=bits, lanes=lanes).levels
    if images is None:
        own = thinned(getattr(build(config.recipe, seed=config.seed), split), limit)
        pixels = _as_levels(own.numpy(), levels, "the images of the run").reshape(len(own), *config.shape)
    else:
        pixels = read_images(images, config.shape, levels=levels)
    pixels = pixels[:limit]
    with threads(1):
        start = time.perf_counter()
        with _bar("compressing", len(pixels), progress) as advance:
            stream, coded = compress(model, pixels, bits=bits, lanes=lanes, progress=advance)
        seconds = time.perf_counter() - start
        content = stream.to_bytes()
        if verify:
            _verify(model, content, pixels, progress)
    _write(out, content)
    x = torch.from_numpy(pixels.reshape(len(pixels), -1) / np.float32(levels - 1))
    found = evaluate(cast(Any, model), x, samples=samples, ks=(1,), progress=progress)
    return Weighing(
        shape=pixels.shape,
        levels=levels,
        latents=sum(layer.units for layer in found.layers),
        bits=bits,
        elbo=found.rows[0],
        samples=samples,
        coded=coded,
        file_bytes=len(content),
        model_bytes=sum(each.numel() * each.element_size() for each in model.state_dict().values()),
        peers=_peers(pixels, levels, progress),
        seconds=seconds,
        verified=verify,
    )


def decompress_file(path: Path, run: Path, out: Path, *, device: str = "cpu", progress: bool = False) -> NDArray[Any]:
    """Write the images of a compressed file as a `.npy` file of levels, and return them.

    Args:
        path: what `compress_run` wrote.
        run: the run folder that compressed it.
        out: the file to write, whole or not at all; its folder is made where it is missing.
        device: where the networks compute; best where they did when the file was written.
        progress: show a progress bar.

    Raises:
        ValueError: if the file is no such stream, truncated, damaged, or of another model than that of the run.
        OSError: if a file cannot be read or written.
    """
    if out.suffix != ".npy":
        raise ValueError(f"images are written as .npy, got {out}; name a file that ends so")
    try:
        stream = Stream.from_bytes(path.read_bytes())
        _, model = load_model(run, device=choose_device(device))
        with threads(1), _bar("decompressing", stream.header.count, progress) as advance:
            images = decompress(model, stream, progress=advance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    _write(out, _as_npy(images))
    return images


def read_images(path: Path, shape: tuple[int, ...], *, levels: int) -> NDArray[np.uint8]:
    """Images of a file, as levels `(N, *shape)`.

    Args:
        path: a `.npy` file, `(N, *shape)` or `(N, pixels)`: whole numbers are levels from 0 on, others grey levels in
            [0, 1]; or a folder of `.png` files of 8 bits, or one bit, a channel, taken in the order of their names.
        shape: of an image.
        levels: how many levels a pixel has; grey levels must be among them.

    Raises:
        ValueError: if there are no such images, or they have another shape or other values.
    """
    found = _read_folder(path) if path.is_dir() else _read_npy(path)
    if found.shape[1:] not in (shape, (prod(shape),)) or not len(found):
        raise ValueError(f"{path} holds images {found.shape}; this model codes (N, {', '.join(map(str, shape))})")
    return _as_levels(found, levels, str(path)).reshape(len(found), *shape)


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        found: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(f"{path} is no .npy file of numbers; name one, or a folder of .png files") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds no array of numbers; name a .npy file of images")
    return cast(NDArray[Any], found)


def _read_folder(path: Path) -> NDArray[np.float64]:
    from PIL import Image

    files = sorted(path.glob("*.png"))
    if not files:
        raise ValueError(f"{path} holds no .png files; name a folder that does, or a .npy file")
    pictures = []
    for file in files:
        with Image.open(file) as image:
            if image.mode not in ("1", "L", "RGB"):
                raise ValueError(f"{file} is a picture of mode {image.mode}; give black and white, grey or RGB ones")
            pictures.append(np.asarray(image.convert("L") if image.mode == "1" else image))
    if len({picture.shape for picture in pictures}) > 1:
        raise ValueError(f"the pictures in {path} have different sizes; give pictures of one size")
    found: NDArray[np.float64] = np.stack(pictures) / BYTE
    return found


def _as_levels(values: NDArray[Any], levels: int, whose: str) -> NDArray[np.uint8]:
    """Whole numbers as they are, grey levels in [0, 1] as the numbers of their levels."""
    if values.dtype.kind != "f":
        if values.min() < 0 or values.max() >= levels:
            found = f"values from {values.min()} to {values.max()}"
            raise ValueError(f"{whose}: {found}; this model codes whole numbers from 0 to {levels - 1}")
        return values.astype(np.uint8)
    scaled = values.astype(np.float64) * (levels - 1)
    numbers = np.rint(scaled)
    if not np.isclose(scaled, numbers, rtol=0, atol=1e-3).all() or not 0 <= numbers.min() <= numbers.max() < levels:
        known = "0 and 1" if levels == 2 else f"0, 1/{levels - 1}, ..., 1"
        raise ValueError(f"{whose}: some grey levels are none of {known}, the only ones that this model codes")
    return numbers.astype(np.uint8)


def _verify(model: nn.Module, content: bytes, pixels: NDArray[np.uint8], progress: bool) -> None:
    with _bar("verifying", len(pixels), progress) as advance:
        restored = decompress(model, Stream.from_bytes(content), progress=advance)
    if not np.array_equal(restored, pixels):
        raise ValueError("the compressed images do not come out as they went in; nothing was written")


def _peers(pixels: NDArray[np.uint8], levels: int, progress: bool) -> tuple[Peer, ...]:
    found = []
    with _bar("other coders", len(PEERS), progress) as advance:
        for name in PEERS:
            found.append(weigh_peer(name, pixels, levels=levels))
            advance(1)
    return tuple(found)


def _write(out: Path, content: bytes) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, content)


def _as_npy(images: NDArray[Any]) -> bytes:
    from io import BytesIO

    file = BytesIO()
    np.save(file, images, allow_pickle=False)
    return file.getvalue()


@contextmanager
def _bar(what: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; what it yields moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (show and console.is_terminal)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
