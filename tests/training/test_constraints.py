"""Constrained training: its value, its gradient, its controller, and a Gaussian whose answer is known."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from training_rates import HALF, SPECTRUM, Expected, data, descend, linear_vae, optimal_vae, point, rotation

from jensen._contracts import Inference
from jensen.evaluation.rate_distortion import gaussian_rate
from jensen.layers import GaussianMLP
from jensen.models import VAE
from jensen.training import (
    Constrained,
    Cosine,
    NegativeLogLikelihood,
    PixelError,
    ReconstructionError,
    Stepper,
    Variational,
)
from jensen.training.optimizers import set_learning_rate

TARGET = gaussian_rate(SPECTRUM, 1.0)


@pytest.fixture
def vae():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return VAE(encoder=GaussianMLP(6, (5,), 2), decoder=GaussianMLP(2, (5,), 6, scale=HALF), latent=2).double()


@pytest.fixture
def x():
    return torch.randn(7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def given_noise(model, function):
    """The same draws at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return function(model)


# What it is asked to find


def test_the_target():
    assert_close(TARGET.rate, -2.5 * math.log(0.158))
    assert TARGET.level == pytest.approx(0.158)
    assert (TARGET.rate, TARGET.multiplier) == (pytest.approx(4.6129, abs=1e-4), pytest.approx(3.1646, abs=1e-4))
    assert point(optimal_vae(1.0)) == (pytest.approx(TARGET.rate, abs=1e-12), pytest.approx(1.0, abs=1e-12))


def pull(constraint, distortion, multiplier):
    """The largest entry of the Lagrangian's gradient at the optimum, and by how much the constraint is missed."""
    model = Expected(optimal_vae(distortion))
    objective = Constrained(constraint, initial=multiplier * constraint.scale)
    model.double(), objective(model, data()).mean().backward()
    slopes = [p.grad.abs().max() for p in model.parameters() if p.grad is not None]
    return torch.stack(slopes).max().item(), objective.moving_average.item()


@pytest.mark.parametrize("kappa", [1.0, 0.8, 1.5])
def test_the_gaussian_optimum_is_where_the_lagrangian_is_flat_and_the_constraint_met(kappa):
    multiplier = gaussian_rate(SPECTRUM, kappa**2).multiplier
    slope, missed = pull(ReconstructionError(kappa), kappa**2, multiplier)
    assert slope < 1e-6  # the multiplier is kept in single precision
    assert abs(missed) < 1e-6


class UnsquaredError(ReconstructionError):
    def __call__(self, x, inference):
        return super().__call__(x, inference) + self.kappa**2 - self.kappa


class WrongSignError(ReconstructionError):
    def __call__(self, x, inference):
        return -super().__call__(x, inference)


def test_a_tolerance_that_is_not_squared_and_a_wrong_sign_are_noticed_there():
    multiplier = gaussian_rate(SPECTRUM, 0.64).multiplier
    assert pull(UnsquaredError(0.8), 0.64, multiplier)[1] == pytest.approx(-0.16, abs=1e-6)
    assert pull(WrongSignError(0.8), 0.64, multiplier)[0] > 0.1
    assert pull(ReconstructionError(0.8), 0.64, 1.1 * multiplier)[0] > 0.01


def test_it_lands_on_the_rate_distortion_function_and_a_beta_vae_at_one_over_the_multiplier_lands_there_too():
    objective = Constrained(ReconstructionError(1.0), alpha=0.9, rate=0.1)
    rate, distortion = descend(linear_vae(1), objective, steps=1500)
    multiplier = objective.multiplier.item()
    assert abs(rate - TARGET.rate) < 0.03
    assert abs(distortion - 1.0) < 0.005
    assert abs(multiplier - TARGET.multiplier) < 0.05

    weighted = descend(linear_vae(2), Variational(1, analytic_kl=True), steps=1500, kl_weight=1 / multiplier)
    assert abs(weighted[0] - TARGET.rate) < 0.03
    assert abs(weighted[1] - 1.0) < 0.005


def test_with_the_wrong_sign_it_lands_nowhere_near():
    objective = Constrained(WrongSignError(1.0), alpha=0.9, rate=0.1)
    vae = linear_vae(1)
    model, x = Expected(vae), data()
    stepper = Stepper(model, objective, learning_rate=1e-2)
    for _ in range(150):
        stepper.step(x)
    assert point(vae)[1] > 3.0
    assert objective.multiplier < 5.0


