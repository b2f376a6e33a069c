"""Tables of a network's evaluation, for a terminal and for a page."""

import math
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jensen.recipes.network_results import LayerRow, NetworkEvaluation, Quantity
from jensen.report.words import number

__all__ = ["LAYER_COLUMNS", "QUANTITY_COLUMNS", "layer_rows", "network_tables", "quantity_rows"]

QUANTITY_COLUMNS = ("what", "draws", "std. error", "means", "std. error", "unit")
LAYER_COLUMNS = ("layer", "weights", "kept", "pruned", "inputs", "outputs", "bits", "cut at")

DIGITS = {"%": 2, "x": 1, "nats": 4, "": 4, "bytes": 0, "FLOP": 0, "µs": 1}
UNITS = {"x": "times"}
AT_MEANS = ", at the means"


def network_tables(evaluation: NetworkEvaluation) -> list[Table]:
    """All quantities, and what is left of each layer where weights were pruned.

    Example:
        >>> found = NetworkEvaluation("classification", 300, 100, 0, (Quantity("error", 2.0, 0.8, "%"),))
        >>> [table.row_count for table in network_tables(found)]
        [1]
    """
    title = f"{evaluation.data:,} test data, {evaluation.samples:,} draws of the weights"
    tables = [_table(title, QUANTITY_COLUMNS, quantity_rows(evaluation.quantities))]
    if evaluation.outside:
        tables[0].caption = f"out of distribution: {evaluation.outside}"
    if evaluation.layers:
        tables.append(_table("what is left", LAYER_COLUMNS, layer_rows(evaluation.layers)))
    return tables


def quantity_rows(quantities: Iterable[Quantity]) -> list[Sequence[str]]:
    """The cells of a table of quantities, as text: what the average over draws gives beside the one net at the means.

    Example:
        >>> error, rate = Quantity("error", 1.92, 0.137, "%"), Quantity("weights, all over kept", 68.0, math.nan, "x")
        >>> quantity_rows([error, Quantity("error, at the means", 2.0, 0.14, "%"), rate])[0]
        ('error', '1.92', '0.14', '2.00', '0.14', '%')
    """
    every = list(quantities)
    means = {each.what.removesuffix(AT_MEANS): each for each in every if each.what.endswith(AT_MEANS)}
    return [
        (each.what, *_cells(each), *(_cells(means[each.what]) if each.what in means else ("", "")), _unit(each))
        for each in every
        if not each.what.endswith(AT_MEANS)
    ]


def layer_rows(layers: Iterable[LayerRow]) -> list[Sequence[str]]:
    """The cells of a table of layers, as text.

    Example:
        >>> layer_rows([LayerRow("fc1", (300, 784), 2352, 512, 114, 8, 3.0)])
        [('fc1', '235,200', '2,352', '99.0 %', '512', '114', '8', '3.00')]
    """
    return [
        (
            row.name,
            f"{row.weights:,}",
            f"{row.kept:,}",
            f"{100 * row.sparsity:.1f} %",
            f"{row.inputs:,}",
            f"{row.outputs:,}",
            str(row.bits),
            number(row.threshold, digits=2) if math.isfinite(row.threshold) else "–",
        )
        for row in layers
    ]


def _cells(each: Quantity) -> tuple[str, str]:
    return _value(each.value, each.unit), "" if math.isnan(each.error) else _value(each.error, each.unit)


def _unit(each: Quantity) -> str:
    return UNITS.get(each.unit, each.unit)


def _value(value: float, unit: str) -> str:
    if unit == "" and value != 0 and math.isfinite(value) and (abs(value) < 1e-3 or abs(value) >= 1e3):
        return f"{value:.3g}"
    digits = DIGITS.get(unit, 4)
    return f"{value:,.0f}" if digits == 0 and math.isfinite(value) else number(value, digits=digits)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left", title_style="bold")
    table.title = title
    for i, column in enumerate(columns):
        last = column == QUANTITY_COLUMNS[-1]
        table.add_column(column, justify="left" if i == 0 or last else "right", no_wrap=i > 0)
    for row in rows:
        table.add_row(*row)
    return table
