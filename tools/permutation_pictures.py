"""Draws on and around the Birkhoff polytope of three things at three temperatures, for `docs/permutations.md`."""

import argparse
import math

import torch
from torch import Tensor

from jensen.distributions.permutation_matrices import all_permutations
from jensen.distributions.rounded_birkhoff import RoundedBirkhoff
from jensen.distributions.stick_breaking_birkhoff import StickBreakingBirkhoff


def hexagon(x: Tensor) -> Tensor:
    """A linear map of 3 x 3 matrices `(*batch, 3, 3)` to the plane that puts the six permutations on a hexagon."""
    m, n = torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")
    turns = torch.exp(2j * math.pi * (m - n) / 3) - torch.exp(2j * math.pi * (m + n) / 3)
    return torch.view_as_real((x * turns / 3).sum((-2, -1)))


def main() -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="docs/assets/pictures/permutations-birkhoff.png")
    options = parser.parse_args()
    torch.manual_seed(0)
    corners = hexagon(torch.nn.functional.one_hot(all_permutations(3), 3).float())
    corners = corners[torch.atan2(corners[:, 1], corners[:, 0]).argsort()]
    edge = torch.cat([corners, corners[:1]])
    figure, grid = plt.subplots(2, 3, figsize=(7.5, 5.2), sharex=True, sharey=True)
    for column, tau in enumerate((1.0, 0.5, 0.1)):
        families = (
            ("stick breaking", StickBreakingBirkhoff(torch.zeros(2, 2), torch.full((), 2.0), tau=tau)),
            ("rounding", RoundedBirkhoff(torch.zeros(3, 3), torch.full((), 0.4**2), tau=tau)),
        )
        for row, (name, q) in enumerate(families):
            axes = grid[row, column]
            x, y = hexagon(q.sample(torch.Size((1500,)))).T
            axes.plot(*edge.T, color="0.6", linewidth=1)
            axes.scatter(x, y, s=2, alpha=0.5, color="#3949ab", linewidths=0)
            axes.scatter(*corners.T, s=14, color="black", zorder=3)
            axes.set_title(rf"{name}, $\tau$ = {tau:g}", fontsize=9)
            axes.set_aspect("equal")
            axes.axis("off")
    figure.tight_layout()
    figure.savefig(options.out, dpi=130)


if __name__ == "__main__":
    main()
