"""Writing a file whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["PARTIAL", "write_atomically"]

PARTIAL = ".partial"
"""How the name of a file ends while it is being written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`; whoever looks finds the old file or the whole new one, even after a crash.

    Raises:
        OSError: if the content cannot be written; the old file is then untouched and nothing else is left behind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "numbers")
        >>> write_atomically(path, b"123")
        >>> path.read_bytes(), os.listdir(path.parent)
        (b'123', ['numbers'])
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
