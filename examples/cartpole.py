"""Can an estimator that knows nothing of time balance a pole? CartPole with REINFORCE and a leave-one-out baseline.

K episodes run side by side in gymnasium's vectorised environment. A policy is a distribution q over episodes, of which
we know the policy's part of the log-probability and can draw samples; the cost f is minus the number of steps that the
pole stays up. `leave_one_out(f, q, samples=K)` asks for no more: each episode's baseline is the mean return of the
others. There is no critic, no discount and no reward-to-go.

Needs gymnasium: pip install "gymnasium>=1.0".

    python examples/cartpole.py [--seed 0] [--episodes 32] [--updates 300] [--picture cartpole.png]
"""

import argparse
import time
from typing import Any

import torch
from torch import Generator, Size, Tensor, nn
from torch.distributions import Distribution, constraints

from jensen.gradients.score_function import leave_one_out

STEPS, SOLVED = 500, 475.0
OBSERVATIONS, ACTIONS = 4, 2


class Episodes(Distribution):
    """Episodes under a policy; one is `(T, 6)`: four observations, the action, and whether the pole still stood.

    Args:
        policy: maps observations `(..., 4)` to logits `(..., 2)`.
        environments: a vectorised environment; a sample of K episodes needs K environments.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.real, 2)

    def __init__(self, policy: nn.Module, environments: Any) -> None:
        self.policy, self.environments = policy, environments
        super().__init__(Size(), Size((STEPS, OBSERVATIONS + 2)), validate_args=False)

    def sample(self, sample_shape: Size = Size()) -> Tensor:
        """K episodes, `(K, T, 6)`; after its end an episode holds zeros."""
        (count,) = sample_shape
        if count != self.environments.num_envs:
            raise ValueError(f"{self.environments.num_envs} environments cannot run {count} episodes")
        episodes = torch.zeros(count, *self.event_shape)
        standing = torch.ones(count, dtype=torch.bool)
        seen, _ = self.environments.reset(seed=int(torch.randint(2**31 - 1, ())))
        for step in range(STEPS):
            observation = torch.from_numpy(seen)
            action = torch.bernoulli(self.policy(observation).softmax(-1)[:, 1])
            episodes[:, step] = torch.cat([observation, action[:, None], torch.ones(count, 1)], -1) * standing[:, None]
            seen, _, fallen, _, _ = self.environments.step(action.long().numpy())
            standing &= ~torch.from_numpy(fallen)
            if not standing.any():
                break
        return episodes

    def log_prob(self, value: Tensor) -> Tensor:
        """The policy's part of the log-probability, `(K,)`; the rest does not depend on the policy."""
        standing = value[..., -1]
        longest = int(standing.sum(-1).max())
        observation, action = value[:, :longest, :OBSERVATIONS], value[:, :longest, OBSERVATIONS]
        log_policy = self.policy(observation).log_softmax(-1)  # (K, T, A)
        taken = log_policy.gather(-1, action.long()[..., None]).squeeze(-1)
        return (taken * standing[:, :longest]).sum(-1)


def fall(episodes: Tensor) -> Tensor:
    """The cost: minus the steps that the pole stood, `(K,)`."""
    return -episodes[..., -1].sum(-1)


def environments(count: int) -> Any:
    """`count` CartPoles stepped together.

    Raises:
        SystemExit: if gymnasium is not installed.
    """
    try:
        import gymnasium
    except ImportError:
        raise SystemExit('this example needs gymnasium: pip install "gymnasium>=1.0"') from None
    return gymnasium.make_vec("CartPole-v1", num_envs=count, vectorization_mode="vector_entry_point")


def train(policy: nn.Module, worlds: Any, *, updates: int, learning_rate: float, generator: Generator) -> list[float]:
    """Mean return of each update's episodes; stops once ten in a row average 495 or more."""
    adam = torch.optim.Adam(policy.parameters(), learning_rate)
    returns: list[float] = []
    for update in range(updates):
        loss = leave_one_out(fall, Episodes(policy, worlds), samples=worlds.num_envs, generator=generator)
        adam.zero_grad()
        loss.backward()
        adam.step()
        returns.append(-float(loss.detach()))
        if update % 20 == 0:
            print(f"update {update:4d}: mean return {returns[-1]:6.1f}")
        if len(returns) >= 10 and sum(returns[-10:]) / 10 >= 495:
            break
    return returns


def draw(returns: list[float], path: str) -> None:
    """The mean return by update, and the line from which on the task counts as solved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(returns, color="#2f6db5")
    axes.axhline(SOLVED, color="#667085", linestyle=":", linewidth=1)
    axes.set(xlabel="updates", ylabel="mean return of the episodes", ylim=(0, 510), xlim=(0, len(returns)))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    """Train, test on fresh episodes, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=32, help="side by side")
    parser.add_argument("--updates", type=int, default=300, help="at most")
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--picture", default="cartpole.png")
    options = parser.parse_args(arguments)
    worlds = environments(options.episodes)
    torch.manual_seed(options.seed)
    generator = Generator().manual_seed(options.seed)
    policy = nn.Sequential(nn.Linear(OBSERVATIONS, 32), nn.Tanh(), nn.Linear(32, ACTIONS))
    start = time.perf_counter()
    settings = {"updates": options.updates, "learning_rate": options.learning_rate, "generator": generator}
    returns = train(policy, worlds, **settings)
    minutes = (time.perf_counter() - start) / 60
    with torch.no_grad():
        test = -fall(Episodes(policy, environments(100)).sample(Size((100,))))
    threads = torch.get_num_threads()
    print(f"{len(returns)} updates of {options.episodes} episodes in {minutes:.1f} minutes, {threads} threads")
    print(f"100 fresh episodes: mean return {test.mean():.1f} (solved: {SOLVED:.0f}), worst {test.min():.0f}")
    draw(returns, options.picture)
    print(f"picture: {options.picture}")


if __name__ == "__main__":
    main()
