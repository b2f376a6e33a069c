"""`jensen sample`, `jensen report` and `jensen explore`: what a run looks like."""

from jensen import recipes
from jensen.cli.folders import say_path
from jensen.cli.options import Explore, Report, Sample
from jensen.recipes.config import EVALUATION, config_of, read_config

__all__ = ["explore", "report", "sample"]


def explore(options: Explore) -> None:
    """Serve the page of sliders."""
    config_of(options.run, recipes.Recipe)

    from jensen.report.explore import explore as serve

    def say(address: str) -> None:
        print(f"{address} shows {options.run}; Ctrl-C ends it", flush=True)

    serve(options.run, port=options.port, browser=options.browser, device=options.device, ready=say)


def report(options: Report) -> None:
    """Write the page of a run."""
    read_config(options.run)

    from jensen.report import write_report

    page = write_report(options.run, seed=options.seed, device=options.device)
    if not (options.run / EVALUATION).is_file():
        print(f"not evaluated yet: `jensen evaluate {options.run}` fills in the measurements, then report again")
    say_path("written", page)


def sample(options: Sample) -> None:
    """Draw from a run's model."""
    read_config(options.run)
    if options.n < 1:
        raise ValueError(f"--n must be at least 1, got {options.n}")

    from jensen.report import write_samples

    for path in write_samples(options.run, n=options.n, seed=options.seed, device=options.device, out=options.out):
        say_path("written", path)
