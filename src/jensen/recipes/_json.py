"""Frozen dataclasses to JSON and back, with an answer that names the entry when a file was edited by hand."""

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["decode", "encode", "parse_object", "read_object", "write_object"]

NON_FINITE = ("inf", "-inf", "nan")


def encode(value: Any) -> Any:
    """A dataclass as nested dicts and lists; a float that is not finite becomes the string "inf", "-inf" or "nan".

    Example:
        >>> from jensen.recipes import Budget
        >>> encode(Budget(epochs=3, batch_size=20))
        {'epochs': 3, 'batch_size': 20, 'evaluation_samples': 5000, 'images': None}
    """
    return asdict(value, dict_factory=lambda pairs: {key: _plain(entry) for key, entry in pairs})


def decode(kind: Any, value: object, where: str) -> Any:
    """`value`, read from JSON, as an instance of the type `kind`.

    Args:
        kind: a dataclass, `tuple[...]`, `Literal[...]`, a union of these, or a plain type.
        value: what JSON held.
        where: the entry's name, for the message.

    Raises:
        ValueError: naming the entry that is missing, unknown or of another type.

    Example:
        >>> decode(tuple[int, ...], [1, "two"], "sizes")
        Traceback (most recent call last):
        ValueError: sizes[1] must be int, got 'two'
    """
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _decode_fields(kind, value, where)
    if origin is tuple:
        return _decode_tuple(get_args(kind), value, where)
    if origin is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{where} must be one of {', '.join(map(str, get_args(kind)))}, got {value!r}")
        return value
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), value, where)
    if kind is float and (value in NON_FINITE or (isinstance(value, int) and not isinstance(value, bool))):
        return float(cast(Any, value))
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} must be {getattr(kind, '__name__', kind)}, got {value!r}")
    return value


def write_object(value: Any, form: str) -> str:
    """The text that `parse_object` and `decode` read: a dataclass as an object with `form` as its "format"."""
    return json.dumps({"format": form, **encode(value)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse_object(text: str, form: str) -> dict[str, Any]:
    """The object that a text holds, without its entry "format".

    Raises:
        ValueError: if it is no JSON, or no object with `form` as its "format".

    Example:
        >>> parse_object('{"format": "jensen-run-1", "seed": 0}', "jensen-run-1")
        {'seed': 0}
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: line {error.lineno}, {error.msg}") from None
    if not isinstance(content, dict) or content.pop("format", None) != form:
        raise ValueError(f'it must be an object with "format": "{form}"')
    return content


def read_object(path: Path, form: str, advice: str) -> Mapping[str, Any]:
    """The object that a file holds.

    Raises:
        ValueError: if it is no JSON, or no object with `form` as its "format"; the message ends with `advice`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: it is no JSON ({error}); {advice}") from None
    if not isinstance(content, dict) or content.get("format") != form:
        raise ValueError(f'{path} must be an object with "format": "{form}"; {advice}')
    return content


def _decode_fields(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object, got {value!r}")
    hints = get_type_hints(kind)
    if unknown := value.keys() - hints.keys():
        raise ValueError(f"{where} has no entry {', '.join(sorted(map(repr, unknown)))}")
    required = [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]
    if missing := [name for name in required if name not in value]:
        raise ValueError(f"{where} lacks {', '.join(map(repr, missing))}")
    return kind(**{name: decode(hints[name], entry, f"{where}.{name}") for name, entry in value.items()})


def _decode_tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} must be a list, got {value!r}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where} must hold {len(kinds)} entries, got {len(value)}")
    return tuple(decode(kind, entry, f"{where}[{i}]") for i, (kind, entry) in enumerate(zip(kinds, value, strict=True)))


def _decode_union(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    objects = [kind for kind in kinds if is_dataclass(kind)]
    if isinstance(value, dict) and len(objects) == 1:
        return decode(objects[0], value, where)
    if isinstance(value, dict) and (told := _told_apart(objects)):
        if value.get("kind") not in told:
            raise ValueError(f"{where}.kind must be one of {', '.join(told)}, got {value.get('kind')!r}")
        return decode(told[value["kind"]], value, where)
    for kind in kinds:
        try:
            return decode(kind, value, where) if kind is not type(None) else _none(value, where)
        except ValueError:
            continue
    choices = " or ".join("null" if kind is type(None) else getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise ValueError(f"{where} must be {choices}, got {value!r}")


def _told_apart(objects: list[Any]) -> dict[str, Any]:
    """Dataclasses by what their entry `kind` may be; none unless all of them have one."""
    choices = {kind: get_args(get_type_hints(kind).get("kind")) for kind in objects}
    return {name: kind for kind, names in choices.items() for name in names} if all(choices.values()) else {}


def _none(value: object, where: str) -> None:
    if value is not None:
        raise ValueError(f"{where} must be null, got {value!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value
