"""A run on two processes, launched as a script: `python training_parallel.py RUN epochs [HOW]`.

HOW is `resume`, `break`, `noise` or `constrained`.
"""

import json
import math
import sys
from pathlib import Path

import torch
from torch import nn
from training_worlds import gaussian, linear_gaussian

from jensen._contracts import Inference
from jensen.training import Constrained, ImportanceWeighted, NonFiniteError, ReconstructionError, fit


def deterministic(model, x, *, kl_weight=1.0):
    noise = torch.linspace(-1, 1, 3).reshape(3, 1, 1).expand(3, len(x), 2)
    return model.log_weights(x, 3, noise=noise).total.logsumexp(0) - math.log(3)


class Recorded(nn.Module):
    """The linear model with the noise of `deterministic`, and a divergence."""

    def __init__(self):
        super().__init__()
        self.inner = linear_gaussian()

    def infer(self, x, samples=1):
        noise = torch.linspace(-1, 1, samples).reshape(samples, 1, 1).expand(samples, len(x), 2)
        log_weights = self.inner.log_weights(x, samples, noise=noise)
        kl = self.inner.kl(x).expand(samples, len(x))
        likelihood = gaussian(self.inner.decoder(self.inner.encoder(x) + noise), self.inner.log_s.exp())
        return Inference(log_weights, kl, likelihood, ())


class BreaksOnOne:
    """NaN on the last process only."""

    def __init__(self):
        self.calls = 0

    def __call__(self, model, x):
        self.calls += torch.is_grad_enabled()
        rank = torch.distributed.get_rank()
        return deterministic(model, x) * (math.nan if self.calls == 6 and rank == 1 else 1.0)


def train(out, epochs, *, how="", **options):
    """Batches of 10, 10, 10 and 7, so that the two processes get unequal shares of the last one."""
    data = torch.randn(37, 3, generator=torch.Generator().manual_seed(2))
    model = Recorded() if how == "constrained" else linear_gaussian()
    constrained = Constrained(ReconstructionError(0.8), samples=3, rate=0.5)
    objectives = {"break": BreaksOnOne(), "noise": ImportanceWeighted(3), "constrained": constrained}
    objective = objectives.get(how, deterministic)
    history = fit(
        model, objective, data, epochs=epochs, batch_size=10, learning_rate=1e-2, validation=data[:23], ema=0.9,
        accelerator="cpu", out=out, resume=how == "resume", progress=False, **options,
    )  # fmt: skip
    return model, history


if __name__ == "__main__":
    torch.set_num_threads(1)
    run, how = Path(sys.argv[1]), (sys.argv[3] if len(sys.argv) > 3 else "")
    try:
        model, history = train(run, int(sys.argv[2]), how=how, devices=2, strategy="ddp")
    except NonFiniteError as error:
        with (run / "errors").open("a") as file:
            file.write(f"{error.epoch} {error.batch} {error.term}\n")
    else:
        values = torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()
        (run / f"rank-{history.rank}-{how}").write_text(json.dumps(values))
