import io
import math

import numpy as np
import pytest
from rich.console import Console

from jensen.evaluation import BoundEstimate
from jensen.evaluation.coding import Coded, Peer
from jensen.evaluation.coding.weighing import Weighing
from jensen.report.coding import bound_table, coders_table


@pytest.fixture
def found():
    """Two images of 4 x 4 pixels at 3 bits a pixel, one word of four to begin with."""
    coded = Coded(np.ones(4, np.uint32), 1, (), images=120.0, latents=24.0, back=45.0)
    elbo = BoundEstimate("elbo", 1, -48 * math.log(2), 0.0, 0.16 * math.log(2))
    peers = (Peer("gzip", 528, 184, "bits", "bits"), Peer("bz2", 900, 320, "bytes", "bits"))
    return Weighing((2, 4, 4), 2, 5, 12, elbo, 100, coded, 80, 4000, peers, 0.5, verified=True)


def lines(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    return [line.split() for line in console.export_text().splitlines() if line.strip()]


def test_rates_are_bits_of_a_dimension(found):
    assert (found.bound, found.net, found.gross, found.whole) == pytest.approx((3.0, 3.0, 4.0, 20.0))
    assert found.content == pytest.approx(99 / 32)
    assert found.bound_error == pytest.approx(0.01)
    assert found.spread == pytest.approx(0.1)


def test_the_table_has_the_bound_and_every_length_of_the_code(found):
    rows = lines(bound_table(found))
    assert rows[0] == ["2", "images", "of", "4", "x", "4,", "2", "levels"]
    numbers = [row[-3:] for row in rows[3:8]]
    assert numbers[0] == ["3.0000", "12", "1.0000"]
    assert numbers[2] == ["3.0000", "12", "1.0000"]
    assert numbers[3] == ["4.0000", "16", "1.3333"]
    assert numbers[4] == ["20.0000", "80", "6.6667"]
    assert "4,000 bytes" in " ".join(word for row in rows[8:] for word in row)


def test_other_coders_stand_below(found):
    rows = lines(coders_table(found))
    assert rows[2] == ["bits", "back", "20.0000", "80", "latents"]
    assert rows[3] == ["gzip", "16.5000", "5.7500", "23", "bits"]
    assert rows[4] == ["bz2", "28.1250", "10.0000", "40", "bytes,", "bits"]
