"""The nearest training image is the nearest one, whatever the size of the data."""

import pytest
import torch
from torch.testing import assert_close

from jensen.report import neighbours
from jensen.report.neighbours import nearest


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_nearest_is_found_in_every_piece_of_the_data(chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    images, train = (torch.rand(n, 12, generator=generator) for n in (9, 50))
    found = nearest(images, train)
    distances = (images[:, None] - train[None]).norm(dim=-1)
    assert torch.equal(found.place, distances.argmin(1))
    assert_close(found.distance, distances.amin(1))
    assert not torch.equal(found.place, distances.argmax(1))  # the control


def test_an_image_of_the_data_is_its_own_neighbour_at_no_distance():
    train = torch.rand(5000, 20, generator=torch.Generator().manual_seed(1))
    found = nearest(train[[4999, 3]], train)
    assert found.place.tolist() == [4999, 3]
    assert found.distance.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("images", "train"), [((2, 3), (4, 5)), ((3,), (4, 3)), ((2, 3), (0, 3))])
def test_shapes_that_do_not_fit_are_refused(images, train):
    with pytest.raises(ValueError, match="have no neighbours"):
        nearest(torch.zeros(images), torch.zeros(train))
