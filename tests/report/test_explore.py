"""What a run has to explore, and a server that listens here alone and says what it needs; all without gradio."""

import asyncio
import socket
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from jensen import recipes
from jensen.recipes import running
from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.report import explore as module
from jensen.report.explore import explore
from jensen.report.explorer import SLIDERS, explorer_of


def trained(run, name):
    recipe = recipes.adapt(recipes.get(name), smoke=True)
    make_folder(run, config := Config(recipe, 0, (8, 8), device="cpu"))
    running.train(run, config, build(recipe), device="cpu", progress=False)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("explore") / "run", "vae-digits")


@pytest.fixture(scope="module")
def explorer(run):
    return explorer_of(run)


@pytest.fixture
def no_gradio(monkeypatch):
    for name in module.QUIET:
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "gradio", None)


def test_the_picture_is_the_decoders_at_the_sliders(run, explorer):
    _, model = running.load_model(run)
    values = explorer.panel.encode(explorer.image(2))[0]
    at = explorer.stand(values)
    at[0] += 1.5
    z = values.clone()
    z[[unit.place for unit in explorer.units]] = torch.tensor(at)
    with torch.no_grad():
        assert_close(explorer.picture(values, at), model.likelihood(z).mean)
        assert (explorer.picture(values, at) - model.likelihood(values).mean).abs().max() > 1e-4


def test_sliders_are_for_the_most_active_units(explorer):
    panel = explorer.panel
    assert explorer.units == panel.units[: len(explorer.units)]
    assert len(explorer.units) == min(SLIDERS, panel.active or SLIDERS)
    assert len(explorer.stand(panel.rest())) == len(explorer.units)


@pytest.mark.parametrize(("n", "message"), [(None, "no number was given"), (-1, "no test image -1"), (99, "from 0 to")])
def test_an_image_that_is_not_there_is_refused(explorer, n, message):
    with pytest.raises(ValueError, match=message):
        explorer.image(n)


def test_a_model_that_completes_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="StructuredPredictor draws no images from latents alone"):
        explorer_of(trained(tmp_path / "run", "structured-digits"))


def test_without_gradio_the_extra_is_named(run, no_gradio):
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jensen\[explore\]'"):
        explore(run)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(run, port):
    with pytest.raises(ValueError, match=f"from 1 to 65535, got {port}"):
        explore(run, port=port)


def test_the_socket_is_of_this_machine_alone_and_a_taken_port_is_refused():
    with module._listening(None) as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        assert port >= 7860
        with pytest.raises(ValueError, match=f"port {port} is taken"), module._listening(port):
            pass
        with module._listening(None) as other:
            assert other.getsockname()[1] != port
        socket.create_connection((host, port), timeout=5).close()


def test_every_answer_tells_the_browser_to_fetch_nothing_from_elsewhere():
    sent = []

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    asyncio.run(module._sealed(page)({}, None, send))
    assert sent[0]["headers"] == [(b"a", b"b"), module.POLICY]
    assert sent[1] == {"type": "http.response.body", "body": b""}
    assert b"default-src 'self'" in module.POLICY[1]
    assert b"http" not in module.POLICY[1]


def test_importing_reports_imports_no_server():
    program = "import sys, jensen.report, jensen.report.explore; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
