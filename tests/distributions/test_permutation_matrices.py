import math

import pytest
import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

from jensen.distributions.permutation_matrices import all_permutations, doubly_stochastic, nearest_permutation


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_nearest_is_the_nearest_of_all(draw, size):
    x = draw(4, 5, size, size)
    every = one_hot(all_permutations(size), size).to(x)  # (N!, N, N)
    distance = (x.unsqueeze(-3) - every).square().sum((-2, -1))
    assert_close(nearest_permutation(x), every[distance.argmin(-1)])


def test_greedy_choices_are_not_the_nearest():
    x = torch.tensor([[0.9, 0.8], [0.7, 0.1]])
    greedy = one_hot(x.argmax(-1), 2).to(x)
    assert not torch.equal(nearest_permutation(x), greedy)
    assert (nearest_permutation(x) * x).sum() > x[0, 0] + x[1, 1]


def test_forbidden_entries_are_avoided_whatever_the_rest_is():
    x = torch.tensor([[9.0, 0.0, -math.inf], [9.0, -math.inf, 0.0], [0.0, 9.0, 9.0]])
    x[0, 0] = -math.inf
    assert nearest_permutation(x).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_type_and_shape_are_kept(dtype):
    assert nearest_permutation(torch.zeros(0, 3, 3, dtype=dtype)).shape == (0, 3, 3)
    assert nearest_permutation(torch.rand(2, 3, 3, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3), "expected square matrices"),
        (torch.zeros(2, 3), "expected square matrices"),
        (torch.full((1, 2, 2), math.nan), "matrix 0 of 1 has no nearest permutation"),
        (torch.tensor([[0.0, -math.inf], [0.0, -math.inf]]), "infeasible"),
    ],
)
def test_what_has_no_nearest_permutation_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        nearest_permutation(x)


@pytest.mark.parametrize("size", [1, 2, 6])
def test_all_permutations_are_all(size):
    every = all_permutations(size)
    assert len(set(map(tuple, every.tolist()))) == len(every) == math.factorial(size)
    assert torch.equal(every.sort(-1)[0], torch.arange(size).expand_as(every))


@pytest.mark.parametrize("size", [0, 10])
def test_too_many_to_list(size):
    with pytest.raises(ValueError, match=f"from 1 to 9 to list all permutations, got {size}"):
        all_permutations(size)


def test_the_constraint_tells_members_of_the_polytope():
    third = torch.full((3, 3), 1 / 3)
    wrong = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.4, 0.5]])
    outside = torch.tensor([[1.1, -0.1], [-0.1, 1.1]])
    assert doubly_stochastic.check(torch.stack([third, torch.eye(3), wrong, third * math.nan])).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert not doubly_stochastic.check(outside)
    assert not doubly_stochastic.check(torch.ones(1, 3)).any()
