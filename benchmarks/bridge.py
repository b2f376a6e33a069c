"""Bridge sampling on the draws of a ten-dimensional Gaussian: ours beside R's bridgesampling on the very same draws.

R is timed inside R (`system.time`, elapsed), its start and its reading of the draws left out, and so is ours; runs of
both take turns. The table has medians and minima in milliseconds and the ratio of the medians. Without `Rscript` or
the package only ours is shown.

    python benchmarks/bridge.py [--draws 10000] [--dim 10] [--repeats 15] [--threads 1]
"""

import argparse
import math
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jensen.evidence.bridge import Proposal, bridge

METHODS: tuple[Proposal, ...] = ("normal", "warp3")
SCRIPT = """
suppressMessages(library(bridgesampling))
arguments <- commandArgs(trailingOnly = TRUE)
d <- as.integer(arguments[2])
x <- matrix(readBin(arguments[1], "double", n = 1e9), ncol = d, byrow = TRUE)
colnames(x) <- paste0("x", seq_len(d))
log_density <- function(s, data) -0.5 * sum(s^2)
lower <- setNames(rep(-Inf, d), colnames(x)); upper <- -lower
sample <- function() bridge_sampler(x, log_posterior = log_density, data = NULL, lb = lower, ub = upper,
                                    method = arguments[3], silent = TRUE)
invisible(sample())
for (i in seq_len(as.integer(arguments[4]))) {
  seconds <- system.time(found <- sample())[["elapsed"]]
  cat(seconds, found$logml, "\\n")
}
"""


def log_density(x: Tensor) -> Tensor:
    """A standard Gaussian without its constant."""
    return -0.5 * x.square().sum(-1)


def ours(x: Tensor, method: Proposal, repeats: int) -> tuple[list[float], float]:
    """Seconds of each run, and the last log Z."""
    bridge(x, log_density, proposal=method)
    seconds, log_z = [], math.nan
    for i in range(repeats):
        start = time.perf_counter()
        log_z = bridge(x, log_density, proposal=method, seed=i).log_z
        seconds.append(time.perf_counter() - start)
    return seconds, log_z


def theirs(path: Path, dim: int, method: Proposal, repeats: int) -> tuple[list[float], float]:
    """The same of R."""
    script = path.with_name("bridge.R")
    script.write_text(SCRIPT)
    command = ["Rscript", str(script), str(path), str(dim), method, str(repeats)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [[float(each) for each in line.split()] for line in said.splitlines()]
    return [row[0] for row in rows], rows[-1][1]


def has_peer() -> bool:
    """Whether R is there, and the package in it."""
    if shutil.which("Rscript") is None:
        return False
    return (
        subprocess.run(["Rscript", "-e", "library(bridgesampling)"], capture_output=True, check=False).returncode == 0
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("draws", 10_000), ("dim", 10), ("repeats", 15), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x = torch.randn(options.draws, options.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = options.dim / 2 * math.log(2 * math.pi)
    peer = has_peer()
    print(f"{options.draws} draws in {options.dim} dimensions, {options.threads} thread(s), exact log Z {exact:.5f}")
    print(f"{'method':<8} {'who':<16} {'median ms':>10} {'least ms':>10} {'log Z':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draws.bin"
        path.write_bytes(np.ascontiguousarray(x.numpy()).tobytes())
        for method in METHODS:
            mine: list[float] = []
            other: list[float] = []
            log_z = log_z_of_peer = math.nan
            for _ in range(3):
                seconds, log_z = ours(x, method, options.repeats)
                mine += seconds
                if peer:
                    seconds, log_z_of_peer = theirs(path, options.dim, method, options.repeats)
                    other += seconds
            median = statistics.median(mine)
            row(method, "jensen", mine, log_z, 1.0)
            if peer:
                row(method, "bridgesampling", other, log_z_of_peer, statistics.median(other) / median)


def row(method: str, who: str, seconds: list[float], log_z: float, ratio: float) -> None:
    """One line of the table."""
    median, least = 1e3 * statistics.median(seconds), 1e3 * min(seconds)
    print(f"{method:<8} {who:<16} {median:>10.2f} {least:>10.2f} {log_z:>10.5f} {ratio:>6.1f}x")


if __name__ == "__main__":
    main()
