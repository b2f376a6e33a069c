"""The wiring of the roundworm *Caenorhabditis elegans*: 279 neurons, their places, synapses and gap junctions.

Below `$JENSEN_DATA` the files are `celegans/NeuronConnect.csv` and `celegans/NeuronType.csv`: the tables of WormAtlas,
as comma-separated values in the repository of the authors who match neurons with them. Their checksums are of those
copies. No licence is stated. Neurons are those of the second table; VC06, which has no place in it, and connections to
muscles (type `NMJ`) are left out.
"""

import csv
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jensen.datasets._fetch import Source, fetch

__all__ = ["Connectome", "load", "read_connections", "read_positions"]

ADDRESS = "https://raw.githubusercontent.com/slinderman/birkhoff/39c92b74a6dc63215da18eeb1e98c4039be0de1d/data/"
CONNECTIONS = Source(
    "celegans/NeuronConnect.csv",
    (f"{ADDRESS}NeuronConnect.csv",),
    ("sha256:e966a6b99d7fee34417353ffbf22789181ca52e9fb3f53df43843f0645b4de78",),
)
POSITIONS = Source(
    "celegans/NeuronType.csv",
    (f"{ADDRESS}NeuronType.csv",),
    ("sha256:4dda526e11fea2e455390e9750c640d203c3912bf8f98ca2483b3caafa4f5084",),
)
SENDS = ("S", "Sp")
GAP = "EJ"


@dataclass(frozen=True, eq=False, repr=False)
class Connectome:
    """Neurons, where they are, and how many contacts there are between any two.

    Attributes:
        names: what the neurons are called.
        positions: place of the cell body along the worm, 0 the head and 1 the tail, `(N,)`.
        synapses: chemical synapses, entry `[m, n]` from neuron `m` to neuron `n`, `(N, N)`.
        gap_junctions: electrical contacts, symmetric, `(N, N)`.

    Example:
        >>> pair = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
        >>> Connectome(("ADAL", "ADAR"), torch.tensor([0.21, 0.21]), pair, 0 * pair)
        Connectome(neurons=2, synapses=2, gap_junctions=0)
    """

    names: tuple[str, ...]
    positions: Tensor
    synapses: Tensor
    gap_junctions: Tensor

    def __post_init__(self) -> None:
        """Refuse tables that do not fit."""
        size = len(self.names)
        for name, shape in (("positions", (size,)), ("synapses", (size, size)), ("gap_junctions", (size, size))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {tuple(getattr(self, name).shape)}; expected {shape}")

    def __repr__(self) -> str:
        """The sizes, not the numbers."""
        contacts = f"synapses={self.synapses.sum():g}, gap_junctions={self.gap_junctions.triu().sum():g}"
        return f"Connectome(neurons={len(self.names)}, {contacts})"

    @property
    def connected(self) -> Tensor:
        """Whether two neurons are in contact of any kind and direction, boolean and symmetric, `(N, N)`."""
        contacts = self.synapses + self.gap_junctions
        return (contacts + contacts.T) > 0

    def candidates(self, tolerance: float, *, positions: Tensor | None = None) -> Tensor:
        """Whether an observed neuron is close enough to a neuron of the map, boolean `(N, N)`.

        Args:
            tolerance: how far from its place on the map it may be, in body lengths.
            positions: where the neurons are observed, `(N,)`; where the map has them if not given.
        """
        observed = self.positions if positions is None else positions
        return (observed.unsqueeze(-1) - self.positions).abs() <= tolerance + 1e-6

    def part(self, index: Tensor) -> "Connectome":
        """The neurons at the places `index`, a long tensor, and the contacts among them."""
        names = tuple(self.names[i] for i in index.tolist())
        among = (each[index][:, index] for each in (self.synapses, self.gap_junctions))
        return Connectome(names, self.positions[index], *among)


def load() -> Connectome:
    """The 279 neurons: from `$JENSEN_DATA`, else the cache, else the public address, checksums verified.

    Raises:
        ValueError: if a file fails its checksum (`CorruptFileError`).
        DownloadError: if a file is neither in `$JENSEN_DATA` nor to be had from its address.

    References:
        | Structural Properties of the Caenorhabditis elegans Neuronal Network (Varshney et al., 2011)
        | https://doi.org/10.1371/journal.pcbi.1001066
        | Reparameterizing the Birkhoff Polytope for Variational Permutation Inference (Linderman et al., 2018)
        | https://arxiv.org/abs/1710.09508v1
    """
    positions = read_positions(fetch(POSITIONS))
    synapses, gap_junctions = read_connections(fetch(CONNECTIONS), list(positions))
    return Connectome(tuple(positions), torch.tensor(list(positions.values())), synapses, gap_junctions)


def read_positions(data: bytes) -> dict[str, float]:
    r"""Names and places in a table with the columns `Neuron` and `Soma Position`.

    Raises:
        ValueError: if a column is missing, or a place is no number.

    Example:
        >>> read_positions(b"Neuron,Soma Position,Soma Region\r\nADAL,0.21,H\r\n")
        {'ADAL': 0.21}
    """
    return {row["Neuron"].upper(): float(row["Soma Position"]) for row in _rows(data, "Neuron", "Soma Position")}


def read_connections(data: bytes, names: list[str]) -> tuple[Tensor, Tensor]:
    r"""Synapses and gap junctions among the named neurons, two matrices `(N, N)`.

    Of the two entries that a synapse has in the table, that of the sender is read.

    Args:
        data: a table with the columns `Neuron 1`, `Neuron 2`, `Type` and `Nbr`.
        names: the neurons, in the order of rows and columns.

    Raises:
        ValueError: if a column is missing, or a number of contacts is none.

    Example:
        >>> table = b"Neuron 1,Neuron 2,Type,Nbr\nA,B,Sp,3\nB,A,Rp,3\nA,B,EJ,1\nB,A,EJ,1\n"
        >>> [each.tolist() for each in read_connections(table, ["A", "B"])]
        [[[0.0, 3.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]
    """
    place = {name: i for i, name in enumerate(names)}
    synapses, gaps = np.zeros((2, len(names), len(names)), dtype=np.float32)
    for row in _rows(data, "Neuron 1", "Neuron 2", "Type", "Nbr"):
        ends = place.get(row["Neuron 1"].upper()), place.get(row["Neuron 2"].upper())
        if None in ends:
            continue
        if row["Type"] in SENDS:
            synapses[ends] += float(row["Nbr"])
        elif row["Type"] == GAP:
            gaps[ends] += float(row["Nbr"])
    return torch.from_numpy(synapses), torch.from_numpy(gaps)


def _rows(data: bytes, *columns: str) -> list[dict[str, str]]:
    lines = [[cell.strip() for cell in line] for line in csv.reader(data.decode("utf-8-sig").splitlines())]
    missing = set(columns) - set(lines[0] if lines else [])
    if missing:
        raise ValueError(f"the table has no column {', '.join(sorted(missing))}; found {lines[:1]}")
    return [dict(zip(lines[0], line, strict=False)) for line in lines[1:] if any(line)]
