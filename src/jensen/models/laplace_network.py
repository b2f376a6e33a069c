r"""Laplace's approximation around a trained network: a Gaussian over its weights, and the evidence, after the fact.

Expectation: $p(D) = \mathbb{E}_{p(\theta)}[p(D \mid \theta)]$, approximated by a Gaussian integral at the trained
weights $\theta^*$.

$$q(\theta) = \mathcal{N}(\theta^*, \Sigma), \qquad \Sigma^{-1} = \sum_n J_n^T \Lambda_n J_n + \delta I, \qquad
p(\theta) = \mathcal{N}(0, \delta^{-1} I)$$

$$\log p(D) \approx \log p(D \mid \theta^*) + \log p(\theta^*) + \frac{P}{2} \log 2\pi -
\frac12 \log \lvert \Sigma^{-1} \rvert$$

$$f(x) \approx f_{\theta^*}(x) + J(x) (\theta - \theta^*) \;\sim\; \mathcal{N}(f_{\theta^*}(x), J(x) \Sigma J(x)^T)$$

| paper | code | shape |
|---|---|---|
| $\theta^*$ | `modes[l]`, a matrix $[W, b]$ for each layer | `(G, O, I)` |
| $J_n$ | never whole: rows and gradients of `layers.curvature.Tape` | |
| $\Lambda_n$ | `layers.curvature.OutputCurvature` | |
| $\sum_n J_n^T \Lambda_n J_n$ | `curvature`: full, Kronecker-factored or diagonal | |
| $\delta$ | `prior_precision` | `(L,)` |
| $\Sigma$ | `covariance()` | |

Differs from the papers: weights and bias of a layer share one Kronecker factor; the gradient of the log joint at
$\theta^*$ is kept, so that `log_evidence` tells how far from a mode it was taken.

References:
    | A Practical Bayesian Framework for Backpropagation Networks (MacKay, 1992)
    | https://doi.org/10.1162/neco.1992.4.3.448
    | A Scalable Laplace Approximation for Neural Networks (Ritter, Botev & Barber, 2018)
    | https://openreview.net/forum?id=Skdvd2xAZ
    | Improving Predictions of Bayesian Neural Nets via Local Linearization (Immer, Korzepa & Bauer, 2021)
    | https://arxiv.org/abs/2008.08400
    | Scalable Marginal Likelihood Estimation for Model Selection in Deep Learning (Immer et al., 2021)
    | https://arxiv.org/abs/2104.04975
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from jensen._contracts import Pairs, check_samples
from jensen._evidence import Diagnostic, Evidence
from jensen._math import HALF_LOG_TWO_PI
from jensen.layers.curvature import (
    Choice,
    Covariance,
    DiagonalCurvature,
    FullCurvature,
    KroneckerCurvature,
    Marginals,
    Site,
    Tape,
    best_precisions,
    find_sites,
    last_site,
    output_curvature,
    record,
)
from jensen.layers.likelihoods import CategoricalLikelihood, GaussianLikelihood, Prediction

__all__ = ["LaplaceNetwork"]

Shape = Literal["full", "kron", "diagonal"]
SHAPES: dict[Shape, type[FullCurvature | KroneckerCurvature | DiagonalCurvature]] = {
    "full": FullCurvature,
    "kron": KroneckerCurvature,
    "diagonal": DiagonalCurvature,
}

MISSING = 0.1
"""Nats of the log joint between the weights and the mode beside them that deserve a warning."""


class LaplaceNetwork(nn.Module):
    r"""A trained network with a Gaussian around its weights. Made by `LaplaceNetwork.fit`.

    The network is copied and used in evaluation mode. Built directly it has seen no data, and its posterior is the
    prior's precision around the weights: a shell for `load_state_dict`.

    Args:
        network: a trained module that returns `(B, C)` log-odds, or means `(B, *out)`.
        likelihood: `CategoricalLikelihood`, or `GaussianLikelihood` with one noise for all inputs.
        layers: names of the layers to be uncertain of, or patterns of names, or `"all"`; the others stay fixed.
        curvature: `"full"`, `"kron"` or `"diagonal"`, as in `layers.curvature`.
        prior_precision: $\delta$, one number or one for each layer.

    Raises:
        ValueError: if a chosen layer is neither `Linear` nor a convolution, a weight is not finite, or a precision is
            not a positive number.

    Example:
        >>> network = torch.nn.Linear(2, 3)
        >>> x, y = torch.randn(20, 2), torch.arange(20) % 3
        >>> laplace = LaplaceNetwork.fit(network, Pairs(x, y), likelihood=CategoricalLikelihood())
        >>> laplace.predict(x[:4]).mean.shape
        torch.Size([4, 3])

    References:
        | A Practical Bayesian Framework for Backpropagation Networks (MacKay, 1992)
        | https://doi.org/10.1162/neco.1992.4.3.448
    """

    likelihood: CategoricalLikelihood | GaussianLikelihood
    curvature: FullCurvature | KroneckerCurvature | DiagonalCurvature
    prior_precision: Tensor
    log_likelihood: Tensor
    squares: Tensor
    data: Tensor
    targets: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        likelihood: CategoricalLikelihood | GaussianLikelihood,
        layers: Sequence[str] | Literal["all"] = "all",
        curvature: Shape = "kron",
        prior_precision: float | Sequence[float] | Tensor = 1.0,
    ) -> None:
        super().__init__()
        if curvature not in get_args(Shape):
            raise ValueError(f"curvature is {curvature!r}; give one of {', '.join(get_args(Shape))}")
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.sites = find_sites(self.network, layers)
        _check_weights(self.network)
        like = self.sites[0].matrix
        self.likelihood = _noise_as_parameter(likelihood).requires_grad_(False).to(like)
        self.curvature = SHAPES[curvature](self.sites)
        for l, site in enumerate(self.sites):
            self.register_buffer(f"gradient_{l}", torch.zeros_like(site.matrix))
        self.register_buffer("prior_precision", _precision(prior_precision, self.sites).to(like.device))
        for name in ("log_likelihood", "squares"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64, device=like.device))
        for name in ("data", "targets"):
            self.register_buffer(name, torch.zeros((), dtype=torch.long, device=like.device))
        self._covariance: Covariance | None = None

    @classmethod
    def fit(
        cls,
        network: nn.Module,
        data: Pairs,
        *,
        likelihood: CategoricalLikelihood | GaussianLikelihood,
        layers: Choice = "last",
        curvature: Shape = "kron",
        prior_precision: float | Sequence[float] | Tensor = 1.0,
        batch_size: int = 256,
    ) -> Self:
        r"""One pass over the data in batches; for each a pass backward for every output, and none for a last layer.

        Args:
            network: a network trained on `data`; a mode if it was trained on the log-likelihood and a weight decay of
                $\delta / 2$ in all, $\delta / 2N$ for each datum.
            data: what it was trained on, all of it: the curvature is a sum.
            likelihood: as for the class.
            layers: `"last"`, the last layer that is called; or as for the class.
            curvature: as for the class.
            prior_precision: as for the class; `optimize_prior_precision` finds a better one.
            batch_size: how many data are at once in memory.

        Raises:
            ValueError: as for the class; also if the data are empty, or a target or an output has no log-probability.
        """
        if not len(data) or batch_size < 1:
            raise ValueError(f"{len(data)} data in batches of {batch_size} are no data; give at least one")
        names = _last(network, data) if isinstance(layers, str) and layers == "last" else layers
        laplace = cls(
            network, likelihood=likelihood, layers=names, curvature=curvature, prior_precision=prior_precision
        )
        for start in range(0, len(data), batch_size):
            laplace._add(data[start : start + batch_size])
        return laplace

    @torch.enable_grad()
    def _add(self, batch: Pairs) -> None:
        batch = batch.to(self.gradient(0).device)
        tape = record(self.network, self.sites, batch.inputs)
        f = tape.outputs.detach().requires_grad_()  # (B, C)
        if not bool(f.isfinite().all()):
            raise ValueError("the network returns NaN or infinite outputs for some data; are these finite?")
        outputs = f.reshape(1, len(f), *tape.event)
        self.likelihood.check(outputs, batch.targets)
        log_likelihood = self.likelihood.log_prob(outputs, batch.targets).sum()
        if not bool(log_likelihood.isfinite()):
            raise ValueError("the log-likelihood of the data is not finite; are all targets numbers?")
        (slope,) = torch.autograd.grad(log_likelihood, f)
        with torch.no_grad():
            curvature = output_curvature(self.likelihood, f)
            self.curvature.add(tape, curvature)
            for l, (a, g) in enumerate(zip(tape.rows, tape.gradients(slope), strict=True)):
                self.gradient(l).add_(torch.einsum("btgo,btgi->goi", g, a))
            self.log_likelihood += log_likelihood.double()
            self.squares += (slope.square() / curvature.weight).double().sum()
            self.data += len(f)
            self.targets += f.numel()
        self._covariance = None

    def gradient(self, l: int) -> Tensor:
        """Of the log-likelihood in the matrix of layer l, `(G, O, I)`."""
        return self.get_buffer(f"gradient_{l}")

    @property
    def modes(self) -> list[Tensor]:
        r"""$\theta^*$, `(G, O, I)` for each layer."""
        return [site.matrix for site in self.sites]

    def set_prior_precision(self, prior_precision: float | Sequence[float] | Tensor) -> None:
        r"""Another $\delta$, one number or one for each layer; the curvature stays.

        Raises:
            ValueError: if one is not a positive number, or there is not one for each layer.
        """
        self.prior_precision.copy_(_precision(prior_precision, self.sites))
        self._covariance = None

    def covariance(self) -> Covariance:
        r"""$\Sigma$.

        Raises:
            ValueError: if its inverse is not positive definite.
        """
        if self._covariance is None:
            self._covariance = self.curvature.covariance(self.prior_precision)
        return self._covariance

    def log_evidence(self) -> Evidence:
        r"""Laplace's approximation of $\log p(D)$, in nats; the weights of the other layers are held fixed.

        Exact for a linear network with Gaussian noise at its mode, with a full or a Kronecker-factored curvature.

        Returns:
            An approximation without a standard error. `diagnostics`: its terms `log_likelihood` and `log_prior`,
            `parameters` and how many of them the data determine, and `newton_decrement`, the distance to the mode of
            the linearised network in posterior standard deviations.
        """
        covariance, prior = self.covariance(), self.prior_precision.double()
        counts = prior.new_tensor([site.count for site in self.sites])
        squares = torch.stack([mode.double().square().sum() for mode in self.modes])
        log_prior = float(0.5 * (counts @ prior.log() - prior @ squares)) - float(counts.sum()) * HALF_LOG_TWO_PI
        volume = float(counts.sum()) * HALF_LOG_TWO_PI - 0.5 * covariance.log_det_precision
        slopes = [self.gradient(l) - prior[l] * mode for l, mode in enumerate(self.modes)]
        decrement = math.sqrt(max(covariance.quadratic([g.to(self.modes[0]) for g in slopes]), 0.0))
        diagnostics: dict[str, Diagnostic] = {
            "log_likelihood": float(self.log_likelihood),
            "log_prior": log_prior,
            "parameters": int(counts.sum()),
            "effective_parameters": float(covariance.effective().sum()),
            "prior_precision": tuple(prior.tolist()),
            "newton_decrement": decrement,
            "data": int(self.data),
        }
        value = float(self.log_likelihood) + log_prior + volume
        return Evidence(
            value, math.nan, diagnostics, method="laplace", kind="approximation", warnings=_warnings(decrement)
        )

    @torch.no_grad()
    def optimize_prior_precision(self, *, per_layer: bool = False, noise: bool = False) -> Evidence:
        r"""Set $\delta$ to what makes `log_evidence` largest at these weights.

        Args:
            per_layer: one for each layer; otherwise one for all.
            noise: set the $\sigma$ of a Gaussian likelihood too; all of them by one factor where there are several.

        Returns:
            The log-evidence that is reached.

        Raises:
            ValueError: if no value is best (`layers.curvature.best_precisions`), or the likelihood has no noise.
        """
        if noise and not isinstance(self.likelihood, GaussianLikelihood):
            raise ValueError("classes have no noise to be optimised; noise=True needs a GaussianLikelihood")
        squares = (float(self.squares), int(self.targets)) if noise else None
        best = best_precisions(self.curvature, self.modes, per_layer=per_layer, squares=squares)
        if isinstance(self.likelihood, GaussianLikelihood) and noise:
            self._scale_noise(self.likelihood.log_scale, best.noise)
        self.set_prior_precision(best.prior)
        return self.log_evidence()

    def _scale_noise(self, log_scale: Tensor, factor: float) -> None:
        log_scale += 0.5 * math.log(factor)
        self.log_likelihood += 0.5 * float(self.squares) * (1 - 1 / factor)
        self.log_likelihood -= 0.5 * int(self.targets) * math.log(factor)
        self.squares /= factor
        self.curvature.rescale(1 / factor)
        for l in range(len(self.sites)):
            self.gradient(l).div_(factor)

    @torch.no_grad()
    def sample_weights(self, n: int) -> dict[str, Tensor]:
        r"""Draws of $\theta$ for `torch.func.functional_call(network, ...)`, `(n, *shape)` by parameter name.

        Raises:
            ValueError: if `n` is below 1.
        """
        check_samples(n)
        draws = zip(self.sites, self.modes, self.covariance().draw(n), strict=True)
        return {name: each for site, mode, draw in draws for name, each in site.parameters(mode + draw).items()}

    @torch.no_grad()
    def weight_variances(self) -> dict[str, Tensor]:
        r"""The diagonal of $\Sigma$ by parameter name."""
        pairs = zip(self.sites, self.covariance().variances(), strict=True)
        return {
            name: each[0] for site, variance in pairs for name, each in site.parameters(variance.unsqueeze(0)).items()
        }

    @torch.inference_mode(False)
    @torch.no_grad()
    def marginals(self, x: Tensor) -> Marginals:
        r"""The outputs of the linearised network, $\mathcal{N}(f_{\theta^*}(x), J(x) \Sigma J(x)^T)$, in closed form.

        Args:
            x: inputs, `(B, *event)`, all at once in memory.
        """
        return self.covariance().marginals(self._record(x))

    def _record(self, x: Tensor) -> Tape:
        return record(self.network, self.sites, x.to(self.gradient(0).device))

    @torch.inference_mode(False)
    @torch.no_grad()
    def predict(self, x: Tensor, *, samples: int = 100, linearized: bool = True, batch_size: int = 128) -> Prediction:
        r"""The predictive distribution of each input.

        With Gaussian noise the draws of the linearised network are shifted and scaled for each input so that mean and
        variances are those of the closed form, whatever their number above one.

        Args:
            x: inputs, `(B, *event)`.
            samples: the number of draws of the outputs, for each input its own.
            linearized: of the linearised network, for which the Gauss-Newton curvature is meant; otherwise of the
                network itself at `sample_weights`, one draw for all inputs.
            batch_size: how many inputs are at once in memory.

        Raises:
            ValueError: if `samples` or `batch_size` is below 1.
        """
        check_samples(samples)
        if batch_size < 1 or not len(x):
            raise ValueError(f"{len(x)} inputs in batches of {batch_size}; give at least one")
        weights = None if linearized else self.sample_weights(samples)
        draws = [self._outputs(batch, samples, weights) for batch in torch.split(x, batch_size)]
        return self.likelihood.predict(torch.cat(draws, 1))

    def _outputs(self, x: Tensor, samples: int, weights: dict[str, Tensor] | None) -> Tensor:
        if weights is not None:
            each = ({name: draw[k] for name, draw in weights.items()} for k in range(samples))
            return torch.stack([functional_call(self.network, w, (x.to(self.gradient(0).device),)) for w in each])
        tape = self._record(x)
        marginals = self.covariance().marginals(tape)
        f = marginals.draw(samples)
        if isinstance(self.likelihood, GaussianLikelihood) and samples > 1:
            spread = f.std(0, correction=0).clamp_min(torch.finfo(f.dtype).tiny)
            f = marginals.mean + (f - f.mean(0)) / spread * marginals.variance.sqrt()
        return f.reshape(*f.shape[:2], *tape.event)

    @torch.no_grad()
    def predict_at_means(self, x: Tensor) -> Prediction:
        r"""The prediction of the network at $\theta^*$."""
        return self.likelihood.predict(self.network(x.to(self.gradient(0).device)).unsqueeze(0))

    @torch.no_grad()
    def probit(self, x: Tensor) -> Tensor:
        r"""Class probabilities without draws, `(B, C)`: the probit approximation for each pair of classes.

        $$p_c \propto \Big[ \sum_e \exp \Big( \frac{\mu_e - \mu_c}{\sqrt{1 + \pi v_{ce} / 8}} \Big) \Big]^{-1},
        \qquad v_{ce} = \mathrm{Var}[f_c - f_e]$$

        MacKay's for two classes, within 0.02; for more it may be off by 0.1 where the variances are large.

        Args:
            x: inputs, `(B, *event)`.

        Raises:
            ValueError: if the targets are no classes.

        References:
            | The Evidence Framework Applied to Classification Networks (MacKay, 1992)
            | https://doi.org/10.1162/neco.1992.4.5.720
            | Mean-Field Approximation to Gaussian-Softmax Integral (Lu, Ie & Sha, 2020)
            | https://arxiv.org/abs/2006.07584
        """
        if not isinstance(self.likelihood, CategoricalLikelihood):
            raise ValueError("the probit approximation is one of class probabilities; use predict")
        marginals = self.marginals(x)
        mean, V = marginals.mean, marginals.covariance
        v = V.diagonal(dim1=1, dim2=2)
        apart = v.unsqueeze(2) + v.unsqueeze(1) - 2 * V  # (B, C, C): the variance of each difference
        lead = (mean.unsqueeze(1) - mean.unsqueeze(2)) / (1 + math.pi / 8 * apart).sqrt()
        return (-lead.logsumexp(2)).softmax(1)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As of any module; what was derived from the old buffers is forgotten."""
        self._covariance = None
        return super().load_state_dict(state_dict, *args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._covariance = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]


