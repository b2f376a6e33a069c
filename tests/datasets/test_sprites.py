import pytest
import torch
from torch.testing import assert_close

from jensen.datasets import sprites


@pytest.fixture(scope="module")
def world():
    return sprites.load()


def test_every_combination_is_there_once(world):
    assert world.sizes == (3, 3, 8, 8)
    assert len(torch.unique(world.factors, dim=0)) == len(world.images) == 3 * 3 * 8 * 8
    assert world.images.dtype == torch.float32
    assert 0 <= world.images.min() < 0.01 < 0.9 < world.images.max() <= 1


def test_no_two_images_are_alike(world):
    distance = torch.cdist(world.images, world.images) + 99 * torch.eye(len(world.images))
    assert distance.min() > 0.5


@pytest.mark.parametrize(("factor", "axis"), [("x", 2), ("y", 1)])
def test_the_next_place_is_the_image_moved_by_a_pixel(world, factor, axis):
    column = world.names.index(factor)
    here, there = (world.factors[:, column] < 7, world.factors[:, column] > 0)
    one, other = (world.images[each].reshape(-1, 16, 16) for each in (here, there))
    assert_close(one.narrow(axis, 0, 15), other.narrow(axis, 1, 15))


def test_no_sprite_leaves_the_image(world):
    frame = world.images.reshape(-1, 16, 16)
    border = torch.cat([frame[:, 0], frame[:, -1], frame[:, :, 0], frame[:, :, -1]], 1)
    assert border.max() < 0.5, "where it is half bright, the sprite ends"


def test_a_larger_sprite_is_brighter_at_every_pixel(world):
    scale = world.factors[:, 1]
    small, large = world.images[scale == 0], world.images[scale == 2]
    assert (large.sum(1) > 1.5 * small.sum(1)).all()
    assert (large - small).min() > -1e-3


def test_shapes_by_hand():
    world = sprites.load(side=16, scales=1, places=1)
    disc, square, star = world.images.reshape(3, 16, 16)
    centre = 7.5
    assert disc.shape == (16, 16)
    for image in (disc, square, star):
        assert_close(image, image.flip(0).flip(1), atol=0.25, rtol=0)
    assert square.sum() > disc.sum() > star.sum()
    radius = 2.0
    far = (torch.tensor([[6.0, 6.0]]) - centre).abs() / radius
    expected = torch.sigmoid((1 - far.norm()) * radius / sprites.EDGE)
    assert_close(disc[6, 6], expected)


@pytest.mark.parametrize("wrong", [{"side": 0}, {"scales": 0}, {"places": 0}, {"places": 10}])
def test_worlds_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="sprites need"):
        sprites.load(**wrong)


def test_images_without_their_factors_are_refused(world):
    with pytest.raises(ValueError, match="expected"):
        sprites.FactorWorld(world.images[:5], world.factors, world.names, world.shape)
