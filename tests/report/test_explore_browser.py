"""The page of sliders in a real browser: what it shows is the decoder's, and nothing is fetched from elsewhere."""

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from jensen import recipes
from jensen.recipes import running
from jensen.recipes.build import build
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.report.explorer import explorer_of
from jensen.report.sliders import image_png

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
ABSENT = [name for name in ("gradio", "selenium") if find_spec(name) is None]
ABSENT += [name for name, path in (("chromium", CHROMIUM), ("chromedriver", DRIVER)) if path is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(ABSENT), reason=f"the page of sliders needs {', '.join(ABSENT)}"),
]
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--window-size=1200,950",
)
PATIENCE = 120.0
RANGE = "#knob-{} input[type=range]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = recipes.adapt(recipes.get("vae-digits"), epochs=40, images=200)
    path = tmp_path_factory.mktemp("browser") / "run"
    make_folder(path, config := Config(recipe, 0, (8, 8), device="cpu"))
    running.train(path, config, build(recipe), device="cpu", progress=False)
    return path


@pytest.fixture(scope="module")
def explorer(run):
    return explorer_of(run)


@pytest.fixture(scope="module")
def server(run):
    """The command as a user gives it, and the address that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "jensen.cli", "explore", str(run), "--no-browser", "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=run)
    try:
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"the server did not start: {process.communicate()[1]}")
        assert line == f"http://127.0.0.1:{port} shows {run}; Ctrl-C ends it\n"
        yield process, line.split()[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser(server):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(server[1])
        until(lambda: find(driver, "#picture img"), "the page shows a picture")
        yield driver
    finally:
        driver.quit()


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def until(condition, what):
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {PATIENCE:.0f} seconds: {what}")
        time.sleep(0.05)
    return found


def shown(browser, selector="#picture"):
    """The pixels of a picture on the page; None while there is none."""
    source = browser.execute_script(
        "const found = document.querySelector(arguments[0]); return found && found.src", f"{selector} img"
    )
    return source and np.asarray(Image.open(BytesIO(base64.b64decode(source.partition("base64,")[2]))))


def drawn(explorer, pixels):
    """The pixels that the page ought to show."""
    return np.asarray(Image.open(BytesIO(image_png(pixels, explorer.config.shape, ink=True))))


def shows(browser, pixels, selector="#picture"):
    found = shown(browser, selector)
    return found is not None and np.array_equal(found, pixels)


def stand(browser, explorer):
    """Where the sliders on the page stand."""
    return [float(find(browser, RANGE.format(unit.place))[0].get_attribute("value")) for unit in explorer.units]


def press(browser, selector):
    find(browser, selector)[0].click()


def encode(browser, n):
    from selenium.webdriver.common.keys import Keys

    box = find(browser, "#number input")[0]
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(str(n))
    press(browser, "#encode")


def test_the_page_begins_at_the_prior_mean(browser, explorer):
    assert explorer.panel.active >= 2
    assert browser.title == "vae-digits · jensen"
    rest = explorer.panel.rest()
    assert shows(browser, drawn(explorer, explorer.panel.decode(rest)))
    assert not shows(browser, drawn(explorer, explorer.panel.decode(rest + 1)))
    assert stand(browser, explorer) == [0.0] * len(explorer.units)
    for unit in explorer.units:
        text = find(browser, f"#knob-{unit.place}")[0].text
        assert unit.name in text
        assert f"{unit.kl:.2f} nats" in text


def test_encoding_puts_the_sliders_at_the_posterior_mean(browser, explorer):
    encode(browser, 7)
    x = explorer.image(7)
    values = explorer.panel.encode(x)[0]
    at = explorer.stand(values)
    until(lambda: shows(browser, drawn(explorer, explorer.picture(values, at))), "the picture of the encoded image")
    assert shows(browser, drawn(explorer, x[0]), "#seen")
    assert shows(browser, drawn(explorer, explorer.panel.rebuild(x)[0]), "#rebuilt")
    assert until(lambda: stand(browser, explorer) == at, "the sliders where the encoder says")


def test_a_key_moves_a_slider_and_the_picture_is_the_decoders(browser, explorer):
    from selenium.webdriver.common.keys import Keys

    encode(browser, 3)
    values = explorer.panel.encode(explorer.image(3))[0]
    at = explorer.stand(values)
    before = drawn(explorer, explorer.picture(values, at))
    until(lambda: shows(browser, before), "the picture of the encoded image")
    slider = find(browser, RANGE.format(explorer.units[1].place))[0]
    key, sign = (Keys.PAGE_UP, 1) if at[1] < 0 else (Keys.PAGE_DOWN, -1)
    slider.send_keys(key * 2)
    moved = until(lambda: (now := stand(browser, explorer)) != at and now, "the slider moves")
    assert sign * (moved[1] - at[1]) > 0.5
    assert [*moved[:1], *moved[2:]] == [*at[:1], *at[2:]]
    expected = drawn(explorer, explorer.picture(values, moved))
    assert not np.array_equal(expected, before)
    until(lambda: shows(browser, expected), "the decoder's picture at the moved slider")
    others = drawn(explorer, explorer.picture(explorer.panel.rest(), moved))
    if len(explorer.panel.units) > len(explorer.units):
        assert not np.array_equal(others, expected)


def test_draws_and_reset(browser, explorer):
    for count in (1, 2):
        press(browser, "#draw")
        values = explorer.panel.draw(count)
        at = explorer.stand(values)
        until(lambda values=values, at=at: shows(browser, drawn(explorer, explorer.picture(values, at))), "a draw")
    press(browser, "#reset")
    until(lambda: shows(browser, drawn(explorer, explorer.panel.decode(explorer.panel.rest()))), "the prior mean")
    until(lambda: not find(browser, "#seen"), "the test image is gone")
    assert stand(browser, explorer) == [0.0] * len(explorer.units)


def test_an_image_that_is_not_there_is_refused_in_words(browser, explorer):
    before = shown(browser)
    encode(browser, 9999)
    until(lambda: "there is no test image 9999" in find(browser, "body")[0].text, "the complaint")
    assert shows(browser, before)


def test_nothing_is_fetched_from_elsewhere(browser, server, run):
    address = server[1]
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
    assert len(urls) > 10
    assert [url for url in urls if not url.startswith((f"{address}/", "data:", "blob:"))] == []
    named = browser.execute_script(
        "return [...document.querySelectorAll('[src], link[href]')].map(found => found.src || found.href)"
    )
    assert [url for url in named if not url.startswith((f"{address}/", "data:", "blob:"))] == []
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert complaints == []
    assert [path.name for path in run.iterdir() if "gradio" in path.name] == []


def test_what_would_be_fetched_from_elsewhere_is_refused(browser):
    refused = browser.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', event => done(event.blockedURI), {once: true});"
        "fetch('http://127.0.0.2:9/').catch(() => {});"
    )
    assert refused.startswith("http://127.0.0.2:9")
    assert "Content Security Policy" in "".join(entry["message"] for entry in browser.get_log("browser"))


def test_an_interrupt_ends_it_quietly(server):
    process, _ = server
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")
