"""`jensen evaluate`: what a trained model is worth on its test data."""

from rich.console import Console

from jensen import recipes
from jensen.cli.folders import say_notes, say_path
from jensen.cli.options import Evaluate
from jensen.recipes.config import ANNEALED, EVALUATION, config_of, read_config
from jensen.recipes.runners import running_of

__all__ = ["evaluate"]


def evaluate(options: Evaluate) -> None:
    """Measure a run and print the table."""
    config = read_config(options.run)
    named = {"temperatures": options.ais_temperatures, "chains": options.ais_chains, "simulated": options.ais_simulated}
    settings = {name: value for name, value in named.items() if value is not None}
    if options.ais:
        _anneal(options, settings)
        return
    if settings:
        raise ValueError(f"--ais-{next(iter(settings))} is a setting of annealed importance sampling; add --ais")

    from jensen.recipes.running import load_information
    from jensen.report import evaluation_tables, information_table

    found = running_of(config.recipe).measure(
        options.run,
        samples=options.samples,
        limit=options.limit,
        batch_size=options.batch_size,
        chunk=options.chunk,
        seed=options.seed,
        device=options.device,
        progress=options.progress,
    )
    console = Console()
    for table in evaluation_tables(found):
        console.print(table)
    if (information := load_information(options.run)) is not None:
        console.print(information_table(information))
    say_notes(found.notes)
    say_path("written", options.run / EVALUATION)


def _anneal(options: Evaluate, settings: dict[str, int]) -> None:
    config_of(options.run, recipes.Recipe)
    if options.samples is not None:
        raise ValueError("--samples are draws from the encoder; annealing has --ais-chains and --ais-temperatures")

    from jensen.recipes.annealing import measure_annealed
    from jensen.recipes.running import load_evaluation
    from jensen.report.ais import annealed_table

    found = measure_annealed(
        options.run,
        limit=options.limit,
        batch_size=options.batch_size,
        seed=options.seed,
        device=options.device,
        progress=options.progress,
        **settings,
    )
    console = Console()
    console.print(annealed_table(found, load_evaluation(options.run)))
    say_notes(found.notes)
    say_path("written", options.run / ANNEALED)
