"""`jensen list`: everything that has a name."""

from rich.console import Console
from rich.table import Table

from jensen import recipes
from jensen.cli.options import List
from jensen.recipes import evidences, studies
from jensen.recipes.kinds import KINDS, kind_of

__all__ = ["list_recipes"]


def list_recipes(options: List) -> None:
    """Print one line for each recipe, study and target, or the page of reproductions."""
    if options.markdown:
        from jensen.recipes.reproductions import markdown

        print(markdown(), end="")
        return
    console = Console()
    every = [recipes.get(name) for name in recipes.names()]
    for kind in KINDS:
        table = _plain_table(kind, "data", "epochs", "what")
        for recipe in every:
            if kind_of(recipe) == kind:
                row = f"[bold]{recipe.name}[/bold]", recipe.data.name, f"{recipe.budget.epochs:,}", recipe.title
                table.add_row(*row)
        console.print(table)
    console.print("`jensen fit RECIPE` trains one, the first if none is named.\n", style="dim")
    table = _plain_table("study", "what")
    for study in map(studies.get, studies.names()):
        table.add_row(f"[bold]{study.name}[/bold]", study.title)
    console.print(table)
    console.print("`jensen run STUDY` runs one and prints its numbers beside the published ones.\n", style="dim")
    table = _plain_table("target", "what")
    for target in map(evidences.get, evidences.names()):
        table.add_row(f"[bold]{target.name}[/bold]", target.title)
    console.print(table)
    console.print("`jensen evidence TARGET` estimates its log-evidence in several ways.", style="dim")


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column != "what", justify="right" if column == "epochs" else "left")
    return table
