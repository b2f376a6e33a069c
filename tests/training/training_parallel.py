"""A run on two processes, launched as a script: `python training_parallel.py RUN epochs [resume | break | noise]`."""

import json
import math
import sys
from pathlib import Path

import torch
from training_worlds import linear_gaussian

from jensen.training import ImportanceWeighted, NonFiniteError, fit


def deterministic(model, x, *, kl_weight=1.0):
    noise = torch.linspace(-1, 1, 3).reshape(3, 1, 1).expand(3, len(x), 2)
    return model.log_weights(x, 3, noise=noise).total.logsumexp(0) - math.log(3)


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
    model = linear_gaussian()
    objective = {"break": BreaksOnOne(), "noise": ImportanceWeighted(3)}.get(how, deterministic)
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
