r"""Do the estimators have the variances that their papers' toys show? Three toys, re-created from their definitions.

1. *Three bits, one parameter* (Liu et al. 2019, Kool et al. 2020). Every bit is one with probability sigmoid(eta), the
   cost is $\lVert b - (0.6, 0.51, 0.48) \rVert^2$. Variance of the gradient in eta against the number of evaluations.
2. *One bit* (Tucker et al. 2017, Grathwohl et al. 2018): cost $(b - t)^2$ with t = 0.45 or 0.499. Mean and variance,
   and loss and variance against steps of Adam.
3. *Descent on the three bits* (Liu et al. 2019): 1,000 steps of SGD with learning rate 1 from eta = -4, the k most
   probable states summed and one of the others drawn, the cost of another draw as baseline throughout.

`jensen run toys-variance` and `jensen run toys-descent` print the numbers beside the published ones; this script draws
the pictures of docs/gradients.md.

    python examples/toys.py [--seed 0] [--repeats 100000] [--pictures .]
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Generator, Tensor

from jensen import gradients
from jensen.gradients.relax import relax_with_variance
from jensen.recipes.studies.estimators import (
    descend,
    gradients_of,
    one_bit,
    one_bit_cost,
    one_bit_estimators,
    summed,
    three_bits,
    three_bits_cost,
)

Estimator = Callable[..., Tensor]
Family = Callable[[Tensor], torch.distributions.Distribution]
Cost = Callable[[Tensor], Tensor]

DESCENT = 1000
COLOURS = ("#667085", "#2f6db5", "#cf5f2a", "#2e8b57", "#8a4fbf", "#b8860b", "#c2185b")


def spread(
    estimator: Estimator, family: Family, f: Cost, at: float, repeats: int, generator: Generator
) -> tuple[float, float]:
    """Mean and variance of the gradient over repetitions, which are elements of q's batch."""
    parameter = torch.full((repeats,), at, dtype=torch.float64)
    gradient = gradients_of(estimator, family, f, at=parameter, generator=generator)
    return float(gradient.mean()), float(gradient.var())


def exact_gradient(family: Family, f: Cost, at: float) -> float:
    """By the sum over all values."""
    leaf = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    return float(torch.autograd.grad(gradients.enumerate_exact(f, family(leaf)), leaf)[0])


def variances_of_three_bits(eta: float, repeats: int, generator: Generator) -> dict[str, dict[int, float]]:
    """Variance by estimator and number of evaluations."""
    choices: dict[str, Callable[[int], Estimator | None]] = {
        "score function": lambda k: partial(gradients.score_function, samples=k),
        "leave-one-out": lambda k: partial(gradients.leave_one_out, samples=k) if k > 1 else None,
        "k - 1 summed, 1 drawn": lambda k: partial(gradients.rao_blackwell, categories=k - 1, samples=k),
        "unordered set": lambda k: partial(gradients.unordered_set, samples=k) if k > 1 else None,
    }
    table: dict[str, dict[int, float]] = {}
    for name, choice in choices.items():
        table[name] = {}
        for k in range(1, 9):
            if estimator := choice(k):
                table[name][k] = spread(estimator, three_bits, three_bits_cost, eta, repeats, generator)[1]
    return table


def variances_of_summing(eta: float, repeats: int, generator: Generator) -> dict[int, float]:
    """Liu et al.'s figure: k states summed, REINFORCE+ throughout."""
    settings = {"at": eta, "repeats": repeats, "generator": generator}
    return {k: spread(partial(summed, k=k), three_bits, three_bits_cost, **settings)[1] for k in range(9)}


def expected_cost(family: Family, f: Cost, parameter: Tensor) -> Tensor:
    """By the sum over all values."""
    with torch.no_grad():
        return gradients.enumerate_exact(f, family(parameter))