def _last(network: nn.Module, data: Pairs) -> list[str]:
    still = copy.deepcopy(network).eval()
    device = next((each.device for each in still.parameters()), data.device)
    return [last_site(still, data[:1].inputs.to(device)).name]


def _precision(value: float | Sequence[float] | Tensor, sites: Sequence[Site]) -> Tensor:
    precision = torch.as_tensor(value, dtype=torch.float64).detach()
    if precision.ndim > 1 or (precision.ndim == 1 and len(precision) not in (1, len(sites))):
        shape = tuple(precision.shape)
        raise ValueError(f"prior_precision has shape {shape}; give one number, or one for each of {len(sites)} layers")
    if not bool(((precision > 0) & precision.isfinite()).all()):
        raise ValueError(f"prior_precision must be positive and finite, got {precision.tolist()}")
    return precision.expand(len(sites)).clone()


def _noise_as_parameter(
    likelihood: CategoricalLikelihood | GaussianLikelihood,
) -> CategoricalLikelihood | GaussianLikelihood:
    """A fixed scale as a learned one, which is saved and moved with the rest."""
    if not isinstance(likelihood, GaussianLikelihood) or isinstance(likelihood.scale, str):
        return copy.deepcopy(likelihood)
    learned = GaussianLikelihood(scale="learned").double()
    learned.log_scale.data.fill_(math.log(likelihood.scale))
    return learned


def _check_weights(network: nn.Module) -> None:
    broken = [name for name, each in network.named_parameters() if not bool(each.isfinite().all())]
    if broken:
        raise ValueError(f"weights are NaN or infinite in {', '.join(broken)}; train the network before")


def _warnings(decrement: float) -> tuple[str, ...]:
    found = ["An approximation: no standard error tells how far it is from log Z."]
    if 0.5 * decrement**2 > MISSING:
        found.insert(
            0,
            f"The weights are {decrement:.2g} posterior standard deviations from a mode, which costs about "
            f"{0.5 * decrement**2:.2g} nats: train on, with a weight decay that is the prior's.",
        )
    return tuple(found)
