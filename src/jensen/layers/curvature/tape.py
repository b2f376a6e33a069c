r"""A pass through a network that keeps what curvature needs: the rows that enter each layer, and gradients behind it.

For a layer $\Theta$ the Jacobian of an output $f_c$ on datum $b$ is $\sum_t g_{bct} a_{bt}^T$ with the rows $a_{bt}$ of
`Site.rows` and $g_{bct} = \partial f_c / \partial (\Theta a_{bt})$. It is a sum over $T$ of outer products, and is kept
as these two.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jensen.layers.curvature.sites import Site

__all__ = ["Tape", "record"]


class Tape:
    r"""One pass of a batch.

    Attributes:
        outputs: $f$, `(B, C)`, flattened where the network returns another shape.
        event: the shape of one datum's output.
        rows: $a$ of each site, `(B, T, G, I)`.
        direct: whether the outputs are those of the only site, untouched, so that $g_{bct}$ is the identity.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = list(sites)
        self.outputs, self.event = torch.empty(0), torch.Size()
        self.rows: list[Tensor] = [torch.empty(0)] * len(sites)
        self.direct = False
        self._pieces: list[list[Tensor]] = [[] for _ in sites]
        self._taps: list[list[Tensor]] = [[] for _ in sites]
        self._behind: Tensor | None = None

    def hook(self, index: int) -> Callable[..., Tensor]:
        """What to register on the layer of site `index`: it keeps the rows, and adds zeros to take gradients at."""

        def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            tap = torch.zeros_like(output, requires_grad=True)
            self._pieces[index].append(self.sites[index].rows(inputs[0].detach()))
            self._taps[index].append(tap)
            self._behind = output + tap
            return self._behind

        return keep

    def finish(self, outputs: Any, batch: int) -> None:
        """Take the network's outputs and see that every layer met each datum once, in the first axis.

        Raises:
            ValueError: if a layer was not called, or with another number of rows, or the outputs do not fit.
        """
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        if found[:1] != (batch,):
            raise ValueError(f"the network returns {found}; expected a tensor (B, ...) for the {batch} data given")
        for site, pieces in zip(self.sites, self._pieces, strict=True):
            if not pieces:
                raise ValueError(f"the network does not call its layer {site.name!r}; leave it out of `layers`")
            if any(len(piece) != batch for piece in pieces):
                sizes = [len(piece) for piece in pieces]
                raise ValueError(f"layer {site.name!r} sees {sizes} rows for {batch} data; keep the batch axis first")
        self.rows = [torch.cat(pieces, 1) for pieces in self._pieces]
        behind = self._behind
        untouched = behind is not None and outputs is behind and behind._version == 0
        self.direct = untouched and len(self.sites) == 1 and outputs.ndim == 2 and self.rows[0].shape[1:3] == (1, 1)
        self.outputs, self.event = outputs.flatten(1) if outputs.ndim > 1 else outputs.unsqueeze(1), outputs.shape[1:]

    def gradients(self, direction: Tensor) -> list[Tensor]:
        r"""$\sum_c v_{bc} g_{bct}$ behind each site, `(B, T, G, O)`, for directions $v$ `(B, C)`."""
        taps = [tap for calls in self._taps for tap in calls]
        found = torch.autograd.grad(self.outputs, taps, direction, retain_graph=True, materialize_grads=True)
        ends, remaining = [], iter(found)
        for site, calls in zip(self.sites, self._taps, strict=True):
            ends.append(torch.cat([site.columns(next(remaining)) for _ in calls], 1))
        return ends

    def jacobian(self) -> list[Tensor]:
        """$g$ of each site, `(C, B, T, G, O)`: as many passes backward as there are outputs."""
        one = torch.eye(self.outputs.shape[1], dtype=self.outputs.dtype, device=self.outputs.device)
        passes = [self.gradients(one[c].expand_as(self.outputs)) for c in range(len(one))]
        return [torch.stack(ends) for ends in zip(*passes, strict=True)]


def record(network: nn.Module, sites: Sequence[Site], inputs: Tensor) -> Tape:
    """Pass a batch through a network and keep what enters its sites.

    Args:
        network: any module; its parameters need no gradient.
        sites: layers of it.
        inputs: `(B, *event)`.

    Returns:
        The tape.

    Raises:
        ValueError: if a site is not called, or the batch is not its first axis.

    Example:
        >>> from jensen.layers.curvature.sites import find_sites
        >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        >>> tape = record(network, find_sites(network, "all"), torch.zeros(5, 2))
        >>> [tuple(rows.shape) for rows in tape.rows], [tuple(g.shape) for g in tape.jacobian()]
        ([(5, 1, 1, 3), (5, 1, 1, 4)], [(1, 5, 1, 1, 3), (1, 5, 1, 1, 1)])
    """
    tape = Tape(sites)
    handles = [site.layer.register_forward_hook(tape.hook(index)) for index, site in enumerate(sites)]
    try:
        with torch.enable_grad():
            tape.finish(network(inputs), len(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return tape
