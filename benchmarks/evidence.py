"""The evidence beside the peers: one run, medians, one table.

    python benchmarks/evidence.py [--repeats 3] [--only hmc,bridge,nested,stepping_stone,pima]

Every section is a module beside this one that says what is compared. Both sides run on one thread, in one process (R in
its own), and take turns. A ratio above 1 is to our advantage. Peers that are not installed are named and left out.
"""

import argparse
import os
import platform
import time

import torch

import bridge
import hmc
import nested
import pima
import stepping_stone
from measured import Row

SECTIONS = {
    "hmc": (hmc, "1,000 chains", "nutpie, 4 chains"),
    "bridge": (bridge, "jensen", "R's bridgesampling"),
    "nested": (nested, "jensen", "dynesty"),
    "stepping_stone": (stepping_stone, "one batch", "one by one"),
    "pima": (pima, "jensen", ""),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(SECTIONS))
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"--only takes {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread of {os.cpu_count()} cores")
    print(f"medians of {options.repeats} runs or more\n")
    print(f"{'':30}{'':>26}{'ours':>12}{'peer':>12}{'ratio':>9}")
    for name in names:
        section, mine, peer = SECTIONS[name]
        began = time.perf_counter()
        print(f"{name}: {mine} beside {peer}" if peer else f"{name}: {mine}")
        if line := section.missing():
            print(f"  left out: {line}")
        for each in section.rows(options.repeats):
            print(line_of(each), flush=True)
        print(f"  ({time.perf_counter() - began:.0f} s)\n", flush=True)


def line_of(row: Row) -> str:
    """The row in print."""
    peer = "" if row.theirs is None else f"{row.theirs:.3g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.1f}x"
    return f"  {row.case:28}{row.quantity:>26}{row.ours:>12.3g}{peer:>12}{ratio:>9}  {row.note}".rstrip()


if __name__ == "__main__":
    main()
