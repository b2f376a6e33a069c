"""A distribution over an explicit list of values."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from jensen.distributions._checks import check_floating, check_same_event
from jensen.distributions._discrete import divergence

__all__ = ["Finite"]


class _Listed(constraints.Constraint):
    """Values that are one of `states`."""

    is_discrete = True

    def __init__(self, states: Tensor, event_dim: int) -> None:
        self.states = states
        self._event_dim = event_dim
        super().__init__()

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self._event_dim

    def check(self, value: Tensor) -> Tensor:
        return _matches(self.states, value, self._event_dim).any(0)


class Finite(Distribution):
    r"""The values $s_1, \ldots, s_S$, each with a probability.

    $$P(z = s_i) = \frac{e^{l_i}}{\sum_j e^{l_j}}$$

    Whatever can be enumerated becomes a table this way, and so does its restriction to some of its values (with
    logits of `-inf` elsewhere). The values must differ from each other; they need not be numbers of any kind.
    A divergence needs the same values in the same order.

    Args:
        states: the values, `(S, *batch, *event)`; a batch axis of size 1 is shared by the batch.
        logits: unnormalised log-probabilities $l$, `(*batch, S)`.
        validate_args: whether to check parameters and values, as everywhere in `torch.distributions`.

    Raises:
        ValueError: if the shapes do not fit, or `logits` holds a NaN or is not floating point.

    Example:
        >>> corners = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> q = Finite(corners, torch.tensor([0.5, 0.3, 0.2]).log())
        >>> q.log_prob(torch.tensor([1.0, 0.0])).exp()
        tensor(0.3000)
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, states: Tensor, logits: Tensor, *, validate_args: bool | None = None) -> None:
        check_floating(logits)
        _check_shapes(states, logits)
        batch_shape, event_shape = logits.shape[:-1], states.shape[logits.ndim :]
        self.states = states
        self.logits = logits.log_softmax(-1)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        """The listed values."""
        return _Listed(self.states, len(self.event_shape))

    @property
    def support_size(self) -> int:
        """The number of values."""
        return len(self.states)

    @property
    def support_log_prob(self) -> Tensor:
        """Log-probabilities of the listed values, `(S, *batch)`."""
        return self.logits.movedim(-1, 0)

    @property
    def probs(self) -> Tensor:
        """Probabilities, `(*batch, S)`."""
        return self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The most probable value, `(*batch, *event)`; the first of them at a tie."""
        return self.at(self.logits.argmax(-1).unsqueeze(0)).squeeze(0)

    def expand(self, batch_shape: Size | list[int] | tuple[int, ...], _instance: object = None) -> "Finite":
        """The same distribution expanded to `batch_shape`."""
        S = self.logits.shape[-1]
        new_axes = (1,) * (len(batch_shape) - len(self.batch_shape))
        states = self.states.reshape(S, *new_axes, *self.states.shape[1:])
        new = Finite(states, self.logits.expand(*batch_shape, S), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = Size()) -> Tensor:
        """A draw, `(*sample_shape, *batch, *event)`."""
        n = Size(sample_shape).numel()
        with torch.no_grad():
            table = self.logits.exp().reshape(-1, self.logits.shape[-1])  # (B, S)
            index = torch.multinomial(table, n, replacement=True) if n else table.new_empty(len(table), 0).long()
            drawn = self.at(index.T.reshape(n, *self.batch_shape))  # (n, *batch, *event)
            return drawn.reshape(self._extended_shape(Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, `(*sample, *batch)`; `-inf` for a value that is not listed."""
        if self._validate_args:
            self._validate_sample(value)
        match = _matches(self.states, value, len(self.event_shape))  # (S, *sample, *batch)
        found, index = match.max(0)
        logits = self.logits.expand(*index.shape, -1)
        return logits.gather(-1, index.unsqueeze(-1)).squeeze(-1).masked_fill(~found, -torch.inf)

    def enumerate_support(self, *, expand: bool = True) -> Tensor:  # type: ignore[override]
        """The listed values, `(S, *batch, *event)`; shared batch axes stay of size 1 without `expand`."""
        shape = (len(self.states), *self.batch_shape, *self.event_shape)
        return self.states.expand(shape) if expand else self.states

    def entropy(self) -> Tensor:
        r"""$-\sum_i p_i \log p_i$ in nats, `(*batch)`."""
        return -(self.logits.exp() * self.logits.clamp_min(torch.finfo(self.logits.dtype).min)).sum(-1)

    def at(self, index: Tensor) -> Tensor:
        """The states by their numbers `(n, *batch)`, `(n, *batch, *event)`."""
        event = self.event_shape
        place = index.reshape(*index.shape, *[1] * len(event)).expand(*index.shape, *event)
        return self.enumerate_support().gather(0, place)


def _check_shapes(states: Tensor, logits: Tensor) -> None:
    if logits.ndim == 0 or states.ndim < logits.ndim or logits.shape[-1] == 0 or len(states) != logits.shape[-1]:
        shapes = f"states {tuple(states.shape)} and logits {tuple(logits.shape)}"
        raise ValueError(f"{shapes} do not fit; give states (S, *batch, *event) and logits (*batch, S)")
    batch = logits.shape[:-1]
    own = states.shape[1 : logits.ndim]
    if any(size not in {1, expected} for size, expected in zip(own, batch, strict=True)):
        raise ValueError(f"states {tuple(states.shape)} have batch axes {tuple(own)}; expected {tuple(batch)} or ones")


def _matches(states: Tensor, value: Tensor, event_dim: int) -> Tensor:
    """Which state each value is, `(S, *sample, *batch)`."""
    missing = value.ndim + 1 - states.ndim
    if missing < 0:
        value, missing = value.reshape(*[1] * -missing, *value.shape), 0
    listed = states.reshape(len(states), *[1] * missing, *states.shape[1:])
    same = listed == value
    return same.flatten(same.ndim - event_dim).all(-1) if event_dim else same


@register_kl(Finite, Finite)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(q: Finite, p: Finite) -> Tensor:
    check_same_event(q.event_shape, p.event_shape)
    if not _same_states(q, p):
        shapes = f"{tuple(q.states.shape)} and {tuple(p.states.shape)}"
        raise ValueError(f"the states differ (of shapes {shapes}); a divergence needs the same values in one order")
    return divergence(q.logits, p.logits, dim=-1)


def _same_states(q: Finite, p: Finite) -> bool:
    if len(q.states) != len(p.states):
        return False
    rank = max(len(q.batch_shape), len(p.batch_shape))
    mine, others = (
        each.states.reshape(len(each.states), *[1] * (rank - len(each.batch_shape)), *each.states.shape[1:])
        for each in (q, p)
    )
    return mine is others or bool((mine == others).all())
