"""Bridge sampling on 10,000 draws of a ten-dimensional Gaussian beside R's bridgesampling on the very same draws.

R is timed inside R (`system.time`), its start and its reading of the draws left out, and so is ours; R waits while ours
runs, and the other way round.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from jensen._evidence import Evidence
from jensen.evidence.bridge import Proposal, bridge
from measured import Row, Timed, row, timed

__all__ = ["missing", "rows"]

DRAWS, DIM, PASSES = 10_000, 10, 5
METHODS: tuple[Proposal, ...] = ("normal", "warp3")
SCRIPT = """
suppressMessages(library(bridgesampling))
arguments <- commandArgs(trailingOnly = TRUE)
d <- as.integer(arguments[2])
x <- matrix(readBin(arguments[1], "double", n = 1e9), ncol = d, byrow = TRUE)
colnames(x) <- paste0("x", seq_len(d))
log_density <- function(s, data) -0.5 * sum(s^2)
lower <- setNames(rep(-Inf, d), colnames(x)); upper <- -lower
sample <- function(method) bridge_sampler(x, log_posterior = log_density, data = NULL, lb = lower, ub = upper,
                                          method = method, silent = TRUE)
orders <- file("stdin", "r")
while (length(method <- readLines(orders, 1)) > 0) {
  seconds <- system.time(found <- sample(method))
  cat(seconds[["elapsed"]], seconds[["user.self"]] + seconds[["sys.self"]], found$logml, "\\n"); flush(stdout())
}
"""


def log_density(x: Tensor) -> Tensor:
    """A standard Gaussian without its constant."""
    return -0.5 * x.square().sum(-1)


def ours(x: Tensor, method: Proposal, seed: int) -> Evidence:
    """One estimate."""
    return bridge(x, log_density, proposal=method, seed=seed)


@cache
def missing() -> str:
    """How to get the peer where it is not there."""
    command = ["Rscript", "-e", "library(bridgesampling)"]
    if shutil.which("Rscript") and not subprocess.run(command, capture_output=True, check=False).returncode:
        return ""
    return "R's bridgesampling: apt-get install r-cran-bridgesampling"


class _R:
    """An R that holds the draws and bridges to them when told to."""

    def __init__(self, x: Tensor, folder: Path) -> None:
        (folder / "draws.bin").write_bytes(x.numpy().tobytes())
        (folder / "bridge.R").write_text(SCRIPT)
        command = ["Rscript", str(folder / "bridge.R"), str(folder / "draws.bin"), str(x.shape[1])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, method: str) -> Timed:
        """One estimate."""
        print(method, file=self.process.stdin, flush=True)
        wall, cpu, log_z = map(float, self.process.stdout.readline().split())
        return Timed(wall, cpu, log_z)


@contextmanager
def _peer(x: Tensor) -> Iterator[_R | None]:
    if missing():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        r = _R(x, Path(folder))
        try:
            yield r
        finally:
            r.process.stdin.close()
            r.process.wait()


def rows(repeats: int) -> Iterator[Row]:
    """Milliseconds on the clock and on the processor for each proposal."""
    x = torch.randn(DRAWS, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with _peer(x) as r:
        for method in METHODS:
            mine: list[Timed] = []
            other: list[Timed] = []
            for i in range(PASSES * repeats + 1):
                mine += [timed(partial(ours, x, method, seed)) for seed in range(5 * i, 5 * i + 5)]
                if r is not None:
                    other.append(r.run(method))
            mine, other = mine[5:], other[1:]
            for quantity in ("wall", "cpu"):
                a, b = ([1e3 * getattr(each, quantity) for each in side] for side in (mine, other))
                yield row(f"{method} proposal", f"ms, {quantity}", a, b)
