"""Perfect codes have score one, mixed codes less; information by bins is that of the enumerated joint distribution."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from jensen.datasets import Pairs
from jensen.evaluation import dci, dci_of_importance, disentanglement, factor_vae_score, mutual_information_gap

FACTORS = torch.tensor(list(product(range(4), range(3), range(2))))
TURN = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0)))[0]


def centred(factors):
    values = factors.double()
    return (values - values.mean(0)) / values.std(0)


def scores(codes, factors=FACTORS):
    factors = factors.repeat(20, 1)
    codes = torch.as_tensor(codes).double().repeat(20, 1)
    pairs = Pairs(codes, factors)
    found = dci(pairs, pairs, trees=20)
    return {
        "gap": mutual_information_gap(codes, factors).value,
        "disentanglement": found.disentanglement,
        "completeness": found.completeness,
        "votes": factor_vae_score(codes, factors, votes=100, seed=3).value,
    }


def test_perfect_codes_have_score_one_in_any_order_sign_and_size():
    codes = centred(FACTORS)
    for each in (codes, codes[:, [2, 0, 1]], -codes * torch.tensor([1.0, 30.0, 7.0]) + 5):
        assert scores(each) == pytest.approx(dict.fromkeys(("gap", "disentanglement", "completeness", "votes"), 1.0))


def test_perfect_codes_may_be_small():
    """The negative control: a threshold on the variance makes units that are merely small abstain."""
    small = 0.01 * centred(FACTORS).repeat(20, 1)
    factors = FACTORS.repeat(20, 1)
    assert factor_vae_score(small, factors, votes=100).value == 1
    assert factor_vae_score(small, factors, votes=600, least_variance=0.05).value < 0.5


def test_codes_that_tell_nothing_have_no_score():
    """A design in which every code meets every combination of factors equally often, so that nothing is told."""
    factors = FACTORS.repeat_interleave(8, 0)
    codes = torch.tensor(list(product((-1.0, 1.0), repeat=3))).repeat(len(FACTORS), 1)
    gap = mutual_information_gap(codes, factors)
    assert gap.value == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(gap.information, 0, atol=1e-12)
    alike = dci_of_importance(np.ones((3, 3)))
    assert (alike.disentanglement, alike.completeness) == pytest.approx((0, 0), abs=1e-12)
    found = dci(Pairs(codes, factors), Pairs(codes, factors), trees=20)
    assert (found.disentanglement, found.completeness) == pytest.approx((0, 0), abs=0.05)
    noise = torch.randn(960, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    chance = factor_vae_score(noise, FACTORS.repeat(40, 1), votes=800)
    assert abs(chance.value - 1 / 3) < 4.56 * math.sqrt(2 / 9 / 800) + 0.05


def test_a_turn_of_perfect_codes_has_lower_scores_though_it_tells_as_much():
    found = scores(centred(FACTORS) @ TURN)
    assert found["gap"] < 0.3
    assert found["disentanglement"] < 0.7
    assert found["completeness"] < 0.7
    assert found["votes"] < 0.95


def test_scores_take_no_notice_of_the_order_of_units_factors_and_data():
    codes = centred(FACTORS) @ TURN
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(1))
    one = mutual_information_gap(codes, FACTORS)
    other = mutual_information_gap(codes[order][:, [1, 2, 0]], FACTORS[order][:, [2, 0, 1]])
    assert other.value == pytest.approx(one.value, abs=1e-12)
    np.testing.assert_allclose(np.array(other.information), np.array(one.information)[[1, 2, 0]][:, [2, 0, 1]])
    R = np.random.default_rng(0).random((4, 3))
    whole, mixed = dci_of_importance(R), dci_of_importance(R[[2, 0, 3, 1]][:, [1, 2, 0]])
    assert (mixed.disentanglement, mixed.completeness) == pytest.approx((whole.disentanglement, whole.completeness))


def test_units_that_never_move_change_nothing():
    codes = torch.cat([centred(FACTORS), torch.full((24, 2), 7.0)], 1)
    assert scores(codes) == pytest.approx(dict.fromkeys(("gap", "disentanglement", "completeness", "votes"), 1.0))
    still = torch.ones(24, 3)
    assert mutual_information_gap(still, FACTORS).value == 0
    found = dci(Pairs(still, FACTORS), Pairs(still, FACTORS), trees=5)
    assert (found.disentanglement, found.completeness) == (0.0, 0.0)
    votes = factor_vae_score(still, FACTORS, votes=600)
    assert abs(votes.value - 1 / 3) < 4.56 * math.sqrt(2 / 9 / 600) + 0.05


def test_two_units_with_the_same_factor_leave_no_gap_but_stay_disentangled():
    codes = torch.cat([centred(FACTORS)[:, :1], centred(FACTORS)], 1)
    found = mutual_information_gap(codes, FACTORS)
    assert found.gaps[0] == pytest.approx(0)
    assert found.gaps[1:] == pytest.approx((1, 1))
    assert scores(codes)["disentanglement"] == pytest.approx(1)
    assert scores(codes)["completeness"] < 0.95


def test_one_unit_with_two_factors_keeps_the_gap_and_loses_disentanglement():
    both = (3 * FACTORS[:, :1] + FACTORS[:, 1:2]).double()
    codes = torch.cat([both, FACTORS[:, 2:].double()], 1)
    assert mutual_information_gap(codes, FACTORS).value == pytest.approx(1)
    assert scores(codes)["disentanglement"] < 0.75


def test_information_is_that_of_the_enumerated_joint_distribution():
    """A noisy channel whose joint probabilities are multiples of 1/24, each datum as often as it is likely."""
    joint = np.array([[6, 1, 1], [2, 5, 1], [0, 1, 7]])
    pairs = [(i, j) for i, j in product(range(3), range(3)) for _ in range(joint[i, j])]
    code, factor = np.array(pairs).T
    p = joint / 24
    exact = sum(
        p[i, j] * math.log(p[i, j] / (p[i].sum() * p[:, j].sum())) for i, j in product(range(3), range(3)) if p[i, j]
    )
    found = mutual_information_gap(code[:, None] * 0.37 - 2, factor[:, None], bins=3)
    assert found.information[0][0] == pytest.approx(exact, abs=1e-12)
    entropy = -sum(q * math.log(q) for q in p.sum(0))
    assert found.value == pytest.approx(exact / entropy, abs=1e-12)


def test_bins_split_the_range_evenly_and_the_largest_value_stays_in_the_last():
    assert disentanglement._binned(np.array([0.0, 0.24, 0.26, 0.5, 0.99, 1.0]), 4).tolist() == [0, 0, 1, 2, 3, 3]
    coarse = mutual_information_gap(FACTORS[:, :1].double(), FACTORS[:, :1], bins=2)
    assert coarse.information[0][0] == pytest.approx(math.log(2)), "four values in two bins"


def test_disentanglement_and_completeness_by_hand():
    found = dci_of_importance([[3.0, 1.0], [0.0, 4.0]])
    mixed = 1 + (0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert found.disentanglement == pytest.approx(0.5 * mixed + 0.5)
    second = 1 + (0.2 * math.log(0.2) + 0.8 * math.log(0.8)) / math.log(2)
    assert found.completeness == pytest.approx((1 + second) / 2)
    assert math.isnan(found.informativeness)


def test_one_unit_or_one_factor_is_not_mixed():
    assert dci_of_importance([[2.0, 2.0]]).completeness == 1
    assert dci_of_importance([[2.0], [2.0]]).disentanglement == 1
    assert dci_of_importance([[0.0, 0.0]]).disentanglement == 0


def test_votes_without_the_scale_of_the_units_would_be_lost():
    """The negative control: unscaled variances let the smallest unit win every vote."""
    factors = FACTORS.repeat(20, 1)
    noise = torch.randn(len(factors), 3, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    codes = (centred(factors) + 0.3 * noise) * torch.tensor([1.0, 10.0, 100.0])
    rng = np.random.default_rng(0)
    votes = [disentanglement._vote(codes.numpy(), factors.numpy(), 32, rng) for _ in range(300)]
    assert np.mean([held == still for held, still in votes]) < 0.5
    assert factor_vae_score(codes, factors, votes=150, group=32).value > 0.95


def test_what_has_no_score_is_refused():
    codes = centred(FACTORS)
    with pytest.raises(ValueError, match=r"shapes \(24, 3\) and \(23, 3\)"):
        mutual_information_gap(codes, FACTORS[1:])
    with pytest.raises(ValueError, match="factor 1 has one value only"):
        mutual_information_gap(codes, FACTORS * torch.tensor([1, 0, 1]))
    with pytest.raises(ValueError, match="whole numbers"):
        factor_vae_score(codes, codes)
    with pytest.raises(ValueError, match="NaN"):
        mutual_information_gap(codes * math.nan, FACTORS)
    with pytest.raises(ValueError, match="bins is 0"):
        mutual_information_gap(codes, FACTORS, bins=0)
    with pytest.raises(ValueError, match="groups of two"):
        factor_vae_score(codes, FACTORS, group=1)
    with pytest.raises(ValueError, match="as many units and factors"):
        dci(Pairs(codes, FACTORS), Pairs(codes[:, :2], FACTORS))
    for importance in ([[1.0, -1.0]], [1.0, 2.0], [[1.0, math.inf]]):
        with pytest.raises(ValueError, match=r"importance of shape .* must be finite"):
            dci_of_importance(importance)
