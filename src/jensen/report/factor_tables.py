"""Tables of an evaluation of separated factors, for a terminal and for a page."""

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jensen.recipes.factor_results import FactorEvaluation
from jensen.recipes.network_results import Quantity
from jensen.report.words import number

__all__ = ["FACTOR_COLUMNS", "factor_rows", "factor_tables"]

FACTOR_COLUMNS = ("what", "value", "std. error", "unit")
DIGITS, UNITS = {"%": 1, "x": 2, "nats": 2}, {"x": "times"}


def factor_tables(evaluation: FactorEvaluation) -> list[Table]:
    """The quantities, for a terminal.

    Example:
        >>> found = FactorEvaluation(300, 0, (Quantity("label error from s, mlp probe", 1.0, 0.6, "%"),))
        >>> [table.row_count for table in factor_tables(found)]
        [1]
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    table.title = f"{evaluation.data:,} test images"
    for column in FACTOR_COLUMNS:
        table.add_column(
            column, justify="right" if column in FACTOR_COLUMNS[1:3] else "left", no_wrap=column != FACTOR_COLUMNS[0]
        )
    for row in factor_rows(evaluation.quantities):
        table.add_row(*row)
    return [table]


def factor_rows(quantities: Iterable[Quantity]) -> list[tuple[str, str, str, str]]:
    """The cells of the table, as text."""
    return [
        (
            each.what,
            number(each.value, digits=DIGITS.get(each.unit, 3)),
            number(each.error, digits=DIGITS.get(each.unit, 3)),
            UNITS.get(each.unit, each.unit),
        )
        for each in quantities
    ]
