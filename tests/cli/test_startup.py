"""Help and lists are instant: no torch, and little else."""

import resource
import subprocess
import sys

import pytest

QUICK = [
    ["--help"],
    ["list"],
    ["fit", "--help"],
    ["--version"],
    ["fit", "iwae-mnits"],
    ["evaluate", "absent"],
    ["fti"],
    ["run", "toys"],
    ["run", "-h"],
]
PROGRAM = "import sys; from jensen.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_torch_is_not_loaded_to_answer(words, tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_is_loaded_to_work(tmp_path):
    words = ["fit", "--data", "absent"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("words", [["--help"], ["list"]], ids=" ".join)
def test_the_answer_takes_less_than_half_a_second_of_processor_time(words):
    assert min(_processor_seconds([sys.executable, "-m", "jensen.cli", *words]) for _ in range(3)) < 0.5


def _processor_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
