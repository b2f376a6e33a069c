"""The line that moves while a run trains."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import ProgressColumn as Column

__all__ = ["ProgressBar"]

INTERVAL = 0.1
"""Seconds between two drawings."""


class ProgressBar:
    """A bar over all steps with bound, images per second and the time left; nothing where nobody looks.

    Args:
        epochs: length of the run.
        steps: steps in an epoch.
        done: steps behind us.
        enabled: draw at all; a console that is no terminal is left alone anyway.
        console: where to draw; standard error by default.
    """

    def __init__(
        self, *, epochs: int, steps: int, done: int = 0, enabled: bool = True, console: Console | None = None
    ) -> None:
        console = console or Console(stderr=True)
        self.enabled = enabled and console.is_terminal
        self.next = 0.0
        self.epochs = epochs
        if not self.enabled:
            return
        self._bar = Progress(*_columns(), console=console, auto_refresh=False)
        self._task = self._bar.add_task(
            "", total=epochs * steps, completed=done, epoch=f"0/{epochs}", bound="", rate="", validation=""
        )
        self._mark = (time.perf_counter(), done)
        self._bar.start()

    def due(self, now: float) -> bool:
        """Whether it is time to draw again, ten times a second at most."""
        return self.enabled and now >= self.next

    def draw(self, *, epoch: int, step: int, bound: float, images: int) -> None:
        """Draw the position.

        Args:
            epoch: the epoch under way, from 1.
            step: steps behind us.
            bound: mean bound of the epoch so far, in nats.
            images: data in a step.
        """
        if not self.enabled:
            return
        now = time.perf_counter()
        self.next = now + INTERVAL
        then, before = self._mark
        fields: dict[str, Any] = {"epoch": f"{epoch}/{self.epochs}", "bound": f"bound {bound:.2f}"}
        if now - then > 2.0:
            self._mark = (now, step)
        if step > before:
            fields["rate"] = f"{(step - before) * images / (now - then):,.0f} images/s"
        self._bar.update(self._task, completed=step, refresh=True, **fields)

    def validated(self, bound: float) -> None:
        """Show the bound on the validation data, in nats."""
        if self.enabled:
            self._bar.update(self._task, validation=f"(val {bound:.2f})")

    def close(self, *, step: int) -> None:
        """Leave a last drawing on the screen, with `step` steps behind us."""
        if self.enabled:
            self._bar.update(self._task, completed=step, refresh=True)
            self._bar.stop()


def _columns() -> list[Column]:
    """Within the 80 columns of a plain terminal."""
    return [
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=8),
        TextColumn("{task.fields[bound]}"),
        TextColumn("{task.fields[validation]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(compact=True),
    ]
