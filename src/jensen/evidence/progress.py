"""A bar for each run of a sampler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["bars"]


@contextmanager
def bars(*, show: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """What a sampler tells its progress to, as `report(name, done, total)`; None where nothing is to be shown.

    Example:
        >>> with bars(show=False) as report:
        ...     print(report)
        None
    """
    if not show:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield report
