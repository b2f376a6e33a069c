"""Ctrl-C between two steps, never inside one."""

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupted", "Interruption"]


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop and did, between two steps.

    Attributes:
        epoch: whole epochs behind it.
        batch: steps of the next epoch behind it.
        step: optimizer steps behind it.
        checkpoint: where it can be taken up again; None where the run has no folder.
    """

    def __init__(self, *, epoch: int, batch: int, step: int, checkpoint: Path | None) -> None:
        self.epoch, self.batch, self.step, self.checkpoint = epoch, batch, step, checkpoint
        where = f"stopped after {epoch} epochs and {batch} batches ({step} steps)"
        super().__init__(
            f"{where}; resume continues from {checkpoint}" if checkpoint else f"{where}; nothing was saved"
        )


class Interruption:
    """While it is entered, the first Ctrl-C sets `requested` and the second one stops at once.

    Handlers can be set in the main thread only; in any other this does nothing. The old handler comes back on leaving.

    Example:
        >>> with Interruption() as interruption:
        ...     signal.raise_signal(signal.SIGINT)
        ...     interruption.requested
        True
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None
        self._set = False

    def __enter__(self) -> Self:
        """Take over Ctrl-C."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
            self._set = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give Ctrl-C back."""
        if self._set:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)
            self._set = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt("stopped at once")
        self.requested = True
