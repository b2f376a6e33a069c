"""Time and memory of one gradient by each estimator, beside hand-written PyTorch, storchastic and Pyro.

The cost is that of a categorical autoencoder: a batch of 100, 20 latents of 10 categories each, a network of
200-200-784 (tanh) and the Bernoulli log-likelihood of 784 pixels; forward and backward, into the logits and into the
network. All methods take turns in one process, in random order. The table has the median and the minimum of each; the
ratio of our median to the peer's or the hand-written one in the same run; that to our plain score function; and the
peak of what torch allocates above what it held before the step (torch's profiler, in a pass of its own, which some
builds accompany with lines on standard error). Peers that are not installed are left out, and so is `measure_valued`,
which evaluates the cost 201 times a sample here; the binary estimators do not apply.

    python benchmarks/gradients.py [--seconds 10] [--threads 1] [--samples 1,2,4,8,16] [--only unordered]

storchastic pins old packages: `pip install --no-deps storchastic entmax` beside Pyro is enough.
"""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, OneHotCategorical
from torch.nn import functional as F

from jensen import gradients

Step = Callable[[], object]
BATCH, LATENTS, CATEGORIES, HIDDEN, PIXELS = 100, 20, 10, 200, 784
TAU = 0.5


class Problem:
    """The logits, the network and the images; `cost` maps draws `(K, B, 20, 10)` to costs `(K, B)`."""

    def __init__(self, scale: float) -> None:
        self.logits = (scale * torch.randn(BATCH, LATENTS, CATEGORIES)).requires_grad_()
        self.network = nn.Sequential(nn.Linear(LATENTS * CATEGORIES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, PIXELS))
        self.images = torch.bernoulli(torch.full((BATCH, PIXELS), 0.13))

    def q(self) -> Distribution:
        """Twenty independent one-hot categoricals, validation off for everyone."""
        return Independent(OneHotCategorical(logits=self.logits, validate_args=False), 1, validate_args=False)

    def cost(self, z: Tensor) -> Tensor:
        """Minus the log-likelihood."""
        return self.pixels(self.network(z.flatten(-2)))

    def pixels(self, logits: Tensor) -> Tensor:
        """Cross-entropy of the images, summed over pixels."""
        images = self.images.expand_as(logits)
        return F.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(-1)

    def clear(self) -> None:
        """No gradient from the step before."""
        self.logits.grad = None
        self.network.zero_grad(set_to_none=True)


def by_hand(problem: Problem, samples: int) -> dict[str, Step]:
    """What one writes without a library."""

    def draws() -> tuple[Tensor, Tensor]:
        log_p = problem.logits.log_softmax(-1)
        flat = torch.multinomial(log_p.detach().exp().flatten(0, 1), samples, replacement=True)
        index = flat.T.reshape(samples, BATCH, LATENTS)
        log_q = log_p.expand(samples, *log_p.shape).gather(-1, index[..., None]).sum((-1, -2))
        return F.one_hot(index, CATEGORIES).to(log_p), log_q

    def score_function() -> None:
        z, log_q = draws()
        cost = problem.cost(z)
        (cost + cost.detach() * log_q).mean(0).sum().backward()

    def leave_one_out() -> None:
        z, log_q = draws()
        cost = problem.cost(z)
        others = (cost.sum(0) - cost) / (samples - 1)
        (cost + (cost - others).detach() * log_q).mean(0).sum().backward()

    def gumbel_softmax() -> None:
        logits = problem.logits.expand(samples, *problem.logits.shape)
        problem.cost(F.gumbel_softmax(logits, TAU)).mean(0).sum().backward()

    steps = {"score_function": score_function, "gumbel_softmax": gumbel_softmax}
    return steps | ({"leave_one_out": leave_one_out} if samples > 1 else {})


