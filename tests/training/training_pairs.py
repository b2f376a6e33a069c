"""Runs on inputs and labels: with a memory, to be stopped and resumed; as a script, one process of several."""

import json
import sys
from pathlib import Path

import torch
from torch import nn

from jensen._contracts import Pairs
from jensen.training import Adam, BlundellWeights, Burda, Linear, Product, fit

BATCHES = 4


class Classifier(nn.Module):
    """Log-odds with noise on the hidden units, so that each step draws."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.first(x).tanh()
        return self.last(hidden + 0.1 * torch.randn_like(hidden))


def log_probability(model, batch, *, kl_weight=1.0):
    """A batch is a `Pairs`, whose labels no precision may cast."""
    if batch.targets.dtype != torch.long:
        raise ValueError(f"labels were cast to {batch.targets.dtype}")
    outputs = model(batch.inputs)
    return -nn.functional.cross_entropy(outputs.float(), batch.targets, reduction="none") * kl_weight


def plain(model, batch):
    """Without noise."""
    outputs = model.last(model.first(batch.inputs).tanh())
    return -nn.functional.cross_entropy(outputs.float(), batch.targets, reduction="none")


def classifier(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Classifier()


def labelled(n=37):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(3))
    return Pairs(x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long())


def train(out, *, resume=False, epochs=4, objective=log_probability, data=None, **options):
    model, data = classifier(), labelled() if data is None else data
    settings = {
        "batch_size": 10,
        "learning_rate": Burda(1e-2),
        "kl_weight": Product(Linear(0.1, 1.0, epochs=3), BlundellWeights(BATCHES)),
        "optimizer": Adam(eps=1e-4),
        "ema": 0.9,
        "seed": 5,
        "validation": labelled()[:11],
        "accelerator": "cpu",
        "progress": False,
        **options,
    }
    return model, fit(model, objective, data, epochs=epochs, out=out, resume=resume, **settings)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run = Path(sys.argv[1])
    options = {"objective": plain, "kl_weight": 1.0, "devices": 2, "strategy": "ddp"}
    model, history = train(run, epochs=int(sys.argv[2]), resume=len(sys.argv) > 3, **options)
    values = torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()
    (run / f"rank-{history.rank}").write_text(json.dumps(values))
