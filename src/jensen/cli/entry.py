"""Where the command line begins and ends: one line for an error, an exit code for the shell."""

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress

from jensen import __version__
from jensen.cli.parse import UsageError, parse

__all__ = ["main"]

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `jensen`; those of the process where None.

    Returns:
        The exit code: 0 done, 1 the request cannot be met, 2 the request makes no sense, 130 interrupted.

    Example:
        >>> main(["--version"])
        jensen 0.1.0
        0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"jensen {__version__}")
        return DONE
    debug = "--debug" in words or os.environ.get("JENSEN_DEBUG", "") not in ("", "0")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return _run(words)
        except KeyboardInterrupt as stop:
            return _end(INTERRUPTED, "interrupted", str(stop), debug)
        except BrokenPipeError:
            _silence()
            return DONE
        except UsageError as error:
            return _end(MISUSED, "error", str(error), debug)
        except (ValueError, OSError, ArithmeticError, ModuleNotFoundError) as error:
            return _end(FAILED, "error", str(error) or type(error).__name__, debug)
        except Exception as error:
            what = f"{type(error).__name__}: {error}; JENSEN_DEBUG=1 shows where"
            return _end(FAILED, "unexpected error", what, debug)


def _run(words: Sequence[str]) -> int:
    try:
        command = parse(words)
    except SystemExit as stop:
        return int(stop.code or DONE)
    from jensen.cli.commands import run

    run(command)
    sys.stdout.flush()
    return DONE


def _silence() -> None:
    """Let what is still to be written to a reader that went away go nowhere."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(code: int, what: str, message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"jensen: {what}: {line}" if line else f"jensen: {what}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    if not issubclass(category, DeprecationWarning | FutureWarning):
        print(f"jensen: warning: {' '.join(str(message).split())}", file=sys.stderr)
