"""A page on this machine with sliders over a run's latents; gradio makes it, and nothing leaves the machine."""

import os
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import threads
from jensen.recipes.recipe import Recipe
from jensen.recipes.running import load_model
from jensen.report.sliders import Panel, Unit, panel_of

__all__ = ["Explorer", "explore", "explorer_of"]

HOST, FIRST_PORT, PORTS = "127.0.0.1", 7860, 100
SLIDERS = 12
"""The most units that get a slider."""

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
POLICY = (b"content-security-policy", b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:")
"""What tells a browser to fetch nothing that is not from here."""


@dataclass(frozen=True, eq=False)
class Explorer:
    """What the page of a run is about.

    Attributes:
        run: its folder.
        config: what it trained.
        panel: its latents.
        test: test images as the model sees them, `(N, pixels)`.
    """

    run: Path
    config: Config[Recipe]
    panel: Panel
    test: Tensor

    def __repr__(self) -> str:
        """The recipe and the sizes."""
        return f"Explorer({self.config.recipe.name}, {self.panel}, test={len(self.test)})"

    @property
    def units(self) -> tuple[Unit, ...]:
        """The ones with a slider: the most active ones, or any where none is active."""
        return self.panel.units[: min(SLIDERS, self.panel.active or SLIDERS)]

    def stand(self, values: Tensor) -> list[float]:
        """Where the sliders stand at values `(D,)`."""
        return self.panel.read(values, len(self.units))

    def picture(self, values: Tensor, at: Sequence[float]) -> Tensor:
        """Pixel means with the sliders `at` these numbers and all other units at `values` `(D,)`, `(pixels,)`."""
        return self.panel.decode(self.panel.moved(values, at))

    def image(self, n: int | None) -> Tensor:
        """A test image, `(1, pixels)`.

        Raises:
            ValueError: if there is no such image.
        """
        if n is None or not 0 <= n < len(self.test):
            what = "no number was given" if n is None else f"there is no test image {n}"
            raise ValueError(f"{what}; give a number from 0 to {len(self.test) - 1}")
        return self.test[n : n + 1]


def explorer_of(run: Path, *, device: str = "cpu") -> Explorer:
    """What there is to explore in a run.

    Args:
        run: the run folder.
        device: where to compute.

    Raises:
        ValueError: if the run cannot be loaded, or its model draws no images from latents alone.
    """
    config, model = load_model(run, device=device)
    with threads(config.recipe.threads):
        test = build(config.recipe, seed=config.seed).test
        return Explorer(run, config, panel_of(model, test), test)


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

    from jensen.report.explore_page import make_page

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
