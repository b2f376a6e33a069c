"""Which module runs which kind of recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jensen.recipes.config import Config
from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.kinds import AnyRecipe
from jensen.recipes.network_recipe import NetworkRecipe

if TYPE_CHECKING:
    from jensen.training import History

__all__ = ["Running", "running_of"]


class Running(Protocol):
    """What the module that runs one kind of recipe can do.

    Attributes:
        ASCENDS: what training raises, and what that is counted in, in words.
    """

    ASCENDS: tuple[str, str]

    def build(self, recipe: Any, *, seed: int) -> Any:
        """The untrained model and its data; `.shape` is that of a picture among them."""
        ...

    def check_method(self, config: Config[Any], experiment: Any) -> None:
        """Refuse, before anything is written, what training would choke on."""
        ...

    def train(
        self,
        run: Path,
        config: Config[Any],
        experiment: Any,
        *,
        resume: bool = False,
        device: str = "auto",
        progress: bool = True,
    ) -> "History":
        """Train into the folder, or go on."""
        ...

    def measure(self, *arguments: Any, **options: Any) -> Any:
        """Evaluate the run and write `evaluation.json`."""
        ...


def running_of(recipe: AnyRecipe) -> Running:
    """The module that runs such a recipe; torch is imported now."""
    if isinstance(recipe, NetworkRecipe):
        from jensen.recipes import networks

        return networks
    if isinstance(recipe, FactorRecipe):
        from jensen.recipes import factors

        return factors
    from jensen.recipes import running

    return running
