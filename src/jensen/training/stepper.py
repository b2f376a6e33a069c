"""One step of training: the only place where a bound gets its minus sign and its mean over the batch."""

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from jensen._contracts import Pairs
from jensen.training.nonfinite import NonFiniteError
from jensen.training.optimizers import Adam, OptimizerFactory, lean_step

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["DEFERRED_CHECK", "UNKNOWN", "Stepper", "state_of", "takes"]

DEFERRED_CHECK = 50
"""Steps between two looks at the bound where looking would stall the device."""

UNKNOWN = "not in data, parameters or log-weights"
"""The offending term where there is nothing to look into."""


class Stepper:
    r"""Ascends an objective's mean over a batch: forward, backward, clip, optimizer, average.

    $$\theta \leftarrow \theta + \mathrm{step}\Big(\nabla_\theta \frac{1}{B} \sum_b \mathcal{L}(x_b; \theta)\Big)$$

    `fit` is this in a loop. Alone it trains on one device that the model is already on. A bound that is NaN or infinite
    never reaches the parameters. On a CPU the step raises. On a GPU the optimizer is told on the device to stand still
    from that step on, and `steps_since_healthy` tells so on request.

    Args:
        model: its parameters that require a gradient are trained.
        objective: `(model, x, *, kl_weight=1.0) -> (B,)` or `(model, x) -> (B,)`, nats, larger is better. An
            `nn.Module` may keep a state in its buffers; where it takes `share` as well, it can weigh its own batch mean
            among those of all processes.
        optimizer: `factory(parameters, lr=...)`; `Adam()` by default.
        learning_rate: the step size; later through `set_learning_rate(stepper.optimizer, ...)`.
        clip_norm: largest Euclidean norm of the gradient; None leaves it.
        ema: decay of the moving average of the parameters, `stepper.averaged`; None keeps none.
        compile: fuse the objective with `torch.compile`, on a GPU with CUDA graphs. Worth its start-up time in long
            runs.
        fabric: wraps model and backward pass; needed for several processes or mixed precision only.

    Raises:
        ValueError: if nothing is to be trained, or a number is out of range.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> stepper = Stepper(model, lambda model, x: -model(x).square().sum(-1), learning_rate=0.1)
        >>> _ = nn.init.ones_(model.weight)
        >>> stepper.step(torch.ones(4, 1))
        tensor(-1.)
        >>> round(model.weight.item(), 4)
        0.9
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[..., Tensor],
        *,
        optimizer: OptimizerFactory | None = None,
        learning_rate: float = 1e-3,
        clip_norm: float | None = None,
        ema: float | None = None,
        compile: bool = False,  # noqa: A002
        fabric: "Fabric | None" = None,
    ) -> None:
        self.model, self.objective, self.clip_norm, self.fabric = model, objective, clip_norm, fabric
        module = _Bound(model, objective)
        if fabric is not None:
            model.to(fabric.device)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError(f"{type(model).__name__} has no parameter that requires a gradient: nothing to train")
        self.device = self.parameters[0].device
        if isinstance(objective, nn.Module):
            _check_frozen(objective)
            objective.to(self.device)
        self.compiled = compile
        self._graphs = compile and self.device.type == "cuda"
        self._forward = self._wrapped(module)
        self._backward = torch.Tensor.backward if fabric is None else fabric.backward
        self.processes = fabric.world_size if fabric is not None else 1
        self.optimizer = (optimizer or Adam())(self.parameters, lr=learning_rate)
        self._advance = lean_step(self.optimizer)
        self.averaged = _average(model, ema)
        self.deferred = self.device.type == "cuda" and getattr(self.optimizer, "_step_supports_amp_scaling", False)
        self._bad = torch.zeros((), device=self.device)
        self._good_steps = torch.zeros((), dtype=torch.int64, device=self.device)
        self.steps = 0
        self._uphill: Tensor | None = None

    def step(self, x: Tensor | Pairs, *, kl_weight: float = 1.0, share: float = 1.0) -> Tensor:
        """Take one step.

        Args:
            x: the batch, `(B, *event)` or `Pairs`.
            kl_weight: passed to the objective.
            share: weight of this process's mean among those of all; 1 where their batches are equally large.

        Returns:
            The mean bound over the batch before the step, in nats, a detached scalar on the device.

        Raises:
            ValueError: if the objective is not of shape `(B,)`.
            NonFiniteError: if the bound, or a clipped gradient, is NaN or infinite; the parameters are then as they
                were.
        """
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        bound: Tensor = self._forward(self._as_input(kl_weight), share, *_tensors(x))
        value = bound.detach().mean()
        self._watch(value, "the bound")
        self._backward(bound, self._minus_mean(bound, share))
        if self.clip_norm is not None:
            self._watch(nn.utils.clip_grad_norm_(self.parameters, self.clip_norm), "the gradient's norm")
        if self.deferred:
            self._good_steps += self._bad == 0
        self.steps += 1
        self._advance()
        for parameter in self.parameters:
            parameter.grad = None
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return value

    def steps_since_healthy(self) -> int:
        """On a GPU, how many steps ago the last finite bound was; 0 if all is well. Waits for the device."""
        return self.steps - int(self._good_steps.item()) if self.deferred else 0

    @torch.no_grad()
    def bound(self, x: Tensor | Pairs) -> Tensor:
        """The objective without a step, `(B,)`, by the averaged parameters where there are any."""
        model = self.model if self.averaged is None else self.averaged.module
        if self.fabric is None:
            return _one_for_each(self.objective(model, x), x)
        with self.fabric.autocast():
            return _one_for_each(self.objective(model, x.to(self.parameters[0].dtype)), x)

    def release(self) -> None:
        """Drop the wrapped model; no further step is possible."""
        self._forward = self._backward = _released

    def _wrapped(self, module: "_Bound") -> Callable[..., Any]:
        """The objective as it will be called: compiled, under Fabric's wrapping, or plainly."""
        mode = "reduce-overhead" if self._graphs else None
        forward = torch.compile(module, dynamic=False, mode=mode) if self.compiled else module
        if self.fabric is not None:
            return self.fabric.setup_module(forward)  # type: ignore[arg-type]
        return forward if self.compiled else module.forward

    def _watch(self, value: Tensor, name: str) -> None:
        if not self.deferred and self.processes == 1:
            if not math.isfinite(value.item()):
                raise NonFiniteError(name, term=UNKNOWN)
            return
        bad = (~torch.isfinite(value)).float()
        if self.processes > 1:
            torch.distributed.all_reduce(bad, op=torch.distributed.ReduceOp.MAX)
        if not self.deferred and bool(bad.item()):
            raise NonFiniteError(name, term=UNKNOWN)
        self._bad = torch.maximum(self._bad, bad)
        if self.deferred:
            self.optimizer.found_inf = self._bad  # type: ignore[attr-defined]

    def _minus_mean(self, bound: Tensor, share: float) -> Tensor:
        """The gradient of minus the mean bound, by `share`; kept from step to step."""
        if self._uphill is None or self._uphill.shape != bound.shape or self._uphill.dtype != bound.dtype:
            self._uphill = torch.full_like(bound, -1.0 / len(bound), requires_grad=False)
        return self._uphill if share == 1.0 else self._uphill * share

    def _as_input(self, kl_weight: float) -> float | Tensor:
        if self.compiled and kl_weight != 1.0:
            return torch.full((), kl_weight, device=self.device)
        return kl_weight


