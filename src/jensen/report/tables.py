"""Tables for a terminal, by rich."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jensen.evaluation import BoundEstimate, Evaluation, LatentInformation
from jensen.recipes.factor_results import FactorEvaluation
from jensen.recipes.network_results import NetworkEvaluation
from jensen.report.factor_tables import factor_tables
from jensen.report.network_tables import network_tables
from jensen.report.words import number

__all__ = [
    "active_units",
    "bound_name",
    "bounds_rows",
    "entries",
    "evaluation_table",
    "evaluation_tables",
    "information_table",
]

BOUND_COLUMNS = ("bound", "k", "nats", "std. error", "Monte Carlo error")
NAMES = {"elbo": "ELBO", "iwae": "IWAE", "jackknife": "jackknife", "block_jackknife": "jackknife, blocks"}


def evaluation_tables(evaluation: Evaluation | NetworkEvaluation | FactorEvaluation) -> list[Table]:
    """The tables of whatever was evaluated.

    Args:
        evaluation: of an autoencoder or of a network.

    Example:
        >>> [table.row_count for table in evaluation_tables(Evaluation((BoundEstimate("elbo", 1, -90.0, 0.5, 0.01),)))]
        [1]
    """
    if isinstance(evaluation, NetworkEvaluation):
        return network_tables(evaluation)
    if isinstance(evaluation, FactorEvaluation):
        return factor_tables(evaluation)
    return [evaluation_table(evaluation)]


def evaluation_table(evaluation: Evaluation) -> Table:
    """Every bound with both of its errors, and the active units below.

    Example:
        >>> evaluation = Evaluation(rows=(BoundEstimate("elbo", 1, -90.0, 0.5, 0.01),), data=100)
        >>> evaluation_table(evaluation).row_count
        1
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left", title_style="bold")
    table.title = f"{evaluation.data:,} test images, {evaluation.samples:,} draws each"
    for i, column in enumerate(BOUND_COLUMNS):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in bounds_rows(evaluation):
        table.add_row(*row)
    if evaluation.layers:
        table.caption = f"active units: {active_units(evaluation)}"
    return table


def information_table(found: LatentInformation) -> Table:
    """What the latents know of the data, with the ceiling of what can be told.

    Args:
        found: by `evaluation.latent_information`.

    Example:
        >>> information_table(LatentInformation(4.0, 0.5, data=1000, samples=2)).row_count
        4
    """
    low, high = number(found.mutual_information, digits=2), number(found.upper, digits=2)
    rows = [
        ("divergence from the prior", f"{number(found.rate, digits=2)} nats"),
        ("of which information", f"{low} ± {number(found.mc_error, digits=2)} nats of at most {found.ceiling:.2f}"),
        ("and distance of all from the prior", f"{number(found.marginal_divergence, digits=2)} nats"),
        ("information about a new image", f"between {low} and {high} nats"),
    ]
    return entries(f"latents of {found.data:,} test images", rows)


def entries(title: str, pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values in two columns.

    Example:
        >>> entries("run", [("epochs", 3)]).row_count
        1
    """
    table = Table(box=None, show_header=False, pad_edge=False, title=title, title_justify="left", title_style="bold")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in pairs:
        table.add_row(name, str(value))
    return table


def bounds_rows(evaluation: Evaluation) -> list[Sequence[str]]:
    """The cells of a table of bounds, as text.

    Example:
        >>> bounds_rows(Evaluation(rows=(BoundEstimate("iwae", 5000, -86.8, 0.25, 0.004),)))
        [('IWAE', '5,000', '-86.800', '0.250', '0.0040')]
    """
    return [
        (bound_name(row), f"{row.k:,}", number(row.value), number(row.std_error), number(row.mc_error, digits=4))
        for row in evaluation.rows
    ]


def bound_name(row: BoundEstimate) -> str:
    """What a row is called in a table or at a line's end."""
    return NAMES.get(row.name, row.name)


def active_units(evaluation: Evaluation) -> str:
    """Active of all units, layer by layer.

    Example:
        >>> from jensen.evaluation import LayerActivity
        >>> layers = (LayerActivity(variance=(0.9, 1e-5), kl=(2.0, 0.01)),)
        >>> active_units(Evaluation(rows=(BoundEstimate("elbo", 1, -90.0, 0.5, 0.01),), layers=layers))
        '1 of 2'
    """
    return " + ".join(f"{layer.active} of {layer.units}" for layer in evaluation.layers)
