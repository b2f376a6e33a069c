"""A network without random weights, with the questions that a Bayesian one answers: the baseline of every recipe."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jensen._contracts import Pairs, check_samples
from jensen.layers import Prediction

__all__ = ["LogLikelihood", "PlainNetwork"]

ROWS = 16_384


class PlainNetwork(nn.Module):
    r"""A network with one weight for each connection, and the likelihood of its outputs.

    Args:
        network: a module without random layers.
        likelihood: $p(y \mid f(x))$, such as `layers.CategoricalLikelihood`.

    Example:
        >>> from jensen.layers import CategoricalLikelihood
        >>> net = PlainNetwork(nn.Linear(4, 3), likelihood=CategoricalLikelihood())
        >>> net.predict_at_means(torch.zeros(5, 4)).mean.shape
        torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, *, likelihood: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.likelihood: Any = likelihood

    def forward(self, x: Tensor) -> Tensor:
        """The network's output, `(B, *out)`."""
        output: Tensor = self.network(x)
        return output

    def log_likelihood(self, batch: Pairs, samples: int = 1) -> Tensor:
        r"""$\log p(y_b \mid x_b)$ in nats, `(1, B)`, whatever the number of samples.

        Args:
            batch: data.
            samples: accepted as by a network with random weights; without them all samples are one.

        Raises:
            ValueError: if `samples` is below 1.
        """
        check_samples(samples)
        log_prob: Tensor = self.likelihood.log_prob(self.network(batch.inputs).unsqueeze(0), batch.targets)
        return log_prob

    @torch.no_grad()
    def predict(self, x: Tensor, *, samples: int = 1) -> Prediction:
        """The prediction of the one network there is, a mixture of one; its epistemic part is zero.

        Args:
            x: inputs, `(B, *event)`.
            samples: accepted as by a network with random weights, and without effect: all samples are one.

        Raises:
            ValueError: if `samples` is below 1.
        """
        check_samples(samples)
        outputs = torch.cat([self.network(part) for part in torch.split(x, ROWS)])
        prediction: Prediction = self.likelihood.predict(outputs.unsqueeze(0))
        return prediction

    def predict_at_means(self, x: Tensor) -> Prediction:
        """The same."""
        return self.predict(x)

    @torch.no_grad()
    def check(self, batch: Pairs) -> None:
        """Refuse data that this network has no likelihood for.

        Raises:
            ValueError: if they hold NaN, or do not fit.
        """
        if not bool(torch.isfinite(batch.inputs).all() and torch.isfinite(batch.targets).all()):
            raise ValueError("the data hold NaN or infinity; remove these data or replace the values first")
        self.likelihood.check(self.network(batch.inputs[:1]).unsqueeze(0), batch.targets)


@dataclass(frozen=True)
class LogLikelihood:
    r"""The objective $\log p(y \mid x, w)$ of a network without random weights; a prior is the optimizer's decay."""

    def __call__(self, model: Any, batch: Pairs) -> Tensor:
        """Nats for each datum, `(B,)`."""
        value: Tensor = model.log_likelihood(batch)[0]
        return value
