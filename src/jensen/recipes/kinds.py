"""The kinds of recipe that `jensen fit` trains, and which module does what for each."""

from typing import TYPE_CHECKING, Any, Protocol

from jensen.recipes.factor_recipe import FactorRecipe
from jensen.recipes.network_recipe import NetworkRecipe
from jensen.recipes.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from jensen.recipes.config import Config
    from jensen.training import History

__all__ = ["KINDS", "AnyRecipe", "Running", "kind_of", "running_of"]

AnyRecipe = Recipe | NetworkRecipe | FactorRecipe
"""What `jensen fit` takes."""

KINDS: dict[str, type[Recipe] | type[NetworkRecipe] | type[FactorRecipe]] = {
    "autoencoder": Recipe,
    "network": NetworkRecipe,
    "factors": FactorRecipe,
}
"""The type of recipe by what `config.json` calls its kind."""


class Running(Protocol):
    """What the module that runs one kind of recipe can do.

    Attributes:
        ASCENDS: what training raises, and what that is counted in, in words.
    """

    ASCENDS: tuple[str, str]

    def build(self, recipe: Any, *, seed: int) -> Any:
        """The untrained model and its data; `.shape` is that of a picture among them."""
        ...

    def check_method(self, config: "Config[Any]", experiment: Any) -> None:
        """Refuse, before anything is written, what training would choke on."""
        ...

    def begin(self, run: "Path", config: "Config[Any]", *, overwrite: bool = False) -> None:
        """Make the run folder."""
        ...

    def train(
        self,
        run: "Path",
        config: "Config[Any]",
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


def kind_of(recipe: AnyRecipe) -> str:
    """What `config.json` calls the kind of a recipe.

    Example:
        >>> from jensen import recipes
        >>> kind_of(recipes.get("iwae-digits")), kind_of(recipes.get("bbb-digits"))
        ('autoencoder', 'network')
    """
    return next(name for name, kind in KINDS.items() if isinstance(recipe, kind))


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