@pytest.mark.slow
def test_it_lands_there_with_the_default_numbers_and_draws():
    """Half a cosine from 1e-2 to 1e-3: a network whose rate falls to zero no longer follows its multiplier."""
    root = SPECTRUM.sqrt() * rotation()
    vae, objective = linear_vae(1), Constrained(ReconstructionError(1.0))
    stepper, steps = Stepper(vae, objective), 15_000
    schedule = Cosine(1e-2, epochs=steps, final=1e-3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for step in range(steps):
            set_learning_rate(stepper.optimizer, schedule(step))
            stepper.step(torch.randn(256, len(SPECTRUM), dtype=torch.float64) @ root.T)
    rate, distortion = point(vae)
    assert abs(rate - TARGET.rate) < 0.03
    assert abs(distortion - 1.0) < 0.02
    assert abs(objective.multiplier.item() - TARGET.multiplier) < 0.05


# Value and gradient


def test_the_value_is_the_bound(vae, x):
    expected = given_noise(vae, lambda model: Variational(3, analytic_kl=True)(model, x))
    found = given_noise(vae, lambda model: Constrained(ReconstructionError(0.5), samples=3)(model, x))
    assert_close(found, expected, atol=1e-12, rtol=0)
    with torch.no_grad():
        held_out = given_noise(vae, lambda model: Constrained(ReconstructionError(0.5), samples=3)(model, x))
    assert_close(held_out, expected, atol=1e-12, rtol=0)


def test_the_gradient_is_that_of_the_lagrangian(vae, x):
    parameters = [p for p in vae.parameters() if p.requires_grad]
    objective = Constrained(PixelError(0.5), samples=3, initial=0.7)

    def lagrangian(model):
        inference = model.infer(x, 3)
        return (inference.kl.mean(0) + 0.7 / 0.25 * objective.constraint(x, inference)).mean()

    expected = torch.autograd.grad(given_noise(vae, lagrangian), parameters)
    found = torch.autograd.grad(given_noise(vae, lambda model: objective(model, x)).mean(), parameters)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, -theirs, atol=1e-6, rtol=1e-6)


def test_under_a_tolerated_likelihood_it_is_the_gradient_of_a_beta_vae_times_the_multiplier(vae, x):
    parameters = [p for p in vae.parameters() if p.requires_grad]
    objective = Constrained(NegativeLogLikelihood(8.0), initial=4.0 * 8.0)
    found = torch.autograd.grad(given_noise(vae, lambda model: objective(model, x)).mean(), parameters)
    weighted = Variational(1, analytic_kl=True)
    bound = given_noise(vae, lambda model: weighted(model, x, kl_weight=0.25)).mean()
    for ours, theirs in zip(found, torch.autograd.grad(bound, parameters), strict=True):
        assert_close(ours, 4.0 * theirs, atol=1e-6, rtol=1e-6)


# The controller


