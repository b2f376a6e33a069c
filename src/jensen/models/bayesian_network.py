r"""Bayesian neural network: a network whose weights are random, and predictions that average over them.

Expectation: $\log p(D) = \log \mathbb{E}_{q(w \mid \theta)}[p(D \mid w) \, p(w) / q(w \mid \theta)]$, bounded by every
function of `bounds`. The weights are the latents; one draw of them serves all data.

$$p(D \mid w) = \prod_{n=1}^{N} p(y_n \mid x_n, w), \qquad w = \mu + \sigma \odot \epsilon, \qquad
-\mathcal{F} = \mathbb{E}_{q(w \mid \theta)}[\log p(D \mid w)] - \mathrm{KL}(q(w \mid \theta) \,\|\, p(w))$$

$$p(y \mid x, D) \approx \mathbb{E}_{q(w \mid \theta)}[p(y \mid x, w)]$$

| paper | code | shape |
|---|---|---|
| $\mathcal{D} = (x_i, y_i)_i$ | `batch`, a `Pairs` | `(B, *event)`, `(B, ...)` |
| $w^{(i)} \sim q(w \mid \theta)$ | `posterior()`, `layers.variational.draw_weights` | `(K, *shape)` each |
| $\log P(D \mid w)$ | `log_weights(...).log_likelihood` | `(K, 1)` |
| $\log P(w)$, $\log q(w \mid \theta)$ | `log_prior`, `log_posterior` | `(K, 1)` |
| $\mathrm{KL}(q(w \mid \theta) \,\|\, P(w))$ | `kl()` | scalar |
| $P(\hat y \mid \hat x)$ | `predict(x).mean` | `(B, C)` or `(B, *out)` |

Differs from the paper: any network with random layers and any prior of theirs; the sum over draws in the objective is
their mean; where the divergence has a closed form it is not drawn.

References:
    | Weight Uncertainty in Neural Networks (Blundell et al., 2015)
    | https://arxiv.org/abs/1505.05424
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from jensen._contracts import LogWeights, Pairs, check_samples
from jensen.layers.likelihoods import Prediction
from jensen.layers.modes import evaluating
from jensen.layers.variational import (
    at_means,
    draw_weights,
    forward_and_kl,
    forward_samples,
    forward_with,
    log_posterior,
    log_prior,
    random_layers,
    total_kl,
)

__all__ = ["BayesianNetwork", "WeightPosterior"]

Weights = dict[str, dict[str, Tensor]]
Shapes = dict[str, dict[str, torch.Size]]
ROWS = 16_384
"""Rows that `predict` passes through the network at once: data times draws."""


class BayesianNetwork(nn.Module):
    r"""A network with random weights, and the likelihood of its outputs.

    Args:
        network: a module with random layers, such as `layers.bayesianize` makes of a plain one.
        likelihood: $p(y \mid f_w(x))$: `layers.CategoricalLikelihood`, `layers.GaussianLikelihood`, or another module
            with their methods. Its own parameters, such as a learned noise, are not random.

    Raises:
        ValueError: if the network has no random layer.

    Example:
        >>> from jensen.layers.variational import bayesianize
        >>> network = bayesianize(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
        >>> net = BayesianNetwork(network, likelihood=CategoricalLikelihood())
        >>> prediction = net.predict(torch.zeros(5, 4), samples=20)
        >>> prediction.mean.shape, prediction.total.shape
        (torch.Size([5, 3]), torch.Size([5]))

    References:
        | Weight Uncertainty in Neural Networks (Blundell et al., 2015), section 3
        | https://arxiv.org/abs/1505.05424
    """

    def __init__(self, network: nn.Module, *, likelihood: nn.Module) -> None:
        super().__init__()
        random_layers(network)
        self.network = network
        self.likelihood: Any = likelihood
        self._shapes: Shapes | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The network's output at one draw of the weights, `(B, *out)`; at their means within `layers.at_means`."""
        output: Tensor = self.network(x)
        return output

    def log_likelihood(self, batch: Pairs, samples: int = 1) -> Tensor:
        r"""$\log p(y_b \mid x_b, w_k)$ in nats, `(K, B)`, with whatever noise the layers make.

        Layers with an estimator of low variance make noise for each datum, so that a column is no single draw of the
        weights: the mean over draws and the sum over data are unbiased, a product over data is not.

        Raises:
            ValueError: if `samples` is below 1 or the targets do not fit the outputs.
        """
        check_samples(samples)
        return self._scored(forward_samples(self.network, batch.inputs, samples), batch)

    def kl(self) -> Tensor:
        r"""$\mathrm{KL}(q(w \mid \theta) \,\|\, p(w))$ in nats, summed over all weights, a scalar.

        Raises:
            ValueError: if a prior has no closed form; `log_weights` draws it.
        """
        return total_kl(self.network)

    def log_likelihood_and_kl(self, batch: Pairs, samples: int = 1) -> tuple[Tensor, Tensor]:
        """What `log_likelihood` and `kl` return; with one sample in fewer passes over the weights.

        Raises:
            ValueError: as they do.
        """
        if samples != 1:
            return self.log_likelihood(batch, samples), self.kl()
        output, kl = forward_and_kl(self.network, batch.inputs)
        return self._scored(output.unsqueeze(0), batch), kl

    def posterior(self) -> "WeightPosterior":
        r"""$q(w \mid \theta)$ over all weights in one row: batch `(1,)`, event `(weights,)`."""
        if self._shapes is None:
            self._shapes = _weight_shapes(self.network)
        return WeightPosterior(self.network, shapes=self._shapes)

    def cost(self, batch: Pairs, *, data: int | None = None) -> Callable[[Tensor], Tensor]:
        r"""$f(w) = -\log p(D \mid w)$, from rows of weights `(K, 1, weights)` to nats `(K, 1)`, for `gradients`.

        Args:
            batch: data, or a minibatch of them.
            data: the number of data that the batch stands for; all there are by default.

        Raises:
            ValueError: if there are no data.
        """
        scale, q = _scale(batch, data), self.posterior()
        return lambda rows: -scale * self._summed(batch, q.weights(rows))

    def log_weights(
        self,
        batch: Pairs,
        samples: int = 1,
        *,
        data: int | None = None,
        posterior: "WeightPosterior | None" = None,
        path_derivative: bool = False,
    ) -> LogWeights:
        r"""The terms of $\log p(D, w_k) - \log q(w_k \mid \theta)$ at draws of the weights, one for all data.

        $$\log p(D \mid w) \approx \frac{N}{B} \sum_{b=1}^{B} \log p(y_b \mid x_b, w)$$

        Args:
            batch: data, or a minibatch of them.
            samples: how many draws.
            data: the number $N$ of data that the batch stands for; all there are by default.
            posterior: $q(w \mid \theta)$, where it is at hand already.
            path_derivative: let the gradient reach $\theta$ through the draws alone, for `bounds.stl` and
                `bounds.dreg`.

        Returns:
            Three tensors `(samples, 1)` in nats, of the whole data set.

        Raises:
            ValueError: if `samples` or `data` is below 1, or a prior is improper.
        """
        check_samples(samples)
        scale = _scale(batch, data)
        rows: Tensor | None = None
        if path_derivative or posterior is not None:
            q = self.posterior() if posterior is None else posterior
            rows = q.rsample(torch.Size((samples,)))
        weights = draw_weights(self.network, samples) if rows is None else q.weights(rows)
        log_q = _constant(self.network, weights) if path_derivative else log_posterior(self.network, weights)
        return LogWeights(
            log_likelihood=scale * self._summed(batch, weights),
            log_prior=log_prior(self.network, weights).unsqueeze(1),
            log_posterior=log_q.unsqueeze(1),
            path=(rows,) if rows is not None and path_derivative else (),
        )

    @torch.no_grad()
    def predict(self, x: Tensor, *, samples: int = 100, rows: int = ROWS) -> Prediction:
        r"""The predictive distribution $\frac{1}{K} \sum_k p(y \mid x, w_k)$, by weights drawn anew.

        The network is in evaluation mode meanwhile: no dropout, no batch statistics.

        Args:
            x: inputs, `(B, *event)`.
            samples: how many draws of the weights.
            rows: how many inputs times draws go through the network at once, which bounds the memory; inputs in
                different passes see different draws.

        Raises:
            ValueError: if `samples` or `rows` is below 1, there are no inputs, or the network's weights or outputs hold
                NaN.
        """
        check_samples(samples)
        return self._predicted(x, samples, rows, lambda part, draws: forward_samples(self.network, part, draws))

    @torch.no_grad()
    def predict_at_means(self, x: Tensor, *, rows: int = ROWS) -> Prediction:
        """The prediction of the one network whose weights are the posterior's means; its epistemic part is zero.

        Args:
            x: inputs, `(B, *event)`.
            rows: how many inputs go through the network at once.

        Raises:
            ValueError: if `rows` is below 1, there are no inputs, or the network's weights or outputs hold NaN.
        """
        with at_means(self.network):
            return self._predicted(x, 1, rows, lambda part, _: self.network(part).unsqueeze(0))

    @torch.no_grad()
    def check(self, batch: Pairs) -> None:
        """Refuse data that this network has no likelihood for.

        Raises:
            ValueError: if it is no `Pairs`, holds NaN, the inputs do not fit the network, or the targets its outputs.
        """
        if not isinstance(batch, Pairs):
            raise ValueError(f"a Bayesian network learns from Pairs(inputs, targets), got {type(batch).__name__}")
        for name, values in (("inputs", batch.inputs), ("targets", batch.targets)):
            if not bool(torch.isfinite(values).all()):
                raise ValueError(f"the {name} hold NaN or infinity; remove these data or replace the values first")
        with evaluating(self.network), at_means(self.network):
            try:
                outputs = self.network(batch.inputs[:1]).unsqueeze(0)
            except (RuntimeError, IndexError) as error:
                shape = tuple(batch.inputs.shape)
                raise ValueError(f"inputs of shape {shape} do not fit the network: {error}") from error
        self.likelihood.check(outputs, batch.targets)

    def _summed(self, batch: Pairs, weights: Weights) -> Tensor:
        return self._scored(forward_with(self.network, batch.inputs, weights), batch).sum(1, keepdim=True)

    def _scored(self, outputs: Tensor, batch: Pairs) -> Tensor:
        log_prob: Tensor = self.likelihood.log_prob(outputs, batch.targets)  # (K, B)
        return log_prob

    def _predicted(self, x: Tensor, samples: int, rows: int, forward: Callable[[Tensor, int], Tensor]) -> Prediction:
        if rows < 1 or not len(x):
            raise ValueError(f"cannot predict for inputs of shape {tuple(x.shape)} with rows={rows}")
        home = next(self.network.parameters()).device
        with evaluating(self.network):
            parts = []
            for part in torch.split(x.to(home), rows):
                at_once = max(1, rows // len(part))
                draws = [min(at_once, samples - done) for done in range(0, samples, at_once)]
                parts.append(torch.cat([forward(part, each) for each in draws]))
        outputs = torch.cat(parts, dim=1)
        _check_outputs(self.network, outputs)
        prediction: Prediction = self.likelihood.predict(outputs)
        return prediction


class WeightPosterior(Distribution):
    r"""$q(w \mid \theta)$ of a network's random layers, as a distribution over one row of all weights.

    Args:
        network: with random layers.
        shapes: that of each random weight, by layer and name.
    """

    arg_constraints = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, network: nn.Module, *, shapes: Shapes) -> None:
        self.network, self.shapes = network, shapes
        self.sizes = [shape.numel() for named in shapes.values() for shape in named.values()]
        super().__init__(torch.Size((1,)), torch.Size((sum(self.sizes),)), validate_args=False)

    def weights(self, rows: Tensor) -> Weights:
        """The weights by layer and name, `(K, *shape)` each, of rows `(K, 1, weights)`."""
        pieces = iter(torch.split(rows.squeeze(1), self.sizes, dim=-1))
        return {
            layer: {name: next(pieces).reshape(len(rows), *shape) for name, shape in named.items()}
            for layer, named in self.shapes.items()
        }

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:
        """Reparameterised draws, `(*sample_shape, 1, weights)`."""
        shape = torch.Size(sample_shape)
        each = draw_weights(self.network, shape.numel())
        rows = torch.cat([w.flatten(1) for named in each.values() for w in named.values()], dim=1)
        return rows.reshape(*shape, 1, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, `(*sample, 1)`."""
        rows = value.reshape(-1, 1, value.shape[-1])
        return log_posterior(self.network, self.weights(rows)).reshape(value.shape[:-1])


def _check_outputs(network: nn.Module, outputs: Tensor) -> None:
    """Refuse to predict with NaN, and say which layer it comes from; a look at the weights only where one is needed."""
    if bool(outputs.isfinite().all()):
        return
    broken = [name for name, parameter in network.named_parameters() if not bool(parameter.isfinite().all())]
    if broken:
        raise ValueError(f"the network cannot predict: {', '.join(broken)} hold NaN or infinity; train it anew")
    if bool(outputs.isnan().any()):
        raise ValueError("the network's outputs hold NaN at finite weights; look for NaN or huge numbers in the inputs")


def _weight_shapes(network: nn.Module) -> Shapes:
    """The shapes of all random weights; no draw is used up."""
    gpus = {p.device for p in network.parameters() if p.device.type == "cuda"}
    with torch.no_grad(), torch.random.fork_rng(devices=list(gpus)):
        weights = draw_weights(network, 1)
    return {layer: {name: w.shape[1:] for name, w in named.items()} for layer, named in weights.items()}


class _LogPosterior(nn.Module):
    """The density of the draws as a forward pass, in which parameters can be held constant."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, weights: Weights) -> Tensor:
        return log_posterior(self.network, weights)


def _constant(network: nn.Module, weights: Weights) -> Tensor:
    r"""$\log q(w)$, `(K,)`, with the parameters of $q$ held constant."""
    constants: dict[str, Tensor] = {
        f"network.{name}": nn.Parameter(value.detach(), requires_grad=False)
        for name, value in network.named_parameters()
    }
    value: Tensor = torch.func.functional_call(_LogPosterior(network), constants, (weights,))
    return value


def _scale(batch: Pairs, data: int | None) -> float:
    """How many data each datum of the batch stands for, $N / B$."""
    N = len(batch) if data is None else data
    if N < 1 or not len(batch):
        raise ValueError(f"a batch of {len(batch)} stands for data={N}; both must be at least 1")
    return N / len(batch)
