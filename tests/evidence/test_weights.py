import math

import pytest
import torch
from torch.testing import assert_close

from jensen.evidence._weights import (
    EVEN,
    chain_mean_with_error,
    clean,
    few_warnings,
    is_heavy,
    kish,
    mean_with_error,
    tail_warnings,
)

DOUBLE = torch.float64
INF = math.inf


def normal_weights(shape, rho=0.0):
    """Log-weights N(-1/8, 1/4), whose exponentials have mean one, autocorrelated along the first axis."""
    x = torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    for t in range(1, shape[0]):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * x[t]
    return x / 2 - 0.125


def test_the_mean_and_its_error_by_hand():
    w = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=DOUBLE)
    found = mean_with_error(w.log() - 1000)
    relative = w.std() / w.mean() / 2
    assert found.value == pytest.approx(math.log(3) - 1000, abs=1e-10)
    assert found.std_error == pytest.approx(math.sqrt(math.log1p(relative**2)), rel=1e-10)
    assert found.effective_sample_size == 4
    assert kish(w.log() - 1000) == pytest.approx(144 / 50, rel=1e-10)


def test_constant_weights_have_no_error():
    for found in (mean_with_error(torch.zeros(10)), chain_mean_with_error(torch.zeros(10, 3, dtype=DOUBLE))):
        assert found.value == 0
        assert found.std_error == 0


def test_chains_of_independent_weights_agree_with_draws():
    log_w = normal_weights((500, 20))
    apart, together = mean_with_error(log_w), chain_mean_with_error(log_w)
    assert together.value == pytest.approx(apart.value, abs=1e-12)
    assert together.std_error == pytest.approx(apart.std_error, rel=0.1)


@pytest.mark.parametrize(("S", "C"), [(500, 4), (45, 40), (3, 400), (2, 400)])
def test_the_error_along_chains_covers(S, C):
    every = normal_weights((S, C, 200), rho=0.8).unbind(-1)
    found = [chain_mean_with_error(log_w) for log_w in every]
    z = torch.tensor([each.value / each.std_error for each in found])
    forgetful = torch.tensor([mean_with_error(log_w) for log_w in every])[:, :2]
    forgetful = forgetful[:, 0] / forgetful[:, 1]
    assert 0.89 < (z.abs() < 1.96).double().mean() < 0.99  # 0.95 +- 4 standard errors of 200 trials
    assert 0.8 < z.std() < 1.25
    assert forgetful.std() > 1.2  # autocorrelation forgotten


def test_cleaning_counts_and_does_not_spread():
    found = clean(torch.tensor([0.0, math.nan, -INF, 1.0]), "log_w")
    assert_close(found.values, torch.tensor([0.0, -INF, -INF, 1.0], dtype=DOUBLE))
    assert found.counts == {"draws": 4, "nan": 1, "minus_inf": 1}
    assert found.warnings("log_w") == ("1 of 4 values of log_w are NaN and were given the weight zero.",)
    assert clean(torch.zeros(3), "log_w").warnings("log_w") == ()


def test_cleaning_detaches_and_leaves_its_argument_alone():
    x = torch.tensor([0.0, math.nan], requires_grad=True)
    assert not clean(x, "x").values.requires_grad
    assert x[1].isnan()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (torch.zeros(0), "fewer than two"),
        (torch.zeros(1), "fewer than two"),
        (torch.tensor([-INF, -INF]), "nothing has any weight"),
        (torch.tensor([math.nan, -INF]), r"\(1 and 1\)"),
        (torch.tensor([0.0, INF]), "inf at draw 1"),
        (torch.zeros(4, dtype=torch.long), "real numbers, got torch.int64"),
    ],
)
def test_what_has_no_answer_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        clean(values, "log_w")


def test_words_for_tails():
    def words(k, draws=10_000):
        return tail_warnings(k, draws, share=0.5)

    assert words(0.5) == words(-INF) == ()
    assert "k-hat 0.80, above 0.70" in words(0.8)[0]
    assert "10^5 draws" in words(0.8)[0]
    assert "no number of draws" in words(1.2)[0]
    assert "Fewer than five" in words(INF)[0]
    assert "too few" in words(math.nan, 10)[0]
    assert few_warnings(100.0) == ()
    assert few_warnings(3.0)[0].startswith("The weights are worth 3.0 draws")


def test_only_a_tail_that_is_long_enough_is_heavy():
    assert tail_warnings(2.0, 10_000, share=0.995) == ()
    assert is_heavy(0.8, draws=10_000, share=EVEN)
    assert is_heavy(0.8, draws=10_000, share=math.nan)
    assert not is_heavy(0.6, draws=10_000, share=0.001)
    assert is_heavy(0.6, draws=100, share=0.001)


def test_no_draw_of_even_weights_moves_their_mean():
    """The bound behind the rule, at its worst: all the spread in one weight."""
    N = 10_000
    log_w = torch.zeros(N, dtype=DOUBLE)
    log_w[0] = math.log1p(math.sqrt(N * (1 / EVEN - 1)))
    w = log_w.exp()
    assert kish(log_w) / N == pytest.approx(EVEN, abs=2e-3)
    assert (w.max() - w.mean()) / w.mean() / N <= math.sqrt(1 / (kish(log_w) / N) - 1) / math.sqrt(N) * (1 + 1e-9)
    assert (w.max() - w.mean()) / w.mean() / N < 0.1006 / math.sqrt(N) * 1.05
