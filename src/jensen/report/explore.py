"""A page on this machine with sliders over a run's latents; gradio makes it, and nothing leaves the machine."""

import os
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from jensen.recipes.machine import threads
from jensen.report.explore_page import make_page
from jensen.report.explorer import explorer_of

__all__ = ["explore"]

HOST, FIRST_PORT, PORTS = "127.0.0.1", 7860, 100
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
POLICY = (b"content-security-policy", b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:")
"""What tells a browser to fetch nothing that is not from here."""


def explore(
    run: Path,
    *,
    port: int | None = None,
    browser: bool = True,
    device: str = "cpu",
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page of a run on 127.0.0.1 until Ctrl-C.

    Args:
        run: the run folder.
        port: where to listen; the first free one from 7860 on where None.
        browser: open it in a browser.
        device: where to compute.
        ready: is told the address, which answers from then on.

    Raises:
        ValueError: if the run cannot be loaded, its model draws no images from latents alone, or the port is no port
            or taken.
        ModuleNotFoundError: if gradio is absent.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"a port is a number from 1 to 65535, got {port}")
    gradio = _gradio()
    explorer = explorer_of(run, device=device)
    with _listening(port) as listener, threads(explorer.config.recipe.threads):
        page = make_page(gradio, explorer)
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        ready(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            _serve(page, listener)


def _gradio() -> ModuleType:
    """gradio, told to report to nobody before it is imported."""
    os.environ.update(QUIET)
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("explore needs the package gradio: pip install 'jensen[explore]'") from error
    package: ModuleType = gradio
    return package


@contextmanager
def _listening(port: int | None) -> Iterator[socket.socket]:
    """A socket that takes connections on this machine alone."""
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, candidate))
                listener.listen()
            except OSError:
                continue
            yield listener
            return
    taken = f"port {port} is" if port else f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are"
    raise ValueError(f"{taken} taken or not allowed; choose another with --port")


def _serve(page: Any, listener: socket.socket) -> None:
    """Answer until Ctrl-C, which cuts off pages still open; what goes wrong in a button gradio itself tells."""
    import uvicorn

    config = uvicorn.Config(_sealed(page), log_level="critical", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def _sealed(app: Any) -> Any:
    """An ASGI application whose every answer carries the policy."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def seal(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], POLICY]}
            await send(message)

        await app(scope, receive, seal)

    return answer
