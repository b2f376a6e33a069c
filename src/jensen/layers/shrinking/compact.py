"""A network in a file as small as its weights allow: no loss, no pickle, one safetensors file.

The file holds two arrays of bytes: `header`, JSON that names each module, its arguments and how its tensors are
written; and `payload`, the tensors, packed. A checksum covers both.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from jensen.layers.shrinking.chain import ARGUMENTS, Select, chain
from jensen.layers.shrinking.packing import Code, choose_code, decode, encode

__all__ = ["compact", "load_compact", "save_compact"]

FORMAT = "jensen-compact-1"
LINEAR = ("in_features", "out_features")
CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
KINDS: dict[type[nn.Module], tuple[str, ...]] = {
    **ARGUMENTS,
    nn.Linear: LINEAR,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), (*CONVOLUTION, "padding_mode")),
    nn.PReLU: ("num_parameters",),
    Select: ("axis",),
}
BY_NAME = {kind.__name__: kind for kind in KINDS}


def compact(net: nn.Module) -> bytes:
    """What `save_compact` writes.

    Raises:
        ValueError: as `save_compact`.
    """
    modules: list[Any] = []
    payload = []
    for name, module in chain(net):
        tensors = _tensors(name, module)
        codes = {key: choose_code(value) for key, value in tensors.items()}
        payload += [encode(value, codes[key]) for key, value in tensors.items()]
        arguments = [getattr(module, argument) for argument in KINDS[type(module)]]
        modules.append([type(module).__name__, arguments, {key: code.to_list() for key, code in codes.items()}])
    arrays = {"header": json.dumps(modules, separators=(",", ":")).encode(), "payload": b"".join(payload)}
    saved = {key: torch.frombuffer(bytearray(value), dtype=torch.uint8) for key, value in arrays.items()}
    return safetensors.torch.save(saved, {"format": FORMAT, "checksum": _checksum(**arrays)})


def save_compact(net: nn.Module, path: Path | str) -> int:
    """Write a plain chain to a file as small as its weights allow; what `load_compact` gives back is equal to it.

    Every tensor is written as `choose_code` finds shortest: weights rounded to b bits take b bits or fewer, clustered
    ones an index, and zeros what Elias and Fano need for the places of the others. Nothing is rounded here.

    Args:
        net: a chain of plain layers, such as `shrink` or `round_to_bits` returns.
        path: the file; an older one is replaced once the new one is whole.

    Returns:
        The size of the file in bytes.

    Raises:
        ValueError: if `net` is no chain, or a weight is not finite.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(784, 10))
        >>> with torch.no_grad():
        ...     _ = net[0].weight[:, 8:].zero_()
        >>> save_compact(net, "net.safetensors") < 1100 < 4 * 7850
        True
        >>> bool((load_compact("net.safetensors")[0].weight == net[0].weight).all())
        True
    """
    content = compact(net)
    partial = Path(path).with_name(f".{Path(path).name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(content)


def load_compact(path: Path | str) -> nn.Sequential:
    """The network that `save_compact` wrote, on the CPU, in evaluation mode.

    Raises:
        ValueError: in one line, if the file is truncated, corrupt, or no such network.
        FileNotFoundError: if there is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is no file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or corrupt ({str(error).splitlines()[0]}); copy it again") from error
    if metadata.get("format") != FORMAT or set(arrays) != {"header", "payload"}:
        raise ValueError(f"{path} is no compact network of format {FORMAT}; check the path")
    if metadata.get("checksum") != _checksum(**arrays):
        raise ValueError(f"{path} is corrupt (wrong checksum); copy it again")
    try:
        return _network(json.loads(arrays["header"]), arrays["payload"])
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, OverflowError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} describes no network ({reason}); write it again with save_compact") from error


def _network(modules: list[Any], payload: bytes) -> nn.Sequential:
    found = []
    for kind, arguments, codes in modules:
        tensors = {}
        for key, saved in codes.items():
            tensors[key], size = decode(payload, Code.from_list(saved))
            payload = payload[size:]
        found.append(_module(BY_NAME[kind], [_hashable(each) for each in arguments], tensors))
    if payload:
        raise ValueError(f"{len(payload)} bytes are left over")
    return nn.Sequential(*found).eval()


def _module(kind: type[nn.Module], arguments: list[Any], tensors: dict[str, Tensor]) -> nn.Module:
    named = dict(zip(KINDS[kind], arguments, strict=True))
    if kind is Select:
        return Select(tensors["kept"].nonzero().squeeze(-1), axis=named["axis"])
    if not tensors:
        return kind(**named)
    with_bias = {"bias": "bias" in tensors} if kind is not nn.PReLU else {}
    module = kind(**named, **with_bias, device="meta")
    if {key: value.shape for key, value in tensors.items()} != {k: v.shape for k, v in module.named_parameters()}:
        raise ValueError(f"the tensors of {module} have other shapes")
    for key, value in tensors.items():
        setattr(module, key, nn.Parameter(value))
    return module


def _tensors(name: str, module: nn.Module) -> dict[str, Tensor]:
    if not isinstance(module, Select):
        return {key: value.detach() for key, value in module.named_parameters()}
    index = module.index.long()
    if not (index[1:] > index[:-1]).all() or index[0] < 0:
        raise ValueError(f"{name} selects positions out of order; a compact file holds ascending ones")
    kept = torch.zeros(int(index[-1]) + 1, device=index.device)
    return {"kept": kept.index_fill_(0, index, 1.0)}


def _hashable(value: Any) -> Any:
    return tuple(_hashable(each) for each in value) if isinstance(value, list) else value


def _checksum(header: bytes, payload: bytes) -> str:
    return f"{zlib.crc32(payload, zlib.crc32(header)):08x}"
