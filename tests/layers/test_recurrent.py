import pytest
import torch
from torch import nn
from torch.testing import assert_close

from jensen.layers.recurrent import GRU, LSTM, make_cell

INPUTS, HIDDEN = 4, 5


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return torch.randn(6, 3, INPUTS, dtype=torch.float64)


def theirs_and_ours(theirs, ours):
    """Our cell and the product with its input, with the weights of a cell of torch."""
    theirs = theirs(INPUTS, HIDDEN).double()
    ours, product = ours(HIDDEN).double(), nn.Linear(INPUTS, theirs.weight_ih.shape[0]).double()
    with torch.no_grad():
        product.weight.copy_(theirs.weight_ih)
        ours.recurrent.weight.copy_(theirs.weight_hh)
        if ours.recurrent.bias is None:
            product.bias.copy_(theirs.bias_ih + theirs.bias_hh)
        else:
            product.bias.copy_(theirs.bias_ih)
            ours.recurrent.bias.copy_(theirs.bias_hh)
        ours.initial.normal_()
    return theirs, ours, product


def test_lstm_is_that_of_torch(inputs):
    theirs, ours, product = theirs_and_ours(nn.LSTMCell, LSTM)
    state = expected = ours.start(3)
    for x in inputs:
        state, expected = ours(product(x), state), theirs(x, expected)
        assert_close(state, expected, rtol=1e-12, atol=1e-14)


def test_gru_is_that_of_torch(inputs):
    theirs, ours, product = theirs_and_ours(nn.GRUCell, GRU)
    (h,) = state = ours.start(3)
    for x in inputs:
        state, h = ours(product(x), state), theirs(x, h)
        assert_close(state, (h,), rtol=1e-12, atol=1e-14)


def test_a_sigmoid_where_a_hyperbolic_tangent_belongs_is_caught(inputs):
    theirs, ours, product = theirs_and_ours(nn.LSTMCell, LSTM)
    h, c = ours.start(3)
    i, f, g, o = (product(inputs[0]) + ours.recurrent(h)).sigmoid().chunk(4, -1)
    twin = o * torch.tanh(f * c + i * g)
    assert (twin - theirs(inputs[0], (h, c))[0]).abs().max() > 0.05


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_first_state_is_learned(name):
    cell = make_cell(name, hidden=HIDDEN)
    cell(torch.randn(3, cell.width), cell.start(3))[0].sum().backward()
    assert cell.initial.grad is not None
    assert (cell.initial.grad != 0).any(-1).all()


def test_other_cells_and_no_units_are_refused():
    with pytest.raises(ValueError, match="unknown cell 'lsmt'; did you mean 'lstm'"):
        make_cell("lsmt", hidden=3)
    with pytest.raises(ValueError, match="hidden is 0; a cell has at least one unit"):
        make_cell("gru", hidden=0)