def summing_runs(trials: int, generator: Generator) -> dict[str, Tensor]:
    """Liu et al.'s descents on the three bits: eta after each step, `(1001, trials)`."""
    start = torch.full((trials,), -4.0, dtype=torch.float64)
    sgd = partial(torch.optim.SGD, lr=1.0)
    settings = {"start": start, "optimizer": sgd, "steps": DESCENT, "generator": generator}
    estimators = {f"{k} summed": partial(summed, k=k) for k in (0, 1, 2, 3, 8)}
    estimators["REINFORCE"] = partial(gradients.score_function, samples=1)
    return {name: descend(each, three_bits, three_bits_cost, **settings) for name, each in estimators.items()}


def panels(count: int) -> tuple[Figure, list]:
    """A figure with panels side by side, drawn without a window."""
    figure = Figure(figsize=(6.4 if count == 1 else 4.4 * count, 3.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def draw_variances(tables: dict[float, dict[str, dict[int, float]]], path: Path) -> None:
    """Toy 1: variance against evaluations, a panel for each eta."""
    figure, axes = panels(len(tables))
    for each, (eta, table) in zip(axes, tables.items(), strict=True):
        for colour, (name, row) in zip(COLOURS, table.items(), strict=False):
            shown = {k: v for k, v in row.items() if v > 1e-12}
            each.plot(list(shown), list(shown.values()), "o-", label=name, color=colour, markersize=3)
        each.set(yscale="log", xlabel="evaluations of the cost", title=f"eta = {eta:g}", ylim=(1e-9, 1))
    axes[0].set_ylabel("variance of the gradient")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def draw_bit(curves: dict[str, tuple[Tensor, list[int], list[float]]], path: Path) -> None:
    """Toy 2: loss and variance against steps."""
    figure, (loss, variance) = panels(2)
    for colour, (name, (losses, steps, spreads)) in zip(COLOURS, curves.items(), strict=False):
        loss.plot(losses, label=name, color=colour, linewidth=1.2)
        variance.plot(steps, [max(each, 1e-12) for each in spreads], color=colour, linewidth=1.2)
    loss.set(xlabel="steps of Adam", ylabel="expected cost, mean of the trials")
    variance.set(xlabel="steps of Adam", ylabel="variance of the gradient", yscale="log", ylim=(1e-7, None))
    loss.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def draw_descents(runs: dict[str, Tensor], path: Path) -> None:
    """Toy 3: expected cost against steps."""
    figure, (axes,) = panels(1)
    for colour, (name, eta) in zip(COLOURS, runs.items(), strict=False):
        losses = expected_cost(three_bits, three_bits_cost, eta)
        axes.plot(losses.mean(1), label=name, color=colour)
        axes.plot(losses, color=colour, linewidth=0.4, alpha=0.35)
    axes.set(xlabel="steps of SGD", ylabel="expected cost")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path)


class Control(torch.nn.Module):
    """RELAX's control variate on one relaxed bit: ten tanh units."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(1, 10), torch.nn.Tanh(), torch.nn.Linear(10, 1)).double()
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -1.0, 1.0, generator=generator)

    def forward(self, b: Tensor) -> Tensor:
        """The control at `b`, of the same shape."""
        return self.network(2 * b[..., None] - 1).squeeze(-1)


def learn_one_bit(
    estimator: Estimator, f: Cost, *, trials: int, steps: int, every: int, generator: Generator, control: Control | None
) -> tuple[Tensor, list[int], list[float]]:
    """Expected cost after each step of Adam, and the variance at the mean parameter every so many steps.

    A control is tuned beside the parameters, to lower the variance of the gradient.
    """
    phi = torch.zeros(trials, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([phi], lr=0.01)
    tuner = torch.optim.Adam(control.parameters(), lr=0.01) if control else None
    losses, checked, spreads = [], [], []
    for step in range(steps):
        if step % every == 0:
            checked.append(step)
            spreads.append(spread(estimator, one_bit, f, float(phi.detach().mean()), 10_000, generator)[1])
        adam.zero_grad()
        if control and tuner:
            tuner.zero_grad()
            value, variance = relax_with_variance(f, one_bit(phi), control=control, tau=0.5, generator=generator)
            (value.sum() + variance.mean()).backward()
            tuner.step()
        else:
            estimator(f, one_bit(phi), generator=generator).sum().backward()
        adam.step()
        losses.append(expected_cost(one_bit, f, phi.detach()).mean())
    return torch.stack(losses), checked, spreads


def one_bit_curves(
    t: float, *, trials: int, steps: int, generator: Generator
) -> dict[str, tuple[Tensor, list[int], list[float]]]:
    """Toy 2, all estimators."""
    f, control = one_bit_cost(t), Control(generator)
    settings = {"trials": trials, "steps": steps, "every": max(steps // 20, 1), "generator": generator}
    curves = {name: learn_one_bit(each, f, control=None, **settings) for name, each in one_bit_estimators().items()}
    tuned = partial(gradients.relax, control=control, tau=0.5)
    return curves | {"RELAX, tau 0.5": learn_one_bit(tuned, f, control=control, **settings)}


def print_three_bits(tables: dict[float, dict[str, dict[int, float]]], summing: dict[float, dict[int, float]]) -> None:
    """Toy 1."""
    for eta, table in tables.items():
        exact = exact_gradient(three_bits, three_bits_cost, eta)
        print(f"\nthree bits, eta = {eta:g}: exact gradient {exact:.10f}; variance by number of evaluations")
        print(f"{'':24s}" + "".join(f"{k:>11d}" for k in range(1, 9)))
        for name, row in table.items():
            cells = (f"{row[k]:11.4e}" if k in row else f"{'':11s}" for k in range(1, 9))
            print(f"{name:24s}{''.join(cells)}")
        cells = "".join(f"{v:11.3e}" for v in summing[eta].values())
        print(f"{'k = 0..8 summed, REINFORCE+':24s}\n{'':13s}{cells}")


def print_one_bit(repeats: int, generator: Generator) -> None:
    """Toy 2, at single points."""
    for t, phi in ((0.45, 0.0), (0.499, 0.0), (0.499, 1.5), (0.45, -1.0)):
        f = one_bit_cost(t)
        exact = exact_gradient(one_bit, f, phi)
        print(f"\none bit, t = {t}, phi = {phi:g}: exact gradient {exact:.8f}")
        for name, estimator in one_bit_estimators().items():
            mean, variance = spread(estimator, one_bit, f, phi, repeats, generator)
            z = (mean - exact) / max(variance / repeats, 1e-24) ** 0.5
            print(f"{name:24s} mean {mean:.8f} (z = {z:5.2f}), variance {variance:.4e}")


def main(arguments: list[str] | None = None) -> None:
    """Print the tables and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=100_000, help="gradients for each variance")
    parser.add_argument("--steps", type=int, default=3000, help="of learning, toy 2")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--pictures", type=Path, default=Path())
    options = parser.parse_args(arguments)
    generator = Generator().manual_seed(options.seed)
    torch.manual_seed(options.seed)
    tables = {eta: variances_of_three_bits(eta, options.repeats, generator) for eta in (0.0, -4.0)}
    summing = {eta: variances_of_summing(eta, options.repeats, generator) for eta in tables}
    print_three_bits(tables, summing)
    print_one_bit(options.repeats, generator)
    curves = one_bit_curves(0.45, trials=options.trials, steps=options.steps, generator=generator)
    print(f"\none bit, t = 0.45: expected cost after {options.steps} steps of Adam; the optimum is 0.2025")
    for name, (losses, _, spreads) in curves.items():
        print(f"{name:24s}{losses[-1]:.6f}, variance {spreads[0]:.3e} at the start, {spreads[-1]:.3e} at the end")
    runs = summing_runs(options.trials, generator)
    print("\nthree bits, 1,000 steps of SGD from eta = -4: eta at the end; the exact gradient arrives at 4.6833")
    for name, eta in runs.items():
        print(f"{name:24s}mean {eta[-1].mean():8.4f}, from {eta[-1].min():8.4f} to {eta[-1].max():8.4f}")
    draw_variances(tables, options.pictures / "toys-variance.png")
    draw_bit(curves, options.pictures / "toys-one-bit.png")
    draw_descents(runs, options.pictures / "toys-descent.png")
    print(f"pictures: toys-*.png in {options.pictures.resolve()}")


if __name__ == "__main__":
    main()
