r"""From a network with zeros among its weights to a smaller one with the same outputs.

A unit whose incoming weights are all zero puts out a constant, $a(b_j)$ after activations and pooling, which joins the
bias of the layer that reads it: $b'_k = b_k + \sum_j w_{kj} a(b_j)$. A unit whose outgoing weights are all zero is read
by nobody. Constants go with the data, from the first layer to the last, since a layer that reads constants alone puts
out constants; unread units go against them. One sweep each way leaves nothing to remove: a row that loses an unread
column loses zeros only, so no new constant appears on the way back.

A convolution that pads with zeros sees a constant channel fall off at the border. Its contribution is no constant, and
the channel stays; so does one that is averaged over padding.
"""

import copy
import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from jensen.layers.affine import Affine
from jensen.layers.shrinking.chain import MIXING, POOLS, Select, chain

__all__ = ["shrink"]


@dataclass
class _Stage:
    """An affine layer in double precision, and what stands between it and the next.

    `weight` is `(outputs, inputs, kernel)`; `of_unit` maps an input to the unit before it that it belongs to, None
    where the inputs are the network's own or mix units.
    """

    name: str
    layer: Affine
    weight: Tensor
    bias: Tensor
    between: list[tuple[str, nn.Module]] = field(default_factory=list)
    of_unit: Tensor | None = None

    @property
    def frozen(self) -> bool:
        """Whether the layer is a grouped convolution, which keeps all that it reads and puts out."""
        return self.groups != 1

    @property
    def groups(self) -> int:
        return 1 if isinstance(self.layer, nn.Linear) else self.layer.groups

    @property
    def mixes(self) -> bool:
        """Whether something between keeps units before it from being removed."""
        return any(type(module) in {*MIXING, Select, nn.PReLU} and not _shares(module) for _, module in self.between)


def _shares(module: nn.Module) -> bool:
    return isinstance(module, nn.PReLU) and module.num_parameters == 1


def shrink(net: nn.Module) -> nn.Sequential:
    r"""The smaller network with equal outputs.

    Units that are constant are folded into the next bias, units that nobody reads are dropped, and where inputs of the
    network (or some positions of a flattened channel) are not read, a `Select` picks the others. A layer left with
    nothing keeps one unit. Dropout goes, batch normalisation is folded: the result is the network as it predicts.

    Args:
        net: a chain of plain layers whose pruned weights are zero, as `masked` returns it; see `chain` for what it may
            hold. It is left as it is.

    Returns:
        The smaller network, on the same device and of the same precision, in evaluation mode.

    Raises:
        ValueError: naming the module that makes `net` no chain, that mixes units where they cannot be told apart, or
            that holds a NaN or an infinite weight.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> with torch.no_grad():
        ...     _ = net[0].weight[1:].zero_()
        >>> shrink(net)
        Sequential(
          (0): Linear(in_features=3, out_features=1, bias=True)
          (1): ReLU()
          (2): Linear(in_features=1, out_features=2, bias=True)
        )

    References:
        | Bayesian Compression for Deep Learning (Louizos, Ullrich & Welling, 2017), section 4
        | https://arxiv.org/abs/1705.08665v4
    """
    head, stages = _stages(net)
    with torch.no_grad():
        _fold_constants(stages)
        rows, columns = _read(stages)
        modules = [copy.deepcopy(module) for _, module in head]
        for i, stage in enumerate(stages):
            modules += [*_select(stages, rows, columns, i), _restricted(stage, rows[i], columns[i])]
            modules += [copy.deepcopy(module) for _, module in stage.between]
    return nn.Sequential(*modules).eval()


def _stages(net: nn.Module) -> tuple[list[tuple[str, nn.Module]], list[_Stage]]:
    head: list[tuple[str, nn.Module]] = []
    stages: list[_Stage] = []
    for name, module in chain(net):
        if isinstance(module, Affine):
            stage = _stage(name, module)
            if stages and not stages[-1].mixes:
                stage.of_unit = _units_read(stages[-1], stage)
            stages.append(stage)
        else:
            (stages[-1].between if stages else head).append((name, module))
    if not stages:
        raise ValueError(f"{type(net).__name__} holds no Linear and no convolution; there is nothing to shrink")
    return head, stages


def _stage(name: str, layer: Affine) -> _Stage:
    weight = layer.weight.detach().double().reshape(*layer.weight.shape[:2], -1).clone()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().clone()
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise ValueError(f"{name} holds a weight that is NaN or infinite; train again, or load a sound network")
    return _Stage(name, layer, weight, bias)


