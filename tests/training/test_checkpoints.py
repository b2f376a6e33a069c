import errno
import os
import pickle
import resource

import pytest
import torch
from torch import nn
from training_runs import train
from training_worlds import linear_gaussian

from jensen.training import CheckpointError, checkpoint_path, fit, latest, load, load_weights
from jensen.training import files as files_file
from jensen.training.checkpoints import Checkpoint, prune, save


@pytest.fixture
def run(tmp_path):
    train(tmp_path, epochs=2)
    return tmp_path


@pytest.fixture
def checkpoint():
    tensors = {
        "model/weight": torch.randn(3, 2),
        "model/half": torch.randn(4).bfloat16(),
        "model/scalar": torch.tensor(1.5, dtype=torch.float64),
        "model/empty": torch.zeros(0, 3),
        "model/strided": torch.randn(3, 2).T,
        "random/0/cpu": torch.get_rng_state(),
    }
    return Checkpoint(tensors, {"epoch": 3, "bound": -86.76123456789012, "nested": {"list": [1, None, "x"]}})


def test_what_was_saved_comes_back_to_the_bit(tmp_path, checkpoint):
    path = checkpoint_path(tmp_path, epoch=3)
    save(path, checkpoint)
    back = load(path)
    assert back.header == checkpoint.header
    assert back.tensors.keys() == checkpoint.tensors.keys()
    for name, value in checkpoint.tensors.items():
        assert back.tensors[name].dtype == value.dtype
        assert torch.equal(back.tensors[name], value)


def test_tied_parameters_are_stored_twice_and_fit_again(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(2, 2)
            self.other = nn.Linear(2, 2)
            self.other.weight = self.one.weight

    model = Tied()
    path = checkpoint_path(tmp_path, epoch=0)
    save(path, Checkpoint({f"model/{name}": value for name, value in model.state_dict().items()}, {}))
    fresh = Tied()
    load_weights(fresh, path)
    assert torch.equal(fresh.other.weight, model.one.weight)


@pytest.mark.parametrize("length", [0, 4, 8, 200, -1])
def test_truncated(run, length):
    path = latest(run)
    content = path.read_bytes()
    path.write_bytes(content[:length])
    with pytest.raises(CheckpointError) as error:
        load(run)
    message = str(error.value)
    assert message.startswith(f"{path} is truncated or corrupt (")
    assert message.endswith("; delete it and resume: epoch-0001.safetensors comes before it")
    assert "\n" not in message


def test_one_flipped_bit_anywhere_is_noticed(run):
    path = latest(run)
    content = path.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 200)):
        damaged = bytearray(content)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"epoch-0002\.safetensors"):
            load(path)
    path.write_bytes(content)
    assert load(path).header["epoch"] == 2


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere does not exist; check the path"):
        load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no checkpoint; start this run without resume"):
        load(tmp_path)


def test_a_foreign_file_is_refused_and_a_pickle_is_not_run(tmp_path):
    import safetensors.torch

    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "it ran"),))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError, match="truncated or corrupt"):
        load(path)
    assert not (tmp_path / "it ran").exists()
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of format 1, but None"):
        load(path)


def test_the_newest_is_the_one_furthest_on(tmp_path):
    for epoch, batch in ((2, 0), (10, 0), (9, 400), (10, 5), (1, 0)):
        path = checkpoint_path(tmp_path, epoch=epoch, batch=batch)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "checkpoints" / "epoch-0099.txt").touch()
    (tmp_path / "checkpoints" / ".epoch-0099.safetensors.partial").touch()
    assert latest(tmp_path).name == "epoch-0010-batch-000005.safetensors"
    assert latest(tmp_path, before=latest(tmp_path)).name == "epoch-0010.safetensors"
    prune(tmp_path, keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["epoch-0010-batch-000005.safetensors", "epoch-0010.safetensors", "epoch-0099.txt"]


def test_a_full_disk_leaves_the_previous_checkpoint(run, checkpoint, monkeypatch):
    before = latest(run).read_bytes()

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files_file.os, "fsync", no_space)
    with pytest.raises(
        OSError, match=r"No space left on device\); .*epoch-0002.safetensors is intact; free some"
    ) as error:
        save(checkpoint_path(run, epoch=3), checkpoint)
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(checkpoint_path(run, epoch=3))
    assert latest(run).read_bytes() == before
    assert not list((run / "checkpoints").glob(".*"))


def test_a_file_that_may_grow_no_further_leaves_the_previous_checkpoint(tmp_path):
    """The operating system itself cuts the write short, in the middle of a run."""
    model, grown = linear_gaussian(), []

    def objective(model, x):
        grown.append(1)
        if len(grown) == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        return model.log_weights(x).total.mean(0)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = torch.randn(40, 3)
    try:
        with pytest.raises(OSError, match=r"epoch-0001\.safetensors is intact") as error:
            fit(model, objective, data, epochs=3, batch_size=20, out=tmp_path, accelerator="cpu", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.errno == errno.EFBIG
    assert load(tmp_path).header["epoch"] == 1
    fit(model, objective, data, epochs=3, batch_size=20, out=tmp_path, accelerator="cpu", progress=False, resume=True)
    assert load(tmp_path).header["epoch"] == 3


def test_overwriting_in_place_is_caught_by_the_same_check(run, monkeypatch):
    """A negative control: a writer that opens the file itself loses it."""
    path = latest(run)
    with path.open("wb") as file:
        file.write(b"half")
    with pytest.raises(CheckpointError, match="truncated"):
        load(run)


def test_weights_alone(run):
    model, averaged = linear_gaussian(seed=7), linear_gaussian(seed=7)
    checkpoint = load_weights(model, run)
    load_weights(averaged, latest(run), averaged=True)
    assert checkpoint.header["epoch"] == 2
    assert torch.equal(model.decoder.weight, checkpoint.tensors["model/decoder.weight"])
    assert torch.equal(averaged.decoder.weight, checkpoint.tensors["ema/decoder.weight"])
    assert not torch.equal(model.decoder.weight, averaged.decoder.weight)


def test_weights_of_another_model_are_refused_with_both_shapes(run):
    with pytest.raises(CheckpointError, match=r"'encoder.weight' is \(2, 3\) there and \(2, 4\) here"):
        load_weights(linear_gaussian(pixels=4), run)
    with pytest.raises(CheckpointError, match=r"'weight' is absent there and \(1, 3\) here"):
        load_weights(nn.Linear(3, 1), run)


def test_an_average_that_was_not_kept_is_refused(tmp_path):
    train(tmp_path, epochs=1, ema=None)
    with pytest.raises(CheckpointError, match="trained without ema"):
        load_weights(linear_gaussian(), tmp_path, averaged=True)


def test_an_optimizer_that_a_checkpoint_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="which a checkpoint cannot hold"):
        train(
            tmp_path, epochs=1, optimizer=lambda parameters, lr: torch.optim.SGD([{"params": parameters, "x": {}}], lr)
        )
