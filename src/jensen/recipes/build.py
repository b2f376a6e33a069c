"""From the numbers of a recipe to a model, a bound and data. Importing this imports torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jensen._contracts import Indexable
from jensen.datasets import Images, Labels, binarize, fixed_binarization, load
from jensen.recipes import build_convolutional, build_draw, build_ladder, build_perceptrons
from jensen.recipes.architectures import AnyArchitecture
from jensen.recipes.objectives import Objective
from jensen.recipes.recipe import Data, Recipe

__all__ = ["BUILDERS", "Experiment", "build", "make_data", "make_model"]

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "vae": build_perceptrons.vae,
    "iwae": build_perceptrons.iwae,
    "discrete_vae": build_perceptrons.discrete_vae,
    "structured": build_perceptrons.structured,
    "draw": build_draw.draw,
    "convolutional": build_convolutional.convolutional,
    "ladder": build_ladder.ladder,
}
"""Who makes the model of an architecture, by its kind: `(sizes, shape, *, mean=None, objective=None) -> nn.Module`."""

VALIDATION_DRAW, TEST_DRAW, TRAIN_DRAW = 122, 123, 121
"""Seeds of the one binarisation that a held-out split, or a training split binarised once for all, gets."""

OFF_GRID = 1e-3
"""How far a pixel may be from its level, in steps: what single precision does to k / 255 is less."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """What a run needs.

    Attributes:
        model: an untrained model, its output bias at the pixel means.
        train: the data to fit to; with dynamic binarisation every use is a new draw.
        validation: held-out data, `(N, pixels)`, always the same draw.
        test: the data to report on, `(N, pixels)`, always the same draw.
        images: all of them with their grey levels and, where there are any, classes.
    """

    model: nn.Module
    train: Indexable
    validation: Tensor
    test: Tensor
    images: Images

    @property
    def originals(self) -> Tensor:
        """The test images with their grey levels, `(N, pixels)`."""
        return self.images.test

    @property
    def shape(self) -> tuple[int, ...]:
        """`(height, width)` or `(height, width, channels)` of an image."""
        return self.images.shape

    def mixed(self) -> "Experiment":
        """The same with the test images in another order, always the same: files sorted by class begin with one class.

        Example:
            >>> from jensen import recipes
            >>> experiment = build(recipes.get("vae-digits"))
            >>> mixed = experiment.mixed()
            >>> bool((mixed.test.sum(0) == experiment.test.sum(0)).all()), torch.equal(mixed.test, experiment.test)
            (True, False)
        """
        order = torch.randperm(len(self.test), generator=torch.Generator().manual_seed(0))
        images, labels = self.images, self.images.labels
        labels = None if labels is None else labels._replace(test=labels.test[order])
        return replace(self, test=self.test[order], images=replace(images, test=images.test[order], labels=labels))


def build(recipe: Recipe, *, seed: int = 0) -> Experiment:
    """The model and the data of a recipe; the global random state is left as it was.

    Args:
        recipe: the numbers.
        seed: where the weights start.

    Raises:
        ValueError: if the data set is unknown or fails its checksum (`datasets.CorruptFileError`).
        DownloadError: if the data are neither at hand nor to be had.

    Example:
        >>> from jensen import recipes
        >>> build(recipes.get("iwae-digits")).shape
        (8, 8)
    """
    images = make_data(recipe.data, limit=recipe.budget.images)
    mode = recipe.data.binarization
    if mode == "levels":
        _check_levels(images, getattr(recipe.model, "levels", 0))
    held_out = [
        fixed_binarization(split, seed=draw) if mode in ("dynamic", "fixed") else split
        for split, draw in ((images.validation, VALIDATION_DRAW), (images.test, TEST_DRAW))
    ]
    mean = images.train.mean(0)
    model = make_model(recipe.model, images.shape, mean=mean, seed=seed, objective=recipe.objective)
    train = binarize(images.train, "grey" if mode == "levels" else mode, seed=TRAIN_DRAW)
    return Experiment(model, train, held_out[0], held_out[1], images)


def make_data(data: Data, *, limit: int | None = None) -> Images:
    """The images of a recipe, all of them or the first `limit` of every split.

    Raises:
        ValueError: if the data set or the split is unknown.

    Example:
        >>> make_data(Data("digits"), limit=10)
        Images('digits', train=10, validation=10, test=10, shape=(8, 8), labels=True)
    """
    images = load(data.name, split=data.split)
    if limit is None:
        return images
    splits = (images.train[:limit], images.validation[:limit], images.test[:limit])
    labels = None if images.labels is None else Labels(*(classes[:limit] for classes in images.labels))
    return Images(images.name, *splits, images.shape, labels)


def make_model(
    sizes: AnyArchitecture,
    shape: tuple[int, ...],
    *,
    mean: Tensor | None = None,
    seed: int = 0,
    objective: Objective | None = None,
) -> nn.Module:
    """An untrained model of the given sizes; the global random state is left as it was.

    Args:
        sizes: the architecture.
        shape: of an image, `(height, width)` or `(height, width, channels)`, or `(pixels,)` where the sizes do not ask.
        mean: the pixel means `(pixels,)`; where given, the output bias starts there.
        seed: where the weights start.
        objective: where given, the model has the control that its method learns; the other weights do not change.

    Raises:
        ValueError: if the sizes do not fit the shape, nobody builds such a kind, or the method learns a control and
            there are several layers of discrete units.

    Example:
        >>> from jensen.recipes import Architecture
        >>> make_model(Architecture("iwae", hidden=((20,), (10,)), latent=(5, 3)), (8, 8)).sizes
        [5, 3]
    """
    if sizes.kind not in BUILDERS:
        raise ValueError(f"nobody builds a model of kind {sizes.kind!r}; there are builders of {', '.join(BUILDERS)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BUILDERS[sizes.kind](sizes, shape, mean=mean, objective=objective)


def _check_levels(images: Images, levels: int) -> None:
    """Refuse grey levels between those that the likelihood gives a probability to."""
    for pixels in (images.train, images.validation, images.test):
        scaled = pixels * (levels - 1)
        if (far := (scaled - scaled.round()).abs().max()) > OFF_GRID:
            advice = "17 of digits, 256 of most others"
            raise ValueError(
                f"{images.name}: pixels lie up to {float(far):.2g} steps off a grid of {levels} levels; take {advice}"
            )