class _Bound(nn.Module):
    """The objective as the forward pass of a module, which is what wrappers see."""

    def __init__(self, model: nn.Module, objective: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.weighs_kl = takes(objective, "kl_weight")
        self.weighs_processes = isinstance(objective, nn.Module) and takes(objective, "share")

    def forward(self, kl_weight: float | Tensor, share: float, *tensors: Tensor) -> Tensor:
        x = Pairs(*tensors) if len(tensors) == 2 else tensors[0]
        options: dict[str, Any] = {"kl_weight": kl_weight} if self.weighs_kl else {}
        if self.weighs_processes:
            options["share"] = share
        return _one_for_each(self.objective(self.model, x, **options), x)


def _tensors(x: Tensor | Pairs) -> tuple[Tensor, ...]:
    """A batch as wrappers and compilers know how to cast, move and trace it."""
    return (x.inputs, x.targets) if isinstance(x, Pairs) else (x,)


def _one_for_each(bound: Any, x: Tensor | Pairs) -> Tensor:
    if not isinstance(bound, Tensor) or bound.shape != x.shape[:1]:
        found = f"shape {tuple(bound.shape)}" if isinstance(bound, Tensor) else type(bound).__name__
        raise ValueError(
            f"the objective returned {found}, expected shape {tuple(x.shape[:1])}: one bound for each datum"
        )
    return bound


def takes(objective: Callable[..., Any], argument: str) -> bool:
    """Whether an objective has an argument of this name.

    Example:
        >>> takes(lambda model, x: x, "kl_weight")
        False
    """
    function = objective.forward if isinstance(objective, nn.Module) else objective
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == argument or p.kind is p.VAR_KEYWORD for p in parameters)


def state_of(objective: Callable[..., Any]) -> dict[str, Tensor]:
    """What an objective remembers from step to step: the buffers of an `nn.Module`, of anything else nothing.

    Example:
        >>> state_of(lambda model, x: x)
        {}
    """
    return dict(objective.state_dict()) if isinstance(objective, nn.Module) else {}


def _check_frozen(objective: nn.Module) -> None:
    if name := next((name for name, p in objective.named_parameters() if p.requires_grad), None):
        raise ValueError(
            f"parameter {name!r} of the objective {type(objective).__name__} requires a gradient, and only the model's"
            " are trained: freeze it by objective.requires_grad_(False), or make it part of the model"
        )


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    if not 0.0 < decay < 1.0:
        raise ValueError(f"ema is a decay between 0 and 1, got {decay}")
    averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(model, multi_avg_fn=averaging)
    return averaged.requires_grad_(False).eval()


def _released(*arguments: Any) -> Any:
    raise RuntimeError("this stepper was released; make a new one")
