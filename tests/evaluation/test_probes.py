import math

import numpy as np
import pytest
import torch

from jensen.datasets import Pairs
from jensen.evaluation import label_error, label_probabilities


def two_moons_of_classes(N, seed):
    """Four classes at the corners of a square, in the pattern that no line separates."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (N,), generator=generator)
    side = torch.randint(2, (N,), generator=generator)
    codes = torch.stack([side, side ^ labels], 1).double() + 0.1 * torch.randn(N, 2, generator=generator).double()
    return Pairs(codes, labels)


def test_a_code_with_the_label_in_it_has_no_error_and_noise_has_that_of_chance():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (300,), generator=generator)
    noise = torch.randn(300, 3, generator=generator)
    told = torch.cat([noise, 4.0 * labels[:, None]], 1)
    for probe in ("linear", "mlp"):
        assert label_error(Pairs(told[:200], labels[:200]), Pairs(told[200:], labels[200:]), probe=probe).value < 0.03
        found = label_error(Pairs(noise[:200], labels[:200]), Pairs(noise[200:], labels[200:]), probe=probe)
        assert abs(found.value - 0.8) < 4.56 * math.sqrt(0.16 / 100)
        assert found.std_error == pytest.approx(math.sqrt(found.value * (1 - found.value) / 99))


def test_a_perceptron_finds_what_a_line_does_not():
    train, test = two_moons_of_classes(400, 0), two_moons_of_classes(400, 1)
    assert label_error(train, test, probe="linear").value > 0.3
    assert label_error(train, test, probe="mlp").value < 0.02


def test_units_of_any_size_and_units_that_never_move_are_read_alike():
    train, test = two_moons_of_classes(300, 0), two_moons_of_classes(100, 1)

    def scaled(pairs):
        return Pairs(torch.cat([1e6 * pairs.inputs - 7, torch.ones(len(pairs), 1)], 1), pairs.targets)

    plain = label_error(train, test)
    assert label_error(scaled(train), scaled(test)).value == pytest.approx(plain.value, abs=0.02)


def test_a_label_that_was_never_seen_is_wrong_whatever_is_said():
    train = Pairs(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([2, 2, 7, 7]))
    probabilities, labels = label_probabilities(train, torch.tensor([[0.0], [5.0]]), probe="linear")
    assert labels.tolist() == [2, 7]
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert labels[probabilities.argmax(1)].tolist() == [2, 7]
    test = Pairs(torch.tensor([[0.0], [5.0], [5.0], [0.0]]), torch.tensor([2, 7, 9, 0]))
    assert label_error(train, test, probe="linear").value == 0.5


def test_what_cannot_be_probed_is_refused():
    good = Pairs(torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 0, 1]))
    with pytest.raises(ValueError, match="unknown probe"):
        label_error(good, good, probe="tree")
    with pytest.raises(ValueError, match="all training labels are 1"):
        label_error(Pairs(good.inputs, torch.ones(6, dtype=torch.long)), good)
    for halves in (good.targets / 2, good.targets / 0):
        with pytest.raises(ValueError, match="training labels"):
            label_error(Pairs(good.inputs, halves), good)
    with pytest.raises(ValueError, match="test labels are no whole numbers"):
        label_error(good, Pairs(good.inputs, good.targets / 2))
    with pytest.raises(ValueError, match="codes of one width"):
        label_error(good, Pairs(torch.randn(6, 3), good.targets))
    with pytest.raises(ValueError, match="NaN"):
        label_error(Pairs(good.inputs * math.nan, good.targets), good)
    with pytest.raises(ValueError, match=r"give finite numbers, \(N, D\)"):
        label_error(Pairs(good.inputs[:, 0], good.targets), good)
