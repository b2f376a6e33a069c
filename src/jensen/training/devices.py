"""Where a run runs: one process or many, through Lightning Fabric."""

import gc
from typing import TYPE_CHECKING, Any

import torch.distributed
from torch import Tensor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRECISIONS", "connect", "disconnect", "gather", "place"]

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")
"""The precisions that need no loss scale, which a checkpoint would have to hold."""


def connect(*, accelerator: str, devices: int | str, num_nodes: int, strategy: str, precision: str) -> "Fabric":
    """Start the processes of a run and meet them.

    The import of Lightning Fabric, about two seconds, happens here and not with the package.

    Raises:
        ValueError: if the machine has no such device, or the strategy splits a model over processes.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.single_device import SingleDeviceStrategy

    options: dict[str, Any] = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes}
    try:
        fabric = Fabric(strategy=strategy, precision=precision, **options)  # type: ignore[arg-type]
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"no such set-up ({options}, strategy={strategy!r}): {_one_line(error)}") from error
    if not isinstance(fabric.strategy, DDPStrategy | SingleDeviceStrategy):
        raise ValueError(
            f"strategy {strategy!r} is not supported; take 'auto' or 'ddp', which keep a whole model in each process"
        )
    fabric.launch()
    return fabric


def disconnect(fabric: "Fabric") -> None:
    """Part in order: meet once more, drop what still talks to the group, then dissolve it.

    Call it when no reference to a wrapped model is left. A group that is dissolved under a living wrapper can abort a
    process at exit.
    """
    if fabric.world_size > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()
        gc.collect()
        torch.distributed.destroy_process_group()


def gather(value: Tensor, fabric: "Fabric") -> list[Tensor]:
    """The tensor of each process, in the order of ranks, on the CPU."""
    if fabric.world_size == 1:
        return [value.cpu()]
    everyone = [torch.empty_like(value, device=fabric.device) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(everyone, value.to(fabric.device))
    return [one.cpu() for one in everyone]


def place(data: Any, device: torch.device) -> Any:
    """The data on the device, where they can be moved; else as they are, to be moved batch by batch."""
    return data.to(device) if hasattr(data, "to") else data


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
