"""What is true of every bound and of any log-weights: no distribution, no model, no draw."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from jensen.bounds import cubo, effective_sample_size, elbo, iwae, jackknife, normalized_weights, renyi

INF = math.inf
DOUBLE = torch.float64

FROM_LOW_TO_HIGH = {
    "renyi(inf)": partial(renyi, alpha=INF),
    "renyi(2)": partial(renyi, alpha=2.0),
    "renyi(1.05)": partial(renyi, alpha=1.05),
    "elbo": elbo,
    "renyi(0.95)": partial(renyi, alpha=0.95),
    "renyi(0.5)": partial(renyi, alpha=0.5),
    "iwae": iwae,
    "renyi(-0.05)": partial(renyi, alpha=-0.05),
    "cubo(2)": cubo,
    "cubo(10)": partial(cubo, order=10.0),
    "renyi(-inf)": partial(renyi, alpha=-INF),
}
JACKKNIVES = {f"jackknife({order})": partial(jackknife, order=order) for order in range(4)}
BOUNDS = FROM_LOW_TO_HIGH | JACKKNIVES
SMOOTH = {name: bound for name, bound in BOUNDS.items() if "inf" not in name}

of_every = pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
of_every_smooth = pytest.mark.parametrize("bound", SMOOTH.values(), ids=SMOOTH)

examples = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@st.composite
def log_weights(draw, smallest=1):
    """Between `smallest` and 8 samples for each of one to three data, ties and wide spreads among them."""
    K, B = draw(st.integers(smallest, 8)), draw(st.integers(1, 3))
    number = st.one_of(st.floats(-60, 60, allow_subnormal=False), st.sampled_from([0.0, 1.0]))
    rows = st.lists(st.lists(number, min_size=B, max_size=B), min_size=K, max_size=K)
    return torch.tensor(draw(rows), dtype=DOUBLE)


@of_every
@examples
@given(log_w=log_weights(smallest=4), shift=st.floats(-700, 700))
def test_weights_twice_as_large_have_a_bound_larger_by_log_two(bound, log_w, shift):
    assert_close(bound(log_w + shift), bound(log_w) + shift, rtol=0, atol=1e-8)


@of_every
@pytest.mark.parametrize("K", [4, 5, 24])
def test_constant_weights_give_the_constant(bound, K):
    constant = torch.tensor([-94.25, 0.0, 17.5], dtype=DOUBLE)
    assert_close(bound(constant.expand(K, 3)), constant, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bound", FROM_LOW_TO_HIGH.values(), ids=FROM_LOW_TO_HIGH)
def test_one_sample_is_its_own_bound(bound):
    log_w = torch.tensor([[-94.25, 0.0, 800.0]], dtype=DOUBLE)
    assert_close(bound(log_w), log_w[0], rtol=1e-14, atol=1e-14)


def test_the_jackknife_of_one_sample_is_of_order_zero():
    assert jackknife(torch.tensor([[-3.0]]), order=0).tolist() == [-3.0]


@of_every
@examples
@given(log_w=log_weights(smallest=4), seed=st.integers(0, 1000))
def test_the_order_of_the_samples_does_not_matter(bound, log_w, seed):
    order = torch.randperm(len(log_w), generator=torch.Generator().manual_seed(seed))
    assert_close(bound(log_w[order]), bound(log_w), rtol=0, atol=1e-9)


@examples
@given(log_w=log_weights())
def test_bounds_are_ordered_from_the_smallest_log_weight_to_the_largest(log_w):
    bounds = torch.stack([bound(log_w) for bound in FROM_LOW_TO_HIGH.values()])
    assert_close(bounds[0], log_w.amin(0))
    assert_close(bounds[-1], log_w.amax(0))
    assert (bounds.diff(dim=0) >= -1e-11).all()


@of_every
def test_the_sample_axis_is_the_one_that_is_named(bound):
    square = torch.randn(5, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    each = torch.stack([bound(column) for column in square.T])
    assert_close(bound(square), each)
    assert_close(bound(square.T.contiguous(), dim=1), each)
    assert_close(bound(square.T, dim=-1), each)
    assert not torch.allclose(bound(square, dim=1), each)


@of_every
@pytest.mark.parametrize("dim", [0, 1, 2, -2])
def test_all_axes_but_one_are_kept(bound, dim):
    log_w = torch.randn(4, 5, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    flat = log_w.movedim(dim, 0).flatten(1)
    assert_close(bound(log_w, dim=dim).flatten(), bound(flat))


@of_every
def test_a_weight_of_zero_is_a_weight(bound):
    log_w = torch.tensor([0.3, -0.4, 0.2, 1.1, -2.0, -INF], dtype=DOUBLE, requires_grad=True)
    nearly = torch.cat([log_w[:-1].detach(), torch.tensor([-900.0], dtype=DOUBLE)])
    value = bound(log_w)
    if not value.isfinite():
        assert value == -INF
        assert bound(nearly) < -5
        return
    assert_close(value.detach(), bound(nearly), rtol=0, atol=1e-9)
    (gradient,) = torch.autograd.grad(value, log_w)
    assert gradient.isfinite().all()
    assert gradient[-1] == 0
    assert_close(gradient.sum(), torch.ones_like(value))


@of_every
def test_no_weight_at_all_is_minus_infinity_and_harms_no_other_datum(bound):
    log_w = torch.randn(5, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    log_w[:, 1] = -INF
    log_w.requires_grad_()
    value = bound(log_w)
    assert value[0].isfinite()
    assert value[1] == -INF
    (gradient,) = torch.autograd.grad(value.sum(), log_w)
    assert gradient[:, 0].isfinite().all()


@of_every
def test_not_a_number_is_not_hidden_and_does_not_spread(bound):
    log_w = torch.zeros(5, 2, dtype=DOUBLE)
    log_w[2, 0] = math.nan
    log_w[3, :] = -INF
    assert bound(log_w).isnan().tolist() == [True, False]


@of_every_smooth
@pytest.mark.parametrize("level", [-90.0, -104.0, -750.0, 800.0])
def test_float32_is_as_good_as_its_digits_wherever_the_log_weights_lie(bound, level):
    log_w = (level + torch.tensor([0.0, 1.0, -2.0, 0.5, -0.25])).requires_grad_()
    exact = bound(log_w.detach().double())
    value = bound(log_w)
    assert value.dtype == torch.float32
    assert_close(value.detach().double(), exact, rtol=3e-7, atol=1e-6)
    (gradient,) = torch.autograd.grad(value, log_w)
    wide = log_w.detach().double().requires_grad_()
    (exact_gradient,) = torch.autograd.grad(bound(wide), wide)
    assert_close(gradient.double(), exact_gradient, rtol=0, atol=1e-4)


@of_every_smooth
def test_gradient_is_the_derivative(bound):
    log_w = torch.randn(5, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(bound, log_w)


@of_every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_is_kept(bound, dtype):
    assert bound(torch.zeros(5, 2, dtype=dtype)).dtype == dtype


REDUCTIONS = BOUNDS | {"normalized_weights": normalized_weights, "effective_sample_size": effective_sample_size}


@pytest.mark.parametrize("reduction", REDUCTIONS.values(), ids=REDUCTIONS)
@pytest.mark.parametrize(
    ("log_w", "dim", "message"),
    [
        (torch.zeros(5, 2, dtype=torch.long), 0, "floating-point"),
        (torch.zeros(0, 2), 0, "hold no sample"),
        (torch.zeros(5, 0), 1, "hold no sample"),
        (torch.zeros(5, 2), 2, "no sample axis 2"),
        (torch.tensor(0.0), 0, "no sample axis 0"),
        (None, 0, "NoneType"),
    ],
)
def test_what_is_no_log_weight_is_refused(reduction, log_w, dim, message):
    with pytest.raises(ValueError, match=message):
        reduction(log_w, dim=dim)
