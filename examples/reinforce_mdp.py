r"""Is REINFORCE the score-function estimator? On a shop whose exact policy gradient is known, coordinate by coordinate.

A shop has room for three boxes. Every morning of a week it orders none, one or two of them, in the day it sells what
is asked for and still there, and every unsold box costs rent. That is a finite Markov decision process: dynamic
programming gives the value of any policy and, differentiated, its exact gradient; value iteration gives the best
policy. (Its sweeps are exact for a week. For a shop that never closes the same sweeps, stopped somewhere, are
approximate dynamic programming.)

In this library's words: a policy is a distribution q over weeks, a week's cost f is minus its profit, REINFORCE is
`gradients.score_function(f, q)`. Nothing about time, states or actions is in the estimator.

    python examples/reinforce_mdp.py [--seed 0] [--picture reinforce_mdp.png]
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Size, Tensor
from torch.distributions import Distribution, constraints

from jensen.gradients.score_function import score_function

DAYS, ROOM, START = 7, 3, 1
DEMAND = (0.2, 0.5, 0.3)
PRICE, COST, DELIVERY, RENT = 4.0, 1.5, 1.0, 0.5

Estimator = Callable[..., Tensor]


def shop() -> tuple[Tensor, Tensor]:
    """Probability and profit of going from a stock, by an order, to tomorrow's stock, `(S, A, S)` each."""
    transition = torch.zeros(ROOM + 1, 3, ROOM + 1, dtype=torch.float64)
    profit = torch.zeros_like(transition)
    for stock in range(ROOM + 1):
        for order in range(3):
            on_the_shelf = min(stock + order, ROOM)
            for demand, probability in enumerate(DEMAND):
                left = max(on_the_shelf - demand, 0)
                transition[stock, order, left] += probability
                sold = on_the_shelf - left
                profit[stock, order, left] = PRICE * sold - COST * order - DELIVERY * (order > 0) - RENT * left
    return transition, profit


TRANSITION, PROFIT = shop()
STATES, ACTIONS = TRANSITION.shape[:2]


def expected_profit(logits: Tensor) -> Tensor:
    """Policy evaluation, backwards through the week: the exact value of policies `(*batch, T, S, A)`."""
    value = logits.new_zeros(*logits.shape[:-3], STATES)
    for day in reversed(range(DAYS)):
        action_value = (TRANSITION * (PROFIT + value[..., None, None, :])).sum(-1)  # (*batch, S, A)
        value = (logits[..., day, :, :].softmax(-1) * action_value).sum(-1)  # (*batch, S)
    return value[..., START]


def value_iteration() -> tuple[float, Tensor]:
    """The best profit there is and the orders `(T, S)` that reach it."""
    value, orders = torch.zeros(STATES, dtype=torch.float64), []
    for _ in range(DAYS):
        value, order = (TRANSITION * (PROFIT + value)).sum(-1).max(-1)
        orders.append(order)
    return float(value[START]), torch.stack(orders[::-1])


class Weeks(Distribution):
    """The distribution over weeks under a policy; a week is `(T, 3)`: stock, order, stock left, day by day.

    Args:
        logits: of the orders, by day and stock, `(*batch, T, S, A)`.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.nonnegative_integer, 2)

    def __init__(self, logits: Tensor) -> None:
        self.log_policy = logits.log_softmax(-1)
        super().__init__(logits.shape[:-3], Size((DAYS, 3)), validate_args=False)

    def sample(self, sample_shape: Size = Size()) -> Tensor:
        """Weeks, `(*sample, *batch, T, 3)`: the policy and the demand take turns."""
        shape = (*sample_shape, *self.batch_shape)
        policy = self.log_policy.detach().exp().expand(*shape, DAYS, STATES, ACTIONS)
        stock, days = torch.full(shape, START), []
        for day in range(DAYS):
            chosen = stock[..., None, None].expand(*shape, 1, ACTIONS)
            order = _choose(policy[..., day, :, :].gather(-2, chosen).squeeze(-2))
            left = _choose(TRANSITION[stock, order])
            days.append(torch.stack([stock, order, left], -1))
            stock = left
        return torch.stack(days, -2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`; only the policy's part of it has a gradient."""
        stock, order, left = value.unbind(-1)  # (*sample, *batch, T) each
        place = (torch.arange(DAYS) * STATES + stock) * ACTIONS + order
        table = self.log_policy.flatten(-3).expand(*place.shape[:-1], -1)
        return (table.gather(-1, place) + TRANSITION[stock, order, left].log()).sum(-1)


def _choose(probability: Tensor) -> Tensor:
    flat = probability.flatten(0, -2) if probability.ndim > 1 else probability[None]
    return torch.multinomial(flat, 1).reshape(probability.shape[:-1])


def loss_of_the_week(weeks: Tensor) -> Tensor:
    """Minus the profit."""
    return -PROFIT[weeks[..., 0], weeks[..., 1], weeks[..., 2]].sum(-1)


