import builtins

import numpy as np
import pytest

from jensen.evaluation.coding.ans import PROBABILITY_BITS, Stack, random_words, round_probability


@pytest.fixture
def noise():
    return np.random.default_rng(0)


def test_what_is_pushed_comes_back_and_leaves_the_stack_as_it_was(noise):
    before = random_words(40)
    stack = Stack(before)
    p, weights = noise.random(500), noise.integers(1, 1 << 22, (300, 17)).astype(float)
    bits, levels, indices = noise.integers(0, 2, 500), noise.integers(0, 17, 300), noise.integers(0, 4096, 100)
    stack.push_bits(bits, p)
    stack.push_levels(levels, weights)
    stack.push_uniform(indices, 12)
    np.testing.assert_array_equal(stack.pop_uniform(100, 12), indices)
    np.testing.assert_array_equal(stack.pop_levels(weights), levels)
    np.testing.assert_array_equal(stack.pop_bits(p), bits)
    np.testing.assert_array_equal(stack.words, before)
    assert stack.content == pytest.approx(0.0, abs=1e-6)


def test_what_is_popped_and_pushed_leaves_the_stack_as_it_was(noise):
    before = random_words(100)
    stack = Stack(before)
    p, weights = noise.random(500), noise.integers(1, 1 << 22, (100, 5)).astype(float)
    bits, levels, indices = stack.pop_bits(p), stack.pop_levels(weights), stack.pop_uniform(30, 9)
    stack.push_uniform(indices, 9)
    stack.push_levels(levels, weights)
    stack.push_bits(bits, p)
    np.testing.assert_array_equal(stack.words, before)


def test_even_an_empty_stack_takes_back_what_was_popped_from_it(noise):
    stack, p = Stack(), noise.random(200)
    stack.push_bits(np.ones(3), np.full(3, 0.3))
    before, bits = stack.words, stack.pop_bits(p)
    stack.push_bits(bits, p)
    np.testing.assert_array_equal(stack.words, before)


def test_symbols_cost_their_entropy(noise):
    p = noise.beta(0.3, 0.3, 100_000)
    stack = Stack()
    stack.push_bits(noise.random(p.size) < p, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.nansum(-p * np.log2(p) - (1 - p) * np.log2(1 - p))
    assert stack.bits == pytest.approx(stack.content, rel=1e-3)
    assert stack.content == pytest.approx(entropy, rel=0.02)
    assert stack.content / entropy - 1 != 0


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_cost_their_entropy(noise, levels):
    weights = np.rint(noise.dirichlet(np.full(levels, 5.0)) * 2.0**22) + 1
    share = weights / weights.sum()
    symbols = noise.choice(levels, 50_000, p=share)
    stack = Stack()
    stack.push_levels(symbols, np.tile(weights, (symbols.size, 1)))
    counts = np.bincount(symbols, minlength=levels)
    assert stack.content == pytest.approx(-(counts * np.log2(share)).sum(), rel=1e-9)
    assert stack.bits == pytest.approx(stack.content, rel=1e-3)


def test_equal_numbers_cost_their_bits(noise):
    stack = Stack()
    stack.push_uniform(noise.integers(0, 4096, 20_000), 12)
    assert stack.content == 240_000
    assert stack.bits == pytest.approx(240_000, rel=1e-3)


def test_a_wrong_model_costs_the_divergence_more(noise):
    """The negative control: symbols of p coded with q must not come out at the entropy of p."""
    stack, bits = Stack(), noise.random(100_000) < 0.2
    stack.push_bits(bits, np.full(bits.size, 0.3))
    entropy = -(0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
    divergence = 0.2 * np.log2(0.2 / 0.3) + 0.8 * np.log2(0.8 / 0.7)
    assert stack.bits / bits.size > entropy * 1.02
    assert stack.bits / bits.size == pytest.approx(entropy + divergence, rel=0.01)


def test_bits_that_nobody_chose_are_draws():
    p = np.full(50_000, 0.3)
    stack = Stack(random_words(2_000))
    ones = stack.pop_bits(p)
    z = (ones.mean() - 0.3) / np.sqrt(0.21 / p.size)
    assert abs(z) < 4.56


def test_nothing_is_impossible():
    p = np.array([0.0, 1.0, -0.1, 1.1])
    grid = 2.0**-PROBABILITY_BITS
    np.testing.assert_array_equal(round_probability(p), [grid, 1 - grid, grid, 1 - grid])
    stack = Stack()
    stack.push_bits(np.array([1, 0]), np.array([0.0, 1.0]))
    assert stack.content == 2 * PROBABILITY_BITS
    np.testing.assert_array_equal(stack.pop_bits(np.array([0.0, 1.0])), [1, 0])


def test_the_first_words_will_never_change():
    """Streams that were written depend on them."""
    np.testing.assert_array_equal(random_words(3), [0xE220A839, 0x6E789E6A, 0x06C45D18])
    assert (random_words(1000) > 0).all()


def test_wrong_symbols_are_refused():
    stack = Stack()
    with pytest.raises(ValueError, match="from 0 to 1, got 0 to 2"):
        stack.push_bits(np.array([0, 2]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="from 0 to 4095, got -1 to 3"):
        stack.push_uniform(np.array([3, -1]), 12)
    with pytest.raises(ValueError, match="topmost word"):
        Stack(np.array([1, 0], np.uint32))


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    true_import = builtins.__import__

    def absent(name, *rest):
        if name.startswith("constriction"):
            raise ModuleNotFoundError(name)
        return true_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ModuleNotFoundError, match=r"pip install jensen\[compress\]"):
        Stack()
