"""Runs with everything that has a memory, for tests that stop and resume them; as a script, one in a process."""

import json
import sys
import time
from pathlib import Path

import torch
from training_worlds import Grey, linear_gaussian

from jensen.training import Adam, Burda, ImportanceWeighted, Linear, fit, load

WALL_CLOCK = ("seconds", "images_per_second")
EPOCHS, BATCHES = 5, 4


class Slow:
    """An objective that takes its time, so that there is a middle to be killed in."""

    samples = 3

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, model, x, *, kl_weight=1.0):
        time.sleep(self.seconds)
        return ImportanceWeighted(self.samples)(model, x, kl_weight=kl_weight)


def train(out, *, resume=False, epochs=EPOCHS, objective=None, **options):
    """Four batches an epoch, the last of them smaller; binarised anew on every use."""
    grey = Grey(torch.rand(37, 3, generator=torch.Generator().manual_seed(3)))
    model = linear_gaussian()
    settings = {
        "batch_size": 10,
        "learning_rate": Burda(1e-2),
        "kl_weight": Linear(0.1, 1.0, epochs=3),
        "optimizer": Adam(eps=1e-4),
        "clip_norm": 1.0,
        "ema": 0.9,
        "seed": 5,
        "validation": grey,
        "validate_every": 2,
        "accelerator": "cpu",
        "progress": False,
        **options,
    }
    objective = objective or ImportanceWeighted(samples=3)
    return model, fit(model, objective, grey, epochs=epochs, out=out, resume=resume, **settings)


def final_state(out):
    """All tensors, the header and the records of a finished run, without the clock."""
    checkpoint = load(out)
    header = {**checkpoint.header, "seconds": 0.0}
    header["settings"] = {**header["settings"], "objective": ""}
    lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    records = [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]
    return checkpoint.tensors, header, records


def differences(one, other):
    """Where two final states differ, to the bit."""
    (tensors, header, records), (tensors_2, header_2, records_2) = one, other
    found = [name for name in {*tensors, *tensors_2} if not same_bits(tensors.get(name), tensors_2.get(name))]
    return sorted(found) + ["header"] * (header != header_2) + ["records"] * (records != records_2)


def same_bits(one, other):
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(
        Path(sys.argv[1]),
        resume=sys.argv[2] == "resume",
        objective=Slow(float(sys.argv[3])),
        checkpoint_seconds=0.0,
        checkpoint_every=2,
    )