def ours(problem: Problem, samples: int) -> dict[str, Step]:
    """The library, one call an estimator."""

    def step(estimator: Callable[..., Tensor], **settings: object) -> Step:
        return lambda: estimator(problem.cost, problem.q(), samples=samples, **settings).sum().backward()

    def log_weights(z: Tensor) -> Tensor:
        return -problem.cost(z)

    control = nn.Sequential(nn.Linear(LATENTS * CATEGORIES, 10), nn.Tanh(), nn.Linear(10, 1))
    steps = {
        "score_function": step(gradients.score_function),
        "gumbel_softmax": step(gradients.gumbel_softmax, tau=TAU),
        "straight_through": step(gradients.straight_through),
        "reinmax": step(gradients.reinmax),
        "rebar": step(gradients.rebar, tau=TAU),
        "relax": step(gradients.relax, control=lambda z: control(z.flatten(-2)).squeeze(-1), tau=TAU),
        "muprop": step(gradients.muprop),
    }
    if samples > 1:
        steps["leave_one_out"] = step(gradients.leave_one_out)
        steps["vimco"] = lambda: gradients.vimco(log_weights, problem.q(), samples=samples).neg().sum().backward()
        steps["rao_blackwell"] = step(gradients.rao_blackwell)
        steps["unordered_set"] = step(gradients.unordered_set)
        steps["importance_without_replacement"] = step(gradients.importance_without_replacement)
    return steps


def storchastic(problem: Problem, samples: int) -> dict[str, Step]:
    """The broad peer: a fresh graph each step, as its own training loop does it."""
    try:
        import storch
        from storch import method
    except ImportError:
        return {}
    choices: dict[str, Callable[[], object]] = {
        "score_function": lambda: method.ScoreFunction("z", n_samples=samples),
        "gumbel_softmax": lambda: method.GumbelSoftmax("z", n_samples=samples),
        "rebar": lambda: method.REBAR("z", n_samples=samples),
        "relax": lambda: method.RELAX("z", n_samples=samples, in_dim=(LATENTS, CATEGORIES)),
    }
    if samples > 1:
        choices["leave_one_out"] = lambda: method.ScoreFunction(
            "z", n_samples=samples, baseline_factory="batch_average"
        )
        choices["unordered_set"] = lambda: method.UnorderedSetEstimator("z", k=samples)
        choices["importance_without_replacement"] = lambda: method.ScoreFunctionWOR("z", k=samples)
    decode = storch.deterministic(lambda z: problem.network(z.reshape((*z.shape[:-2], LATENTS * CATEGORIES))))
    likelihood = storch.deterministic(
        lambda logits, images: F.binary_cross_entropy_with_logits(
            logits, images.expand_as(logits), reduction="none"
        ).sum(-1)
    )

    def step(sampler: object) -> Step:
        def run() -> None:
            storch.reset()
            images = storch.denote_independent(problem.images, 0, "data")
            logits = storch.denote_independent(problem.logits, 0, "data")
            q = OneHotCategorical(probs=logits.softmax(-1), validate_args=False)
            storch.add_cost(likelihood(decode(sampler(q)), images), "cost")
            storch.backward()

        return run

    return {name: step(choice()) for name, choice in choices.items()}


def pyro(problem: Problem, samples: int) -> dict[str, Step]:
    """Pyro's bound with a uniform prior: one log-density more than the others; its baseline is a moving average."""
    try:
        from pyro import clear_param_store, plate, sample
        from pyro import distributions as dist
        from pyro.infer import Trace_ELBO, TraceGraph_ELBO
    except ImportError:
        return {}

    def model() -> None:
        with plate("data", BATCH):
            z = sample("z", dist.OneHotCategorical(logits=torch.zeros(LATENTS, CATEGORIES)).to_event(1))
            logits = problem.network(z.flatten(-2))
            sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=problem.images)

    def guide(baseline: bool) -> Callable[[], None]:
        infer = {"baseline": {"use_decaying_avg_baseline": True}} if baseline else {}

        def run() -> None:
            with plate("data", BATCH):
                sample("z", dist.OneHotCategorical(logits=problem.logits).to_event(1), infer=infer)

        return run

    clear_param_store()
    settings = {"num_particles": samples, "vectorize_particles": True, "max_plate_nesting": 1}
    plain, graph = Trace_ELBO(**settings), TraceGraph_ELBO(**settings)
    return {
        "score_function": lambda: plain.differentiable_loss(model, guide(False)).backward(),
        "score_function, moving average": lambda: graph.loss_and_grads(model, guide(True)),
    }


