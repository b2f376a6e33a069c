r"""One wrapper that gives any layer of torch a posterior over its weights.

$$q(w) = \prod_i \mathcal{N}(w_i; \mu_i, \sigma_i^2), \qquad w = \mu + \sigma \circ \epsilon$$

There is no twin class for each kind of layer: drawn weights are put in place of the layer's own for one call.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from jensen._contracts import check_samples
from jensen.layers.variational import closed_forms, joint, kernels
from jensen.layers.variational.posteriors import INDEPENDENT, MeanFieldScales, Posterior, Scales
from jensen.layers.variational.priors import STANDARD_NORMAL, NormalPrior, Prior, as_prior, check_density
from jensen.layers.variational.protocol import Draws

__all__ = ["ESTIMATORS", "Variational", "matches"]

ESTIMATORS = ("sampled", "local", "flipout")
_Gaussian = tuple[Tensor, Tensor]


class Variational(nn.Module):
    r"""A layer with a Gaussian posterior over its weights; the layer's own parameters are the means.

    | estimator | noise | layers |
    |---|---|---|
    | `"sampled"` | one draw of the weights for the whole batch, and for all steps of a recurrent layer | every one |
    | `"local"` | each output of each example its own: the gradient with the least variance | linear, convolutions |
    | `"flipout"` | one draw, decorrelated between examples by random signs | linear, convolutions |

    A recurrent layer is `nn.LSTM` or `nn.GRU`; a cell, which is called for each step, draws at each call. All three
    estimators give each output the same mean and variance. With `deterministic = True`, which `at_means` sets, the
    output is that of the means; `train()` and `eval()` do not change the noise. The layer's other attributes
    (`in_features`, `hidden_size`) can be read through the wrapper, its random parameters cannot.

    Args:
        layer: any module, linear, convolutional, recurrent or an embedding. It is kept, not copied.
        prior: `NormalPrior`, `LaplacePrior`, `ScaleMixturePrior`, or a torch distribution over single numbers.
        posterior: `MeanField` or `FullGaussian`.
        estimator: `"sampled"`, `"local"` or `"flipout"`.
        parameters: patterns of the names of the parameters that are random; the others stay as they are.

    Raises:
        ValueError: if no parameter matches, a weight is NaN or infinite, two names share one parameter, the layer's
            weights are computed from others (a parametrization), the prior is no density on the whole line or has none
            at the means, or the estimator does not suit the layer.

    Example:
        >>> layer = Variational(nn.Linear(784, 10), estimator="local")
        >>> layer(torch.zeros(32, 784)).shape, layer.kl().shape
        (torch.Size([32, 10]), torch.Size([]))

    References:
        | Weight Uncertainty in Neural Networks (Blundell, Cornebise, Kavukcuoglu & Wierstra, 2015), section 3.2
        | https://arxiv.org/abs/1505.05424v2
        | Variational Dropout and the Local Reparameterization Trick (Kingma, Salimans & Welling, 2015), eq. 6
        | https://arxiv.org/abs/1506.02557v2
        | Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches (Wen et al., 2018), eq. 4
        | https://arxiv.org/abs/1803.04386v2
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        prior: Prior | Distribution = STANDARD_NORMAL,
        posterior: Posterior = INDEPENDENT,
        estimator: str = "sampled",
        parameters: str | Sequence[str] = "*",
    ) -> None:
        super().__init__()
        self.names = _matching(layer, parameters)
        self.layer = layer
        self.prior, self.family, self.estimator = as_prior(prior), posterior, estimator
        for name, mean in self.means().items():
            check_density(self.prior, mean, f"{name!r} of {type(layer).__name__}")
        self.posterior = posterior.start(self.means())
        self.deterministic = False
        self.training = layer.training
        self.linear = kernels.is_linear(layer) and isinstance(self.posterior, MeanFieldScales)
        _check_estimator(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's output with noise, or at the means."""
        if self.deterministic:
            return self.layer(*args, **kwargs)
        if self.linear:
            return self._linear(args[0] if args else kwargs["input"])
        draw = {name: weights[0] for name, weights in self._scales().draw(self.means(), 1).items()}
        return functional_call(self.layer, draw, args, kwargs)

    def forward_and_kl(self, *args: Any, **kwargs: Any) -> tuple[Any, Tensor]:
        """What the layer and then `kl` return; with `"local"` a linear layer goes over its weights once for both.

        They may share one node of the graph: a backward pass of one frees it for both, unless told to retain it.

        Raises:
            ValueError: if the divergence has no closed form.
        """
        local = self.estimator == "local" and not self.deterministic
        if not (local and type(self.prior) is NormalPrior and self._wholly_random_linear()):
            return Variational.forward(self, *args, **kwargs), self.kl()
        x, kind = args[0] if args else kwargs["input"], cast(MeanFieldScales, self.posterior).kind
        of_weight, of_bias, noise = self._local_terms(x)
        return joint.local_linear_and_kl(x, of_weight, of_bias, noise=noise, kind=kind, prior_scale=self.prior.scale)

    def _linear(self, x: Tensor) -> Tensor:
        if self.estimator == "local":
            return self._local(x)
        layer, parameters = self.layer, self.layer._parameters
        weight, bias = cast(Tensor, parameters["weight"]), parameters["bias"]
        offsets = self._offset("weight"), self._offset("bias")
        if self.estimator == "flipout":
            of_inputs, of_outputs = (kernels.signs(s, like=weight) for s in kernels.sign_shapes(layer, x))
            mean = kernels.apply_linearly(layer, x, weight, bias)
            return mean + kernels.flipout(layer, x, offsets=offsets, signs=(of_inputs, of_outputs))
        drawn = weight if offsets[0] is None else weight + offsets[0]
        return kernels.apply_linearly(
            layer, x, drawn, bias if bias is None or offsets[1] is None else bias + offsets[1]
        )

    def _local(self, x: Tensor) -> Tensor:
        layer, posterior = self.layer, cast(MeanFieldScales, self.posterior)
        if self._wholly_random_linear():
            of_weight, of_bias, noise = self._local_terms(x)
            return closed_forms.local_linear(x, of_weight, of_bias, noise=noise, kind=posterior.kind)
        weight, bias = cast(Tensor, layer._parameters["weight"]), layer._parameters["bias"]
        mean = kernels.apply_linearly(layer, x, weight, bias)
        in_bias = posterior.variance("bias") if "bias" in self.names else None
        if "weight" in self.names:
            variance = kernels.apply_linearly(layer, x.square(), posterior.variance("weight"), in_bias)
        else:
            variance = cast(Tensor, in_bias).reshape(-1, *[1] * (weight.ndim - 2)).expand_as(mean)
        return closed_forms.local_reparameterization(mean, variance, torch.randn_like(mean))

    def _wholly_random_linear(self) -> bool:
        present = [each for each in self.layer._parameters.values() if each is not None]
        return isinstance(self.layer, nn.Linear) and len(self.names) == len(present)

    def _local_terms(self, x: Tensor) -> tuple[_Gaussian, _Gaussian | tuple[None, None], Tensor]:
        """Means and free scales of the weight and the bias of a linear layer, and noise for its outputs."""
        posterior, parameters = cast(MeanFieldScales, self.posterior), self.layer._parameters
        weight, bias = cast(Tensor, parameters["weight"]), parameters["bias"]
        noise = torch.randn(*x.shape[:-1], len(weight), dtype=weight.dtype, device=weight.device)
        of_bias = (None, None) if bias is None else (bias, posterior.free("bias"))
        return (weight, posterior.free("weight")), of_bias, noise

    def _offset(self, name: str) -> Tensor | None:
        """The noise of one parameter, where it is random."""
        if name not in self.names:
            return None
        mean = cast(Tensor, self.layer._parameters[name])
        noise = torch.randn(mean.shape, dtype=mean.dtype, device=mean.device)
        return cast(MeanFieldScales, self.posterior).offset(name, noise)

    def _scales(self) -> Scales:
        return cast(Scales, self.posterior)

    def means(self) -> dict[str, Tensor]:
        """The posterior mean of each random parameter, by its name in the layer."""
        return {name: self.layer.get_parameter(name) for name in self.names}

    def scales(self) -> dict[str, Tensor]:
        """The posterior standard deviation of each random parameter, by its name in the layer."""
        return self._scales().scales()

    def kl(self) -> Tensor:
        r"""$\mathrm{KL}(q(w) \,\|\, p(w))$ in nats, summed over the weights, `()`.

        Raises:
            ValueError: if it has no closed form, as with a scale mixture.
        """
        return self._scales().kl(self.means(), self.prior)

    def draw(self, samples: int) -> Draws:
        """K draws of each random parameter, `(K, *shape)`, through which gradients flow.

        Raises:
            ValueError: if `samples` is below 1.
        """
        check_samples(samples)
        return self._scales().draw(self.means(), samples)

    def log_prior(self, draws: Mapping[str, Tensor]) -> Tensor:
        r"""$\log p(w_k)$ in nats, summed over the weights, `(K,)`."""
        self._check(draws)
        return torch.stack([self.prior.log_prob(draws[name]).flatten(1).sum(1) for name in self.names]).sum(0)

    def log_posterior(self, draws: Mapping[str, Tensor]) -> Tensor:
        r"""$\log q(w_k)$ in nats, summed over the weights, `(K,)`."""
        self._check(draws)
        return self._scales().log_prob(self.means(), draws)

    def extra_repr(self) -> str:
        """Prior, posterior, estimator, and which parameters are random."""
        prior = getattr(self.prior, "distribution", self.prior)
        return f"prior={prior}, posterior={self.family}, estimator={self.estimator!r}, parameters={self.names}"

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            layer = self.__dict__.get("_modules", {}).get("layer")
            if layer is None or name.startswith("_"):
                raise
        if name in self.names:
            raise AttributeError(
                f"{name!r} of this {type(layer).__name__} is random; read the mean as .layer.{name} or draw it by "
                f".draw(samples). A module that multiplies by it itself must be wrapped as a whole"
            )
        return getattr(layer, name)

    def _check(self, draws: Mapping[str, Tensor]) -> None:
        for name, mean in self.means().items():
            found = tuple(draws[name].shape) if name in draws else None
            if found is None or found[1:] != mean.shape or len(found) != mean.ndim + 1:
                raise ValueError(f"draws of {name!r} have shape {found}; expected (K, *{tuple(mean.shape)})")


def matches(name: str, patterns: str | Sequence[str]) -> bool:
    """Whether a parameter's name matches one of the patterns, in which `*` stands for anything.

    Example:
        >>> matches("features.0.weight", ["classifier.*", "*.weight"])
        True
    """
    return any(fnmatchcase(name, each) for each in ([patterns] if isinstance(patterns, str) else patterns))


def _matching(layer: nn.Module, patterns: str | Sequence[str]) -> tuple[str, ...]:
    """The names of the layer's parameters that match, each of them fit to be a mean."""
    every = dict(layer.named_parameters(remove_duplicate=False))
    names = tuple(name for name in every if matches(name, patterns))
    kind = type(layer).__name__
    if not names:
        raise ValueError(f"no parameter of {kind} matches {patterns!r}; it has {sorted(every)}")
    _check_kind(layer)
    for name in names:
        twins = [other for other in every if other != name and every[other] is every[name]]
        if twins:
            raise ValueError(f"{name!r} and {twins[0]!r} of {kind} are one parameter; untie them, or exclude both")
        _check_weights(every[name], f"{name!r} of {kind}")
    return names


def _check_weights(weights: Tensor, name: str) -> None:
    if is_lazy(weights):
        raise ValueError(f"{name} has no shape yet; run the module once before it is made random")
    if not weights.is_floating_point():
        raise ValueError(f"{name} is of {weights.dtype}; random weights are floating point")
    if not weights.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite weights; a posterior needs finite means")


def _check_kind(layer: nn.Module) -> None:
    kind = type(layer).__name__
    if is_parametrized(layer):
        raise ValueError(f"{kind} computes its weights from others; remove its parametrizations first")
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        special = {name: getattr(layer, name, None) for name in ("padding_idx", "max_norm", "sparse")}
        if any(value is not None and value is not False for value in special.values()):
            raise ValueError(f"{kind} with {special}: a random embedding has none of them; make it without")


def _check_estimator(layer: Variational) -> None:
    if layer.estimator not in ESTIMATORS:
        raise ValueError(f"estimator is {layer.estimator!r}; give one of {', '.join(map(repr, ESTIMATORS))}")
    if layer.estimator != "sampled" and not layer.linear:
        raise ValueError(
            f"estimator {layer.estimator!r} is for nn.Linear and nn.Conv1d, 2d and 3d with a MeanField posterior, "
            f"not for {type(layer.layer).__name__} with {layer.family}; take 'sampled'"
        )
