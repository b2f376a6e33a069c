"""What separated factors are worth on test images: which code holds the label, and what each does to the image."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from jensen._contracts import Pairs
from jensen.evaluation import MeanScore, label_error, label_probabilities, mean_score
from jensen.models import DisentanglingAutoencoder
from jensen.recipes.config import EVALUATION, read_evaluation
from jensen.recipes.factor_build import make_data
from jensen.recipes.factor_results import FactorEvaluation
from jensen.recipes.factor_running import load_model
from jensen.recipes.machine import choose_device, threads
from jensen.recipes.network_measuring import seeded
from jensen.recipes.network_results import Quantity
from jensen.recipes.thinning import thinned

__all__ = ["load_evaluation", "measure"]

PROBED = 20_000
"""Training images that probes learn from at most."""

READ = 10_000
"""Training images that the reader of transferred images learns from at most."""


def measure(
    run: Path,
    *,
    samples: int | None = None,
    limit: int | None = None,
    batch_size: int = 100,
    chunk: int = 50,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> FactorEvaluation:
    """Evaluate a run on its test images and write `evaluation.json`.

    Args:
        run: the run folder.
        samples: None: one draw of z is looked at, and its mean.
        limit: so many test images only, evenly spaced.
        batch_size: images held at once,
        chunk: times this number.
        seed: of partners, noise and probes.
        device: where to compute.
        progress: accepted for the command line's sake; an evaluation is short.

    Raises:
        ValueError: if the run cannot be loaded, `samples` are asked for, or a number is below one.
    """
    started = time.perf_counter()
    if samples is not None:
        raise ValueError(f"separated factors are measured at one draw of z and at its mean, got samples={samples}")
    if min(batch_size, chunk, 1 if limit is None else limit) < 1:
        raise ValueError(
            f"limit, batch_size and chunk must be at least 1, got limit={limit}, batch_size={batch_size}, chunk={chunk}"
        )
    config, model = load_model(run, device=device)
    data, place, rows = make_data(config.recipe), choose_device(device), batch_size * chunk
    train, test = data.train[:PROBED], thinned(data.test, limit)
    with threads(config.recipe.threads), seeded(seed), torch.no_grad():
        quantities = (
            *_labels(model, train.to(place), test.to(place), rows=rows, seed=seed),
            *_images(model, test.to(place), rows=rows),
            *_transferred(model, train[:READ].to(place), test.to(place), rows=rows, seed=seed),
        )
    evaluation = FactorEvaluation(
        data=len(test), seed=seed, quantities=quantities, seconds=round(time.perf_counter() - started, 3)
    )
    (run / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
    return evaluation


def load_evaluation(run: Path) -> FactorEvaluation | None:
    """What `measure` wrote, or None.

    Raises:
        ValueError: if the file is damaged.
    """
    return read_evaluation(run, FactorEvaluation.from_json)


def _labels(model: DisentanglingAutoencoder, train: Pairs, test: Pairs, *, rows: int, seed: int) -> Iterator[Quantity]:
    """How well probes read the label from either code; from z as the decoder gets it, a draw, and at its mean."""
    seen, asked = _codes(model, train.inputs, rows), _codes(model, test.inputs, rows)
    for what in ("s", "z", "the mean of z"):
        for probe in ("linear", "mlp"):
            learned, read = Pairs(seen[what], train.targets), Pairs(asked[what], test.targets)
            error = label_error(learned, read, probe=cast(Any, probe), seed=seed)
            yield _percent(f"label error from {what}, {probe} probe", error)


def _images(model: DisentanglingAutoencoder, test: Pairs, *, rows: int) -> Iterator[Quantity]:
    """What the decoder makes of the codes, with and without z, and of the s of another image of the class."""
    codes = _codes(model, test.inputs, rows)
    s, z = codes["s"], codes["the mean of z"]
    partner = model.draws(test).partner
    kept = {"own codes": (z, s), "z = 0": (torch.zeros_like(z), s), "s of another of its class": (z, s[partner])}
    errors = {what: (model.decode(*pair) - test.inputs).square().sum(-1) for what, pair in kept.items()}
    for what, error in errors.items():
        yield _quantity(f"squared error, {what}", mean_score(error))
    whole, without = errors["own codes"], errors["z = 0"]
    ratio = without.mean() / whole.mean()
    spread = mean_score((without - ratio * whole) / whole.mean())
    yield Quantity("squared error, z = 0 over own codes", float(ratio), spread.std_error, "x")
    divergence = torch.cat([kl_divergence(model.encode(x)[1], model.prior()) for x in torch.split(test.inputs, rows)])
    yield _quantity("KL of z", mean_score(divergence), unit="nats")


def _transferred(
    model: DisentanglingAutoencoder, train: Pairs, test: Pairs, *, rows: int, seed: int
) -> Iterator[Quantity]:
    """Whether somebody who has learned to read real images reads the class of s from images with the z of another."""
    codes = _codes(model, test.inputs, rows)
    s, z = codes["s"], codes["the mean of z"]
    other = model.draws(test).other
    images = torch.cat([test.inputs, model.decode(z, s[other])])
    labels = torch.cat([test.targets, test.targets[other]])
    probabilities, known = label_probabilities(train, images, seed=seed)
    wrong = torch.from_numpy(known[probabilities.argmax(1)]) != labels.cpu()
    for what, each in zip(("real images", "images with the s of another"), wrong.double().chunk(2), strict=True):
        yield _percent(f"{what}, misread", mean_score(each))


def _codes(model: DisentanglingAutoencoder, x: Tensor, rows: int) -> dict[str, Tensor]:
    """s, a draw of z, and the mean of z for each image."""
    parts = [(s, q.rsample(), q.mean) for s, q in map(model.encode, torch.split(x, rows))]
    return dict(zip(("s", "z", "the mean of z"), map(torch.cat, zip(*parts, strict=True)), strict=True))


def _percent(what: str, score: MeanScore) -> Quantity:
    return Quantity(what, 100 * score.value, 100 * score.std_error, "%")


def _quantity(what: str, score: MeanScore, *, unit: str = "") -> Quantity:
    return Quantity(what, score.value, score.std_error, unit)