class Scripted(nn.Module):
    """Datum b has divergence b and violation b times a parameter, which is one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def infer(self, x, samples=1):
        class Terms:
            log_likelihood = x[None, :, 0] * 0

        return Inference(Terms(), kl=x[None, :, 0] * self.weight.detach(), likelihood=None, latents=(self.weight,))


def scripted(x, inference):
    return x[:, 0] * inference.latents[0]


def test_the_state_follows_the_recursion():
    objective = Constrained(scripted, alpha=0.8, rate=0.5, initial=2.0, warm_start=2)
    model, average, log_multiplier = Scripted(), None, math.log(2.0)
    for step, violation in enumerate([3.0, -1.0, 0.05, 0.02, -0.4, -2.0, 7.0]):
        objective(model, torch.full((4, 1), violation, dtype=torch.float64))
        average = violation if average is None else 0.8 * average + 0.2 * violation
        log_multiplier += 0.5 * max(-0.1, min(0.1, average)) if step >= 2 else 0.0
        expected = {"kl": average, "constraint": average, "violation": average, "multiplier": math.exp(log_multiplier)}
        assert objective.monitor() == pytest.approx(expected, abs=1e-6)
    assert objective.updates == 7


def test_it_is_not_updated_without_a_gradient_and_passes_over_what_is_not_finite():
    objective, model = Constrained(scripted), Scripted()
    with torch.no_grad():
        objective(model, torch.ones(4, 1))
    assert objective.updates == 0
    objective(model, torch.ones(4, 1))
    before = objective.monitor()
    objective(model, torch.full((4, 1), math.nan))
    after = objective.monitor()
    assert (after["constraint"], after["kl"]) == (before["constraint"], before["kl"])
    assert math.isfinite(after["multiplier"])


def test_the_multiplier_stays_positive_and_finite():
    up, down = (Constrained(scripted, rate=100.0) for _ in range(2))
    for _ in range(50):
        up(Scripted(), torch.full((1, 1), 1e6))
        down(Scripted(), torch.full((1, 1), -1e6))
    assert (up.multiplier.item(), down.multiplier.item()) == pytest.approx((math.exp(23), math.exp(-23)), rel=1e-5)
    without_logarithm = 1.0 + 100.0 * -0.1
    assert without_logarithm < 0


def expected_gradient(objective):
    """Over two equally probable batches, from one and the same state."""
    slopes = []
    for violation in (1.0, 3.0):
        model, own = Scripted(), deepcopy(objective)
        own(model, torch.full((2, 1), violation, dtype=torch.float64)).mean().backward()
        slopes.append(-model.weight.grad.item())
    return sum(slopes) / 2


class UpdatedBeforeItIsRead(Constrained):
    def forward(self, model, x, *, share=1.0):
        inference = model.infer(x)
        violation = self.constraint(x, inference)
        self._update(torch.stack([violation.mean(), inference.kl.mean()]).detach(), share)
        return -(inference.kl.mean(0) + self.multiplier * violation)


def test_the_multiplier_is_read_before_it_is_updated():
    scripted_scale = type("Scale", (), {"scale": 100.0, "__call__": lambda self, x, inference: scripted(x, inference)})
    options = {"alpha": 0.0, "rate": 10.0, "initial": 100.0}
    assert expected_gradient(Constrained(scripted_scale(), **options)) == pytest.approx(2.0, abs=1e-6)
    biased = (1.0 * math.exp(0.1) + 3.0 * math.exp(0.3)) / 2
    assert expected_gradient(UpdatedBeforeItIsRead(scripted_scale(), **options)) == pytest.approx(biased, abs=1e-5)


class Scaled:
    def __init__(self, factor, *, declared):
        self.factor, self.scale = factor, factor if declared else 1.0

    def __call__(self, x, inference):
        return self.factor * ReconstructionError(1.0)(x, inference)


def course(vae, x, constraint):
    model, objective = deepcopy(vae), Constrained(constraint, rate=0.5)
    stepper = Stepper(model, objective, learning_rate=1e-2)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        for _ in range(20):
            stepper.step(x)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_constraint_and_a_thousand_times_that_constraint_take_the_same_course(vae, x):
    once = course(vae, x, Scaled(1.0, declared=True))
    assert torch.equal(course(vae, x, Scaled(1024.0, declared=True)), once)
    assert (course(vae, x, Scaled(1024.0, declared=False)) - once).abs().max() > 1e-3


def test_narrow_types_leave_the_state_as_it_is():
    objective = Constrained(scripted, initial=3.0).to(torch.bfloat16)
    assert objective.log_multiplier.dtype == objective.averages.dtype == torch.float32
    assert objective.log_multiplier.item() == pytest.approx(math.log(3.0), abs=1e-7)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, "alpha is a decay"),
        ({"rate": 0.0}, "rate must be a positive number"),
        ({"initial": -1.0}, "initial must be a positive number"),
        ({"initial": 1e12}, "between 1e-10 and 1e10"),
        ({"warm_start": -1}, "warm_start is a number of steps"),
        ({"samples": 0}, "samples is 0"),
    ],
)
def test_numbers_that_control_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Constrained(scripted, **options)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_turns_the_sign_or_divides_by_nothing_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be a positive number"):
        Constrained(Scaled(scale, declared=True))
    Constrained(Scaled(scale, declared=False))


def test_a_tolerance_whose_square_is_nothing_is_refused():
    with pytest.raises(ValueError, match=r"scale must be a positive number, got 0\.0"):
        Constrained(ReconstructionError(1e-200))


@pytest.mark.parametrize("make", [ReconstructionError, PixelError])
@pytest.mark.parametrize("kappa", [0.0, -1.0, math.inf, math.nan])
def test_tolerances_of_nothing_are_refused(make, kappa):
    with pytest.raises(ValueError, match="kappa is a tolerance, a positive number"):
        make(kappa)


def test_models_without_infer_and_constraints_of_another_shape_are_refused(vae, x):
    with pytest.raises(ValueError, match="Linear has no infer"):
        Constrained(ReconstructionError(1.0))(nn.Linear(6, 6), x)
    with pytest.raises(ValueError, match=r"the constraint has shape \(\), expected \(7,\)"):
        Constrained(lambda x, inference: x.mean())(vae, x)