def mean_of_all(f: Callable[[Tensor], Tensor], q: Distribution, *, samples: int, generator: Generator) -> Tensor:
    """The plausible mistake: each week's baseline is the mean of all weeks, its own included."""

    def own_cost_included(weeks: Tensor) -> Tensor:
        cost = f(weeks)
        return cost - cost.mean(0)

    return score_function(own_cost_included, q, samples=samples, generator=generator)


def estimators() -> dict[str, Estimator]:
    """What is compared, by name."""
    return {
        "REINFORCE": score_function,
        "REINFORCE, leave-one-out": partial(score_function, baseline="leave_one_out"),
        "mean of all (a mistake)": mean_of_all,
    }


def some_policy(seed: int) -> Tensor:
    """Logits of an uneven policy, `(T, S, A)`."""
    source = Generator().manual_seed(seed)
    return 0.5 * torch.randn(DAYS, STATES, ACTIONS, generator=source, dtype=torch.float64)


def bias_and_variance(
    estimator: Estimator, logits: Tensor, *, samples: int, repeats: int, generator: Generator
) -> tuple[float, float, float]:
    """Largest z-score against the exact gradient, the slope of the mean on it, and the summed variance.

    Each repetition is an element of q's batch, so that one backward pass gives all gradients.
    """
    exact = logits.clone().requires_grad_()
    (target,) = torch.autograd.grad(-expected_profit(exact), exact)
    leaves = logits.expand(repeats, *logits.shape).clone().requires_grad_()
    loss = estimator(loss_of_the_week, Weeks(leaves), samples=samples, generator=generator)
    (gradients,) = torch.autograd.grad(loss.sum(), leaves)
    mean, variance = gradients.mean(0), gradients.var(0)
    z = (mean - target) / (variance / repeats).sqrt()
    slope = (mean * target).sum() / target.square().sum()
    return float(z[variance > 0].abs().max()), float(slope), float(variance.sum())


def learn(estimator: Estimator | None, *, samples: int, steps: int, seeds: int, generator: Generator) -> Tensor:
    """Exact expected profit after each step of Adam, `(steps, seeds)`; None ascends the exact gradient."""
    logits = torch.zeros(seeds, DAYS, STATES, ACTIONS, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.05)
    profits = []
    for _ in range(steps):
        adam.zero_grad()
        if estimator is None:
            loss = -expected_profit(logits)
        else:
            loss = estimator(loss_of_the_week, Weeks(logits), samples=samples, generator=generator)
        loss.sum().backward()
        adam.step()
        with torch.no_grad():
            profits.append(expected_profit(logits))
    return torch.stack(profits)


def draw(curves: dict[str, Tensor], best: float, path: str) -> None:
    """The distance to the best policy, step by step."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (name, profits), colour in zip(curves.items(), ("#667085", "#cf5f2a", "#2f6db5"), strict=True):
        gap = best - profits
        axes.plot(gap.mean(1), label=name, color=colour)
        axes.fill_between(range(len(gap)), gap.amin(1), gap.amax(1), color=colour, alpha=0.15, linewidth=0)
    axes.set(yscale="log", xlabel="steps", ylabel="profit short of the best policy", xlim=(0, len(gap)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables and draw the learning curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=20_000, help="gradients for the table")
    parser.add_argument("--steps", type=int, default=600, help="of learning")
    parser.add_argument("--picture", default="reinforce_mdp.png")
    options = parser.parse_args(arguments)
    generator = Generator().manual_seed(options.seed)
    logits = some_policy(options.seed)
    print(
        f"expected profit of a random policy {expected_profit(logits):.4f}; its gradient has {logits.numel()} entries"
    )
    print(f"{'4 weeks a gradient':28s}{'largest |z|':>12s}{'mean / exact':>14s}{'variance':>10s}")
    for name, estimator in estimators().items():
        z, slope, variance = bias_and_variance(
            estimator, logits, samples=4, repeats=options.repeats, generator=generator
        )
        print(f"{name:28s}{z:12.2f}{slope:14.4f}{variance:10.3f}")
    best, orders = value_iteration()
    first, last = orders[0].tolist(), orders[-1].tolist()
    print(f"\nvalue iteration: {best:.4f}; first day's order by stock {first}, last day's {last}")
    settings = {"samples": 8, "steps": options.steps, "seeds": 10, "generator": generator}
    choices = {"exact gradient": None} | {name: each for name, each in estimators().items() if "mistake" not in name}
    curves = {name: learn(estimator, **settings) for name, estimator in choices.items()}
    for name, profits in curves.items():
        last = profits[-1]
        print(f"{name:28s}{last.mean():8.4f} after {options.steps} steps, worst of 10 seeds {last.min():.4f}")
    draw(curves, best, options.picture)
    print(f"picture: {options.picture}")


if __name__ == "__main__":
    main()
