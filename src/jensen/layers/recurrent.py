"""Recurrent cells whose input product is handed in, so that what does not change from step to step is taken once."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from jensen._names import check_choice

__all__ = ["CELLS", "GRU", "LSTM", "make_cell"]


class LSTM(nn.Module):
    r"""Long short-term memory, from the product of its input and its state before.

    $$(i, f, g, o) = W x + b + U h, \qquad c' = \sigma(f) \, c + \sigma(i) \tanh(g), \qquad h' = \sigma(o) \tanh(c')$$

    That of `torch.nn.LSTMCell`, with $W x + b$ as the argument and one bias in place of two. It starts from a learned
    state.

    Args:
        hidden: units.

    Attributes:
        width: of the product $W x + b$, four times `hidden`.

    Example:
        >>> cell = LSTM(3)
        >>> h, c = cell(torch.zeros(2, cell.width), cell.start(2))
        >>> h.shape, c.shape
        (torch.Size([2, 3]), torch.Size([2, 3]))

    References:
        | Long Short-Term Memory (Hochreiter & Schmidhuber, 1997)
        | https://doi.org/10.1162/neco.1997.9.8.1735
        | Learning to Forget: Continual Prediction with LSTM (Gers, Schmidhuber & Cummins, 2000)
        | https://doi.org/10.1162/089976600300015015
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.width = 4 * hidden
        self.recurrent = nn.Linear(hidden, self.width, bias=False)
        self.initial = nn.Parameter(torch.zeros(2, hidden))

    def start(self, rows: int) -> tuple[Tensor, ...]:
        """The learned state $(h_0, c_0)$ for so many rows, `(rows, hidden)` each."""
        return tuple(each.expand(rows, -1) for each in self.initial)

    def forward(self, product: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The next state `(h, c)`, `(rows, hidden)` each, from $W x + b$, `(rows, 4 hidden)`."""
        h, c = state
        i, f, g, o = torch.addmm(product, h, self.recurrent.weight.t()).to(c.dtype).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRU(nn.Module):
    r"""Gated recurrent unit, from the product of its input and its state before.

    $$(r, u, n) = W x + b, \qquad (r', u', n') = U h + b', \qquad
    h' = (1 - \sigma(u + u')) \tanh(n + \sigma(r + r') \, n') + \sigma(u + u') \, h$$

    That of `torch.nn.GRUCell`, with $W x + b$ as the argument. It starts from a learned state.

    Args:
        hidden: units.

    Attributes:
        width: of the product $W x + b$, three times `hidden`.

    Example:
        >>> cell = GRU(3)
        >>> (h,) = cell(torch.zeros(2, cell.width), cell.start(2))
        >>> h.shape
        torch.Size([2, 3])

    References:
        | Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation (Cho et al., 2014)
        | https://arxiv.org/abs/1406.1078v3
    """  # noqa: E501

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.width = 3 * hidden
        self.recurrent = nn.Linear(hidden, self.width)
        self.initial = nn.Parameter(torch.zeros(1, hidden))

    def start(self, rows: int) -> tuple[Tensor, ...]:
        """The learned state $(h_0,)$ for so many rows, `(rows, hidden)`."""
        return tuple(each.expand(rows, -1) for each in self.initial)

    def forward(self, product: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The next state `(h,)`, `(rows, hidden)`, from $W x + b$, `(rows, 3 hidden)`."""
        (h,) = state
        r, u, n = product.to(h.dtype).chunk(3, -1)
        r_h, u_h, n_h = self.recurrent(h).to(h.dtype).chunk(3, -1)
        n = torch.tanh(n + torch.sigmoid(r + r_h) * n_h)
        return (n + torch.sigmoid(u + u_h) * (h - n),)


CELLS: dict[str, Callable[[int], LSTM | GRU]] = {"lstm": LSTM, "gru": GRU}
"""The cells by their names."""


def make_cell(name: str, *, hidden: int) -> LSTM | GRU:
    """A cell by its name, `lstm` or `gru`.

    Raises:
        ValueError: if there is no such cell, or `hidden` is below 1.

    Example:
        >>> make_cell("gru", hidden=3).width
        9
    """
    if hidden < 1:
        raise ValueError(f"hidden is {hidden}; a cell has at least one unit")
    check_choice("cell", name, CELLS)
    return CELLS[name](hidden)
