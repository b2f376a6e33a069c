"""What a run folder remembers of its run: `config.json`, enough to build the model and the data again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from jensen._names import check_choice
from jensen.recipes._json import parse_object
from jensen.recipes.kinds import KINDS, AnyRecipe, kind_of

__all__ = [
    "ANNEALED",
    "COMPRESSED",
    "CONFIG",
    "ENVIRONMENT",
    "EVALUATION",
    "INFORMATION",
    "METRICS",
    "REPORT",
    "SHIPPED",
    "Config",
    "check_new",
    "config_of",
    "read_config",
    "read_evaluation",
    "run_name",
]

CONFIG, ENVIRONMENT, METRICS = "config.json", "environment.json", "metrics.jsonl"
EVALUATION, INFORMATION, REPORT = "evaluation.json", "information.json", "report.html"
ANNEALED, COMPRESSED, SHIPPED = "annealed.json", "images.jbits", "shipped"
FORMAT = "jensen-run-1"
ARTICLES = {"autoencoder": "an", "network": "a", "factors": "separate"}

R = TypeVar("R", bound=AnyRecipe)
E = TypeVar("E")


@dataclass(frozen=True)
class Config(Generic[R]):
    """The recipe as it was run.

    Attributes:
        recipe: with every change of the command line applied; its type is the kind of run.
        seed: of weights, data order and noise.
        shape: `(height, width)` or `(height, width, channels)` of an image; `(D,)` of an input that is none.
        device: where it was asked to run.
        devices: processes on each machine.
        nodes: machines.
        tensorboard: whether event files are written.
    """

    recipe: R
    seed: int
    shape: tuple[int, ...]
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    tensorboard: bool = False

    def to_json(self) -> str:
        """The text of `config.json`."""
        entries = {
            "format": FORMAT,
            "kind": kind_of(self.recipe),
            "seed": self.seed,
            "image_shape": list(self.shape),
            "device": self.device,
            "devices": self.devices,
            "nodes": self.nodes,
            "tensorboard": self.tensorboard,
            "recipe": self.recipe.to_json(),
        }
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "Config[Any]":
        """What `to_json` wrote.

        Raises:
            ValueError: if the text is anything else, naming the entry at fault.

        Example:
            >>> from jensen import recipes
            >>> config = Config(recipes.get(), seed=0, shape=(8, 8))
            >>> Config.from_json(config.to_json()) == config
            True
        """
        content = parse_object(text, FORMAT)
        kind = content.get("kind", "autoencoder")
        check_choice("kind", kind, KINDS)
        return Config(
            recipe=KINDS[kind].from_json(content.get("recipe")),
            seed=_entry(content, "seed", int),
            shape=tuple(_entry(content, "image_shape", list)),
            device=_entry(content, "device", str),
            devices=_entry(content, "devices", int),
            nodes=_entry(content, "nodes", int),
            tensorboard=_entry(content, "tensorboard", bool),
        )


def read_config(run: Path) -> Config[Any]:
    """The configuration of a run folder.

    Raises:
        ValueError: if there is no such folder, it is no run folder, or its `config.json` is damaged.

    Example:
        >>> read_config(Path("runs/absent"))
        Traceback (most recent call last):
        ValueError: there is no run folder runs/absent; `jensen fit` makes one
    """
    if not run.exists():
        raise ValueError(f"there is no run folder {run}; `jensen fit` makes one")
    path = run / CONFIG
    if not path.is_file():
        raise ValueError(f"{run} is no run folder: it holds no {CONFIG}; name the folder that `jensen fit` made")
    text = path.read_text(encoding="utf-8")
    for kind, command in {"study": "run STUDY", "evidence": "evidence NAME"}.items():
        if f'"jensen-{kind}-' in text:
            raise ValueError(f"{run} is the folder of a {kind}; `jensen {command} --out {run}` goes on with it")
    try:
        return Config.from_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; restore it, or fit again with --overwrite") from None


def read_evaluation(run: Path, read: Callable[[str], E], *, name: str = EVALUATION, option: str = "") -> E | None:
    """What `jensen evaluate` wrote into a run folder, by the function that reads its text; None where it did not.

    Raises:
        ValueError: if the file is damaged.
    """
    path = run / name
    if not path.is_file():
        return None
    try:
        return read(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; `jensen evaluate {run}{option}` writes it anew") from None


def config_of(run: Path, kind: type[R]) -> Config[R]:
    """The configuration of a run folder of one kind of recipe, `Recipe` or `NetworkRecipe`.

    Raises:
        ValueError: if there is none, as `read_config` says, or the run is of another kind.
    """
    config = read_config(run)
    if not isinstance(config.recipe, kind):
        found, wanted = kind_of(config.recipe), next(name for name, each in KINDS.items() if each is kind)
        advice = f"this takes runs of {ARTICLES[wanted]} {wanted}"
        raise ValueError(f"{run} is a run of {config.recipe.name}, which trains {ARTICLES[found]} {found}; {advice}")
    return config


def check_new(run: Path, *, overwrite: bool) -> None:
    """Refuse to write a run over another one, or over anything that is no run at all.

    Raises:
        ValueError: if `run` is a file, a folder with other things or of a study, or a run that began while `overwrite`
            is false.
    """
    if not run.exists():
        return
    if not run.is_dir():
        raise ValueError(f"{run} is a file; choose another folder with --out")
    if not any(run.iterdir()):
        return
    if not (run / CONFIG).is_file():
        raise ValueError(f"{run} holds something that is no run; choose another folder with --out")
    text = (run / CONFIG).read_text(encoding="utf-8", errors="replace")
    if '"jensen-' in text and '"jensen-run-' not in text:
        raise ValueError(f"{run} is the folder of a study or of an evidence; choose another folder with --out")
    if not overwrite and any((run / "checkpoints").glob("*.safetensors")):
        advice = f"`jensen resume {run}` goes on with it, --overwrite replaces it, --out makes another"
        raise ValueError(f"{run} already holds a run; {advice}")


def run_name(name: str, changes: dict[str, Any]) -> str:
    """What a run's folder is called: the recipe's name and what was changed.

    Example:
        >>> run_name("iwae-mnist", {"samples": 5, "epochs": None, "batch_size": 100, "smoke": True})
        'iwae-mnist-samples5-batch_size100-smoke'
    """
    made = {key: value for key, value in changes.items() if value is not None and value is not False}
    parts = [key if value is True else f"{key}{value}" for key, value in made.items()]
    return "-".join([name, *parts])


def _entry(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} must be {kind.__name__}, got {value!r}")
    return value