def _units_read(before: _Stage, after: _Stage) -> Tensor:
    """The unit of `before` that each input of `after` belongs to, `(inputs,)`."""
    units, inputs = len(before.weight), after.weight.shape[1] * after.groups
    kinds = [type(module) for _, module in before.between]
    spatial, flattened = not isinstance(before.layer, nn.Linear), nn.Flatten in kinds
    if (not isinstance(after.layer, nn.Linear), flattened) not in (
        [(True, False), (False, True)] if spatial else [(False, False), (False, True)]
    ):
        wrong = "needs a Flatten or an Unflatten between"
    elif flattened and any((m.start_dim, m.end_dim) != (1, -1) for _, m in before.between if isinstance(m, nn.Flatten)):
        wrong = "needs Flatten(start_dim=1, end_dim=-1) between"
    elif any(kind in POOLS for kind in _on_the_last_axis(kinds, spatial=spatial)):
        wrong = "is pooled over its units"
    elif inputs % units or (inputs != units and not (spatial and flattened)):
        wrong = f"has {units} outputs for {inputs} inputs"
    else:
        return torch.arange(units, device=after.weight.device).repeat_interleave(inputs // units)
    raise ValueError(f"{before.name}, followed by {after.name}, {wrong}; its units cannot be told apart")


def _on_the_last_axis(kinds: list[type[nn.Module]], *, spatial: bool) -> list[type[nn.Module]]:
    """What acts where the units lie on the last axis."""
    if not spatial:
        return kinds
    return kinds[kinds.index(nn.Flatten) :] if nn.Flatten in kinds else []


def _fold_constants(stages: list[_Stage]) -> None:
    for before, after in pairwise(stages):
        if after.of_unit is None or before.frozen or after.frozen:
            continue
        constant, values = _constants(before)
        if _pads_with_zeros(after.layer):
            constant = constant & (values == 0)
        folded = constant[after.of_unit]  # (inputs,)
        contribution = after.weight.sum(-1) @ (values[after.of_unit] * folded)
        after.bias += contribution
        after.weight[:, folded] = 0


def _constants(stage: _Stage) -> tuple[Tensor, Tensor]:
    """Which units put out a constant behind what follows the layer, and the constants; both `(outputs,)`."""
    constant = (stage.weight == 0).all(-1).all(-1)
    values = stage.bias.clone()
    for _, module in stage.between:
        if isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
            values, kept = _averaged(module, values)
            constant = constant & kept
        elif type(module) not in POOLS and not isinstance(module, nn.Flatten):
            values = copy.deepcopy(module).double().eval()(values)
    return constant & values.isfinite(), torch.where(constant & values.isfinite(), values, 0.0)


def _averaged(pool: nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d, values: Tensor) -> tuple[Tensor, Tensor]:
    """Constants behind an average over windows, and which of them are the same in all windows."""
    padded = _any(pool.padding)
    divisor = getattr(pool, "divisor_override", None)
    if divisor is None:
        return values, (values == 0) | (not (padded and pool.count_include_pad))
    size = pool.kernel_size
    entries = math.prod(size) if isinstance(size, tuple) else size ** (2 if isinstance(pool, nn.AvgPool2d) else 3)
    return values * entries / divisor, (values == 0) | (not (padded or pool.ceil_mode))


def _any(padding: int | str | tuple[int, ...]) -> bool:
    if isinstance(padding, str):
        return padding != "valid"
    return any(padding) if isinstance(padding, tuple) else padding != 0


def _pads_with_zeros(layer: Affine) -> bool:
    return not isinstance(layer, nn.Linear) and layer.padding_mode == "zeros" and _any(layer.padding)


def _read(stages: list[_Stage]) -> tuple[list[Tensor], list[Tensor]]:
    """For each stage the outputs that are kept and the inputs that it reads, as masks."""
    rows = [torch.ones(len(stage.weight), dtype=torch.bool, device=stage.weight.device) for stage in stages]
    columns: list[Tensor] = []
    for i, stage in reversed(list(enumerate(stages))):
        read = (stage.weight[rows[i]] != 0).any(-1).any(0)
        if stage.frozen:
            read = read.new_ones(len(read) * stage.groups)
        columns.insert(0, _at_least_one(read))
        if stage.of_unit is not None and not stages[i - 1].frozen:
            units = torch.zeros_like(rows[i - 1])
            rows[i - 1] = units.index_fill_(0, stage.of_unit[columns[0]], True)
    return rows, columns


def _at_least_one(kept: Tensor) -> Tensor:
    if not kept.any():
        kept[0] = True
    return kept


def _select(stages: list[_Stage], rows: list[Tensor], columns: list[Tensor], i: int) -> list[nn.Module]:
    """What picks the inputs of stage i among those that reach it; nothing where it reads them all."""
    stage, read = stages[i], columns[i]
    reaches = torch.ones_like(read) if stage.of_unit is None else rows[i - 1][stage.of_unit]
    index = read[reaches].nonzero().squeeze(-1)
    return [] if len(index) == int(reaches.sum()) else [Select(index, axis=2 - stage.layer.weight.ndim - 1)]


def _restricted(stage: _Stage, rows: Tensor, columns: Tensor) -> Affine:
    """The layer with the kept outputs and inputs only."""
    new = copy.deepcopy(stage.layer)
    if stage.frozen:
        return new
    weight = stage.weight[rows][:, columns]
    bias = stage.bias[rows]
    new.weight = nn.Parameter(weight.reshape(*weight.shape[:2], *stage.layer.weight.shape[2:]).to(stage.layer.weight))
    if stage.layer.bias is not None or bias.any():
        new.bias = nn.Parameter(bias.to(stage.layer.weight))
    outputs, inputs = weight.shape[:2]
    if isinstance(new, nn.Linear):
        new.in_features, new.out_features = inputs, outputs
    else:
        new.in_channels, new.out_channels = inputs, outputs
    return new
