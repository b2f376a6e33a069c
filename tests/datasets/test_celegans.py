import dataclasses
import hashlib

import pytest
import torch
from torch.testing import assert_close

from jensen.datasets import CorruptFileError, DownloadError, celegans

CONNECTIONS = b"""Neuron 1,Neuron 2,Type,Nbr,
ADAL,ADEL,S,3,
ADEL,ADAL,R,3,
ADEL,avfl,Sp,2,
AVFL,ADEL,Rp,2,
ADAL,AVFL,EJ,4,
AVFL,ADAL,EJ,4,
VC06,ADAL,S,9,
ADAL,NMJ,NMJ,7,
"""
POSITIONS = b"Neuron,Soma Position,Soma Region, Span \r\nADAL,0.21,H,S\r\nADEL,0.27,H,S\r\nAVFL,0.8,T,L\r\n"


@pytest.fixture
def worm(folder, monkeypatch):
    """Three neurons in the published form."""
    (folder / "celegans").mkdir()
    for name, data in (("CONNECTIONS", CONNECTIONS), ("POSITIONS", POSITIONS)):
        source = getattr(celegans, name)
        checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        monkeypatch.setattr(celegans, name, dataclasses.replace(source, checksums=(checksum,)))
        (folder / source.path).write_bytes(data)
    return folder


def test_contacts_and_places_are_those_of_the_tables(worm):
    connectome = celegans.load()
    assert connectome.names == ("ADAL", "ADEL", "AVFL")
    assert connectome.synapses.tolist() == [[0, 3, 0], [0, 0, 2], [0, 0, 0]]
    assert connectome.gap_junctions.tolist() == [[0, 0, 4], [0, 0, 0], [4, 0, 0]]
    assert connectome.connected.tolist() == [[False, True, True], [True, False, True], [True, True, False]]
    assert_close(connectome.positions, torch.tensor([0.21, 0.27, 0.8]))
    assert repr(connectome) == "Connectome(neurons=3, synapses=5, gap_junctions=4)"


def test_candidates_are_the_neighbours_along_the_body(worm):
    connectome = celegans.load()
    assert connectome.candidates(0.06).tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    seen = torch.tensor([0.25, 0.5, 0.9])
    assert connectome.candidates(0.1, positions=seen).tolist() == [
        [True, True, False],
        [False, False, False],
        [False, False, True],
    ]


def test_a_part_keeps_the_contacts_among_its_neurons(worm):
    part = celegans.load().part(torch.tensor([2, 0]))
    assert part.names == ("AVFL", "ADAL")
    assert part.gap_junctions.tolist() == [[0, 4], [4, 0]]
    assert part.synapses.sum() == 0


def test_another_file_is_refused(worm):
    (worm / "celegans/NeuronConnect.csv").write_bytes(CONNECTIONS + b"ADAL,ADEL,S,1,\n")
    with pytest.raises(CorruptFileError, match="is not the published file"):
        celegans.load()


def test_without_files_the_public_address_is_asked(folder, no_network):
    with pytest.raises(DownloadError, match=r"\$JENSEN_DATA/celegans/NeuronType.csv"):
        celegans.load()
    assert no_network == [celegans.POSITIONS.addresses[0]]


def test_a_table_without_its_columns_is_refused():
    with pytest.raises(ValueError, match="no column Nbr, Type"):
        celegans.read_connections(b"Neuron 1,Neuron 2\nA,B\n", ["A"])
    with pytest.raises(ValueError, match="no column Neuron, Soma Position"):
        celegans.read_positions(b"")


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"positions has shape \(3,\); expected \(2,\)"):
        celegans.Connectome(("A", "B"), torch.zeros(3), torch.zeros(2, 2), torch.zeros(2, 2))


def test_the_published_connectome(real):
    real("celegans/NeuronConnect.csv", "celegans/NeuronType.csv")
    connectome = celegans.load()
    assert len(connectome.names) == 279
    assert torch.equal(connectome.gap_junctions, connectome.gap_junctions.T)
    assert (connectome.synapses > 0).sum() == 2194
    assert connectome.connected.any(1).all()
    assert connectome.positions.min() > 0.06
    assert connectome.positions.max() < 0.84
