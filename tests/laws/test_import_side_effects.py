"""Importing jensen changes nothing, and costs little until something is computed."""

import functools
import json
import subprocess
import sys

import pytest
from package_source import sources

OBSERVER = r"""
import json, logging, os, random, signal, sys, warnings

import lightning_fabric, matplotlib, numpy, pooch, rich, safetensors.torch, scipy, sklearn.datasets, torch, tyro
import matplotlib.figure, matplotlib.backends.backend_agg, torch.distributions, torch.nn.functional

WATCHED = (torch, torch.Tensor, torch.nn, torch.nn.Module, torch.nn.functional, torch.distributions,
           torch.distributions.Distribution, torch.optim, numpy, random, warnings)
KNOWN = [(owner, name, value) for owner in WATCHED for name, value in list(vars(owner).items())]
VOLATILE = {"_validate_args", "filters", "_filters_version", "onceregistry", "__warningregistry__"}


def state():
    return {
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "validation": torch.distributions.Distribution._validate_args,
        "torch generator": hash(torch.get_rng_state().numpy().tobytes()),
        "numpy generator": hash(str(numpy.random.get_state())),
        "python generator": hash(random.getstate()),
        "gradient mode": torch.is_grad_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "matrix product precision": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32),
        "print options": str(vars(torch._tensor_str.PRINT_OPTS)),
        "patched": [name for owner, name, old in KNOWN if name not in VOLATILE and vars(owner).get(name) is not old],
        "numpy errors": str(numpy.geterr()),
        "matplotlib": {name: str(dict.__getitem__(matplotlib.rcParams, name)) for name in matplotlib.rcParams},
        "warnings": [str(each) for each in warnings.filters],
        "logging": (logging.root.level, [str(each) for each in logging.root.handlers], logging.root.manager.disable),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "signals": [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)],
        "hooks": (str(sys.excepthook), str(sys.displayhook)),
        "cuda": torch.cuda.is_initialized(),
    }


def changes(snippet):
    before = state()
    exec(snippet, {})
    after = state()
    return [name for name in before if before[name] != after[name]]


print(json.dumps([changes(snippet) for snippet in json.load(sys.stdin)]))
"""

MISCHIEF = {
    "default dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "default device": "import torch; torch.set_default_device('meta')",
    "validation": "import torch; torch.distributions.Distribution.set_default_validate_args(False)",
    "torch generator": "import torch; torch.set_default_device('cpu'); torch.rand(1)",
    "numpy generator": "import numpy; numpy.random.rand()",
    "python generator": "import random; random.random()",
    "gradient mode": "import torch; torch.set_grad_enabled(False)",
    "threads": "import torch; torch.set_num_threads(3)",
    "matrix product precision": "import torch; torch.set_float32_matmul_precision('medium')",
    "deterministic": "import torch; torch.use_deterministic_algorithms(True)",
    "print options": "import torch; torch.set_printoptions(precision=9)",
    "patched": "import torch; torch.distributions.Normal = object",
    "numpy errors": "import numpy; numpy.seterr(all='raise')",
    "matplotlib": "import matplotlib; matplotlib.use('svg')",
    "warnings": "import warnings; warnings.simplefilter('ignore')",
    "logging": "import logging; logging.basicConfig(level=10)",
    "environment": "import os; os.environ['JENSEN_MISCHIEF'] = '1'",
    "path": "import sys; sys.path.append('.')",
    "signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "hooks": "import sys; sys.excepthook = print",
}

HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "lightning_fabric", "safetensors", "pooch", "tensorboard")
MODULES_AT_MOST = 900


@functools.cache
def observed() -> list[list[str]]:
    """What the import of every module of jensen changes, then what each mischief does."""
    everything = "\n".join(f"import {source.module}" for source in sources() if source.parts[-1] != "__main__")
    answer = subprocess.run(
        [sys.executable, "-c", OBSERVER],
        input=json.dumps([everything, *MISCHIEF.values()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_importing_every_module_changes_nothing():
    assert observed()[0] == []


@pytest.mark.parametrize("what", MISCHIEF)
def test_a_change_is_noticed(what):
    assert what in observed()[1 + list(MISCHIEF).index(what)]


def modules_after(statement: str) -> tuple[set[str], int]:
    """The heavy libraries in memory after a statement, and how many modules there are in all."""
    script = f"import sys\ntry:\n    {statement}\nexcept SystemExit as stop:\n    assert not stop.code\n"
    script += "print('\\n', *sorted(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    modules = answer.stdout.splitlines()[-1].split()
    return set(HEAVY) & set(modules), len(modules)


@pytest.mark.parametrize(
    "statement",
    [
        "import jensen",
        "from jensen import recipes",
        "import jensen.cli",
        "import jensen.cli; jensen.cli.main(['--help'])",
        "import jensen.cli; jensen.cli.main(['list'])",
        "import jensen.cli; jensen.cli.main(['fit', '--help'])",
    ],
)
def test_the_command_line_answers_without_heavy_libraries(statement):
    heavy, count = modules_after(statement)
    assert heavy == set()
    assert count <= MODULES_AT_MOST


def test_a_heavy_import_is_noticed():
    heavy, _ = modules_after("from jensen import bounds")
    assert "torch" in heavy
