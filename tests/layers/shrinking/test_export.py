import builtins

import pytest
import torch
from torch import nn

from jensen.layers.shrinking import export_onnx, shrink
from jensen.layers.variational import bayesianize


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", ["dense", "lenet"])
@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_gives_the_same_outputs(pruned, build, batch, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net, x = pruned(build, 0, 0.6, 0.7, torch.float32)
    small = shrink(net).train()
    export_onnx(small, tmp_path / "net.onnx", x[:batch])
    assert small.training
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for rows in (x[:1], x):
        (found,) = session.run(None, {"input": rows.numpy()})
        assert (torch.from_numpy(found) - net(rows)).abs().max() <= 1e-5


def test_one_line_where_the_packages_are_missing(monkeypatch, tmp_path):
    original = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("onnx"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(ModuleNotFoundError, match=r"needs the package onnx: pip install jensen\[onnx\]$"):
        export_onnx(nn.Linear(2, 1), tmp_path / "net.onnx", torch.zeros(1, 2))


def test_random_layers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="0 is random; export masked"):
        export_onnx(nn.Sequential(bayesianize(nn.Linear(2, 1))), tmp_path / "net.onnx", torch.zeros(1, 2))
