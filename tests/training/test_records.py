import json
import sys

import pytest
from training_runs import EPOCHS, train

from jensen.training import CheckpointError, EpochRecord, read_records
from jensen.training.records import Records


def record(epoch):
    return EpochRecord(epoch, 4 * epoch, -90.5 - epoch, None, 1e-3, 1.0, 0.5, 800.0)


def written(run, epochs):
    records = Records(run)
    for epoch in range(1, epochs + 1):
        records.append(record(epoch))
    return records


def test_a_line_for_each_epoch(tmp_path):
    _, history = train(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert [line["validation"] is not None for line in lines] == [False, True, False, True, True]
    assert [line["kl_weight"] for line in lines] == pytest.approx([0.325, 0.625, 0.925, 1.0, 1.0])
    assert read_records(tmp_path) == history.epochs


def test_a_line_is_there_at_once(tmp_path):
    written(tmp_path, 2)
    assert read_records(tmp_path) == [record(1), record(2)]


def test_lines_after_the_position_are_cut_off(tmp_path):
    written(tmp_path, 5)
    assert Records(tmp_path, epoch=3, step=12).epochs == [record(1), record(2), record(3)]
    assert read_records(tmp_path) == [record(1), record(2), record(3)]


@pytest.mark.parametrize("length", range(1, 20, 6))
def test_a_last_line_without_its_end_is_passed_over(tmp_path, length):
    written(tmp_path, 2)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0][:length])
    assert read_records(tmp_path) == [record(1), record(2)]
    Records(tmp_path, epoch=2)
    assert path.read_text().endswith("}\n")


def test_a_line_that_cannot_be_read_is_named(tmp_path):
    written(tmp_path, 3)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-5], lines[2]]) + "\n")
    with pytest.raises(CheckpointError, match=r"metrics.jsonl: line 2 cannot be read; repair or delete it"):
        read_records(tmp_path)


def test_a_folder_without_records(tmp_path):
    assert read_records(tmp_path) == []


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, tensorboard=True, epochs=2)
    train(tmp_path, tensorboard=True, epochs=4, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("bound")] == [4, 8, 12, 16]
    assert [event.value for event in events.Scalars("bound")] == pytest.approx(
        [record.bound for record in read_records(tmp_path)], rel=1e-6
    )


def test_without_tensorboard_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match="needs the package tensorboard: pip install tensorboard"):
        train(tmp_path, tensorboard=True)
