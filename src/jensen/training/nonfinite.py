"""A bound that is NaN or infinite: what to say about it, and where it comes from."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from jensen._contracts import LogWeights, Pairs

__all__ = ["NonFiniteError", "diagnose", "not_finite_data", "not_finite_parameter"]

TERMS = ("log_likelihood", "log_prior", "log_posterior")


class NonFiniteError(ArithmeticError):
    """A run met NaN or infinity and stopped before it could spoil the parameters.

    Attributes:
        what: what was not finite: the bound, the gradient's norm, a parameter.
        term: the first thing found that is not finite: `data`, `inputs` or `targets`, a parameter by name, or one or
            more of `log_likelihood`, `log_prior`, `log_posterior`.
        epoch: the epoch under way, from 1; None outside a run.
        batch: index of the batch in that epoch, from 0; None outside a run.
        checkpoint: the last good checkpoint; None where nothing was saved.
    """

    def __init__(
        self,
        what: str,
        *,
        term: str,
        epoch: int | None = None,
        batch: int | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self.what, self.term, self.epoch, self.batch, self.checkpoint = what, term, epoch, batch, checkpoint
        where = f"epoch {epoch}, batch {batch}: " if epoch is not None else ""
        saved = f"; the last good checkpoint is {checkpoint}" if checkpoint else ""
        super().__init__(f"{where}{what} is not finite; the offending term is {term}{saved}")


@torch.no_grad()
def diagnose(model: nn.Module, x: Tensor | Pairs, *, samples: int = 1) -> str | None:
    """Find what is not finite: data, parameters, or a term of the log-weights; None where all of them are finite.

    Args:
        model: with `log_weights`, where its terms are to be told apart.
        x: the batch, `(B, *event)` or `Pairs`.
        samples: draws for each datum. With the generators in the state of the failed step these are its draws.

    Example:
        >>> diagnose(nn.Linear(2, 1), torch.tensor([[0.0, torch.nan], [0.0, 1.0]]))
        'data (1 of 2 in the batch)'
    """
    if found := not_finite_data(x):
        return f"{found[0]} ({found[1]} of {len(x)} in the batch)"
    if name := not_finite_parameter(model):
        return f"parameter {name!r}"
    if not hasattr(model, "log_weights"):
        return None
    return ", ".join(_broken_terms(model, x, samples)) or None


def not_finite_parameter(model: nn.Module) -> str | None:
    """The name of the first parameter that holds NaN or infinity.

    Example:
        >>> not_finite_parameter(nn.Linear(2, 1)) is None
        True
    """
    return next((name for name, value in model.named_parameters() if not bool(torch.isfinite(value).all())), None)


def not_finite_data(x: Tensor | Pairs) -> tuple[str, int] | None:
    """What holds NaN or infinity, `data`, `inputs` or `targets`, and for how many of the data; None if nothing does.

    Example:
        >>> not_finite_data(Pairs(torch.zeros(3, 2), torch.tensor([0.0, math.nan, 1.0])))
        ('targets', 1)
    """
    named = {"inputs": x.inputs, "targets": x.targets} if isinstance(x, Pairs) else {"data": x}
    for name, values in named.items():
        if count := int((~torch.isfinite(values)).reshape(len(values), -1).any(-1).sum()):
            return name, count
    return None


def _broken_terms(model: nn.Module, x: Tensor | Pairs, samples: int) -> Iterator[str]:
    log_weights: LogWeights = model.log_weights(x, samples)  # type: ignore[operator]
    for name in TERMS:
        broken = ~torch.isfinite(getattr(log_weights, name))
        if bool(broken.any()):
            first = getattr(log_weights, name)[broken][0].item()
            where, what = (broken.any(0), "data") if broken.shape[1] == len(x) else (broken.any(1), "draws")
            yield f"{name} ({first} for {int(where.sum())} of {len(where)} {what})"
