"""What a trained network is worth on its test data: errors, likelihood, calibration, doubt, and what can be pruned."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from jensen._contracts import Pairs
from jensen.datasets import Standardisation, Supervised, at_hand
from jensen.evaluation import (
    brier_score,
    detection,
    error_rate,
    interval_calibration,
    mean_score,
    negative_log_likelihood,
    pit_of_normals,
    regression_errors,
    reliability,
    risk_coverage,
)
from jensen.layers import Prediction
from jensen.models import BayesianNetwork, LaplaceNetwork
from jensen.recipes.config import EVALUATION, read_evaluation
from jensen.recipes.machine import choose_device, threads
from jensen.recipes.network_build import make_data
from jensen.recipes.network_pruning import pruned
from jensen.recipes.network_recipe import NetworkRecipe, Task
from jensen.recipes.network_results import Curve, Findings, NetworkEvaluation, Quantity
from jensen.recipes.network_running import load_model
from jensen.recipes.plain_network import PlainNetwork
from jensen.recipes.thinning import thinned

__all__ = ["Draw", "load_evaluation", "make_predictor", "measure", "outside_of", "seeded"]

POINTS = 200
"""A long curve is thinned to so many points."""

MADE = ("noise", "rotated")
"""What is made of the test images."""

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of the intervals whose coverage is counted."""


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
) -> NetworkEvaluation:
    """Evaluate a run on its test data and write `evaluation.json`.

    Args:
        run: the run folder.
        samples: draws of the weights; the recipe's number where None.
        limit: so many test data only, evenly spaced.
        batch_size: data held at once,
        chunk: with so many draws each.
        seed: of the draws.
        device: where to compute.
        progress: accepted for the command line's sake; an evaluation is short.

    Raises:
        ValueError: if the run cannot be loaded or a number is below one.
    """
    started = time.perf_counter()
    config, model = load_model(run, device=device)
    recipe = config.recipe
    samples = recipe.budget.evaluation_samples if samples is None else samples
    if min(samples, batch_size, chunk, 1 if limit is None else limit) < 1:
        numbers = f"samples={samples}, limit={limit}, batch_size={batch_size}, chunk={chunk}"
        raise ValueError(f"samples, limit, batch_size and chunk must be at least 1, got {numbers}")
    data, place = make_data(recipe), choose_device(device)
    test = thinned(data.test, limit).to(place)
    with threads(recipe.threads), seeded(seed):
        predictor = make_predictor(recipe, model, data, device=place)
        draw = Draw(predictor, samples, batch_size * chunk)
        found = _classification(recipe, draw, test) if data.classes else _regression(data, draw, test)
        found += pruned(recipe, model, test, train=data.train)
    evaluation = NetworkEvaluation(
        task="classification" if data.classes else "regression",
        data=len(test),
        samples=samples,
        seed=seed,
        quantities=found.quantities,
        layers=found.layers,
        curves=found.curves,
        outside=found.outside,
        seconds=round(time.perf_counter() - started, 3),
        notes=found.notes,
    )
    (run / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
    return evaluation


def load_evaluation(run: Path) -> NetworkEvaluation | None:
    """What `measure` wrote, or None.

    Raises:
        ValueError: if the file is damaged.
    """
    return read_evaluation(run, NetworkEvaluation.from_json)


@dataclass(frozen=True, eq=False)
class Draw:
    """A predictor and how it is asked.

    Attributes:
        model: what predicts.
        samples: draws of its weights.
        rows: data times draws that are held at once.
    """

    model: Any
    samples: int
    rows: int

    def __call__(self, x: Tensor) -> Prediction:
        """The prediction that averages over draws of the weights."""
        if isinstance(self.model, PlainNetwork):
            return self.model.predict(x)
        if isinstance(self.model, LaplaceNetwork):
            return self.model.predict(x, samples=self.samples, batch_size=max(1, self.rows // self.samples))
        prediction: Prediction = self.model.predict(x, samples=self.samples, rows=self.rows)
        return prediction

    def at_means(self, x: Tensor) -> Prediction:
        """The prediction of the one network at the means."""
        prediction: Prediction = self.model.predict_at_means(x)
        return prediction


def make_predictor(recipe: NetworkRecipe, model: nn.Module, data: Supervised, *, device: str = "cpu") -> nn.Module:
    """What predicts: the trained model, or Laplace's approximation around it, its prior by the marginal likelihood.

    Raises:
        ValueError: if the curvature cannot be taken.
    """
    if recipe.weights.method != "laplace":
        return model
    fitted = LaplaceNetwork.fit(
        cast(nn.Module, model.network),
        data.train.to(device),
        likelihood=cast(Any, model.likelihood),
        layers="last" if recipe.weights.laplace.subset == "last_layer" else "all",
        curvature=recipe.weights.laplace.structure,
        prior_precision=recipe.weights.prior.scale**-2,
    )
    fitted.optimize_prior_precision()
    return fitted


def outside_of(recipe: NetworkRecipe, test: Pairs) -> tuple[str, Tensor]:
    """Inputs that are out of distribution, with what they are in words.

    The data set that the recipe names, where it is at hand; otherwise made of the test images: `noise` has their pixels
    in random order, `rotated` is a quarter turn.

    Example:
        >>> from jensen import recipes
        >>> outside_of(recipes.get("bbb-digits"), Pairs(torch.rand(3, 64), torch.tensor([0, 1, 2])))[0]
        'noise: the test images with their pixels in random order'
    """
    if recipe.outside not in MADE and at_hand(recipe.outside):
        found = make_data(recipe, task=Task(recipe.outside, scale=recipe.data.scale)).test.inputs
        if found.shape[1:] == test.inputs.shape[1:]:
            return f"{recipe.outside}, its test images", found[: len(test)].to(test.device)
    if recipe.outside == "rotated":
        side = math.isqrt(test.inputs[0].numel())
        turned = test.inputs.reshape(-1, side, side).rot90(1, (1, 2))
        return "rotated: the test images after a quarter turn", turned.reshape(test.inputs.shape)
    order = torch.rand(len(test), test.inputs[0].numel(), device=test.device).argsort(1)
    shuffled = test.inputs.flatten(1).gather(1, order).reshape(test.inputs.shape)
    instead = "" if recipe.outside in MADE else f"; {recipe.outside} is not at hand"
    return f"noise: the test images with their pixels in random order{instead}", shuffled


def _classification(recipe: NetworkRecipe, draw: Draw, test: Pairs) -> Findings:
    """Errors, likelihood, calibration, selective risk, and doubt at inputs from elsewhere."""
    ensemble, single = draw(test.inputs), draw.at_means(test.inputs)
    found = _of_classes("", ensemble, test.targets) + _of_classes(", at the means", single, test.targets)
    name, strange = outside_of(recipe, test)
    elsewhere = draw(strange)
    scores = {"total entropy": (ensemble.total, elsewhere.total)}
    if elsewhere.samples > 1:
        scores["mutual information"] = (ensemble.epistemic, elsewhere.epistemic)
    areas = []
    for score, (inside, outside) in scores.items():
        detected = detection(inside, outside)
        areas.append(Quantity(f"AUROC of {score}", detected.auroc, detected.auroc_std_error, ""))
    return found + _of_weights(draw.model) + Findings(tuple(areas), outside=name)


def _of_classes(which: str, prediction: Prediction, targets: Tensor) -> Findings:
    error, nll = error_rate(prediction.mean, targets), negative_log_likelihood(prediction.log_prob(targets))
    brier, diagram = brier_score(prediction.mean, targets), reliability(prediction.mean, targets)
    wrong = (prediction.mean.argmax(-1) != targets).double()
    selective = risk_coverage(prediction.total, wrong)
    calibrated = Curve(
        f"reliability{which}",
        tuple(each.confidence for each in diagram.bins),
        tuple(each.accuracy for each in diagram.bins),
        tuple(each.std_error for each in diagram.bins),
    )
    risk = _thinned(f"selective risk{which}", selective.coverage, selective.risk)
    return Findings(
        quantities=(
            Quantity(f"error{which}", 100 * error.value, 100 * error.std_error, "%"),
            Quantity(f"NLL{which}", nll.value, nll.std_error, "nats"),
            Quantity(f"Brier score{which}", brier.value, brier.std_error, ""),
            Quantity(f"calibration error{which}", diagram.expected_error, math.nan, ""),
            Quantity(f"calibration error if calibrated{which}", diagram.expected_if_calibrated, math.nan, ""),
            Quantity(f"area under risk-coverage{which}", selective.area, math.nan, ""),
        ),
        curves=(calibrated, risk),
    )


def _regression(data: Supervised, draw: Draw, test: Pairs) -> Findings:
    """Error, likelihood and intervals in the units of the targets."""
    units = cast(Standardisation, data.targets)
    scale, shift = float(units.scale), float(units.mean)
    targets = test.targets * scale + shift
    found = Findings()
    for which, prediction in (("", draw(test.inputs)), (", at the means", draw.at_means(test.inputs))):
        mean = prediction.mean.reshape(-1) * scale + shift
        errors = regression_errors(mean, targets)
        likelihood = mean_score(prediction.log_prob(test.targets) - math.log(scale))
        components = cast(Normal, prediction.draws)
        K = prediction.samples
        pit = pit_of_normals(components.loc.reshape(K, -1), components.scale.reshape(K, -1), test.targets)
        intervals = interval_calibration(pit, levels=LEVELS)
        ninety = next(row for row in intervals.rows if row.level == 0.9)
        deviation = prediction.total.reshape(-1).sqrt() * scale
        found += Findings(
            quantities=(
                Quantity(f"RMSE{which}", errors.rmse, errors.rmse_std_error, ""),
                Quantity(f"log-likelihood{which}", likelihood.value, likelihood.std_error, "nats"),
                Quantity(f"coverage of 90 % intervals{which}", 100 * ninety.covered, 100 * ninety.std_error, "%"),
            ),
            curves=(
                _points(f"predictions{which}", targets, mean, deviation),
                Curve(
                    f"interval coverage{which}",
                    tuple(row.level for row in intervals.rows),
                    tuple(row.covered for row in intervals.rows),
                    tuple(row.std_error for row in intervals.rows),
                ),
            ),
        )
    return found + _of_weights(draw.model)


def _of_weights(model: nn.Module) -> Findings:
    """The divergence of the weights, where there is one."""
    if not isinstance(model, BayesianNetwork):
        return Findings()
    try:
        kl = float(model.kl().detach())
    except ValueError:
        return Findings()
    return Findings((Quantity("KL of the weights", kl, math.nan, "nats"),))


def _thinned(name: str, x: Sequence[float], y: Sequence[float]) -> Curve:
    keep = sorted({round(i * (len(x) - 1) / (POINTS - 1)) for i in range(POINTS)})
    return Curve(name, tuple(x[i] for i in keep), tuple(y[i] for i in keep))


def _points(name: str, x: Tensor, y: Tensor, error: Tensor) -> Curve:
    columns = (tuple(values[:POINTS].cpu().tolist()) for values in (x, y, error))
    return Curve(name, *columns)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All draws inside follow from the seed; the caller's generators are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