MAKERS = {"hand-written": by_hand, "jensen": ours, "storchastic": storchastic, "Pyro": pyro}


def methods(problem: Problem, samples: int, only: str) -> dict[tuple[str, str], Step]:
    """Every step that runs, by estimator and maker; a peer's that raises is reported and left out."""
    steps = {}
    for maker, make in MAKERS.items():
        for name, step in make(problem, samples).items():
            if only not in name and (name, maker) != ("score_function", "jensen"):
                continue
            try:
                for _ in range(3):
                    problem.clear()
                    step()
            except Exception as error:
                print(f"K = {samples}: {maker}'s {name} does not run: {type(error).__name__}: {str(error)[:100]}")
                continue
            steps[name, maker] = step
    return steps


def seconds(problem: Problem, step: Step) -> float:
    """One step on the clock."""
    problem.clear()
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def measure(problem: Problem, steps: dict[tuple[str, str], Step], limit: float) -> dict[tuple[str, str], list[float]]:
    """Seconds of each step, all in turn and in random order."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    end = time.perf_counter() + limit
    while time.perf_counter() < end or min(map(len, times.values())) < 6:
        for key in random.sample(list(steps), len(steps)):
            times[key] += [seconds(problem, steps[key]) for _ in range(3)][1:]
    return times


def peak(problem: Problem, step: Step) -> float:
    """Largest sum of torch's live allocations during a step, above what was there before, in MiB."""
    problem.clear()
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    events = [each for each in profile.profiler.kineto_results.events() if each.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest / 2**20


def print_table(samples: int, times: dict[tuple[str, str], list[float]], memory: dict[tuple[str, str], float]) -> None:
    """One number of samples: a line for each step, beside ours by the same name and our plain score function."""
    median = {key: statistics.median(t) for key, t in times.items()}
    base = median.get(("score_function", "jensen"))
    print(f"\nK = {samples}, {min(map(len, times.values()))} steps or more each")
    print(f"{'':32s}{'':14s}{'median ms':>10s}{'min ms':>8s}{'jensen / it':>12s}{'x score_function':>17s}{'MiB':>8s}")
    for name, maker in sorted(median):
        own = median.get((name, "jensen"))
        ratio = f"{own / median[name, maker]:.2f}" if own and maker != "jensen" else ""
        cells = f"{1e3 * median[name, maker]:10.2f}{1e3 * min(times[name, maker]):8.2f}{ratio:>12s}"
        to_base = f"{median[name, maker] / base:17.2f}" if base else f"{'':17s}"
        print(f"{name:32s}{maker:14s}{cells}{to_base}{memory[name, maker]:8.1f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of samples")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", default="1,2,4,8,16")
    parser.add_argument("--scale", type=float, default=1.0, help="of the logits; 5 is a peaked q, as after training")
    parser.add_argument("--only", default="", help="estimators whose name contains this, and our score_function")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    print(f"torch {torch.__version__}, {options.threads} threads, batch {BATCH}, {LATENTS} latents of {CATEGORIES}")
    for samples in map(int, options.samples.split(",")):
        problem = Problem(options.scale)
        steps = methods(problem, samples, options.only)
        memory = {key: peak(problem, step) for key, step in steps.items()}
        print_table(samples, measure(problem, steps, options.seconds), memory)


if __name__ == "__main__":
    main()
