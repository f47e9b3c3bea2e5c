"""Screenshots: make `chart.png` and `compare.png`, the two pictures of the README.

    python docs/screenshots.py

Trains three runs into a store of its own, serves it with `mlflow ui`, and photographs two pages
with Chromium. Nothing but the two pictures is left behind.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote
from urllib.request import urlopen

from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

DOCS = Path(__file__).resolve().parent
SWEEP = ("-m", "init=xavier,he,std001", "model=mlp_deep")
START_SECONDS = 60
STOP_SECONDS = 10
PAGE_SECONDS = 60
SIZE: ViewportSize = {"width": 1300, "height": 1500}
# In a narrower window MLflow leaves no room for the list of files beside three previews.
WIDE: ViewportSize = {"width": 1920, "height": 1500}
# Or MLflow's assistant would lie over the page on the first visit.
NO_ASSISTANT = """
    localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""
CARD = "[data-testid=experiment-view-compare-runs-card]"
DRAWN = f"""() => {{
    const plots = [...document.querySelectorAll("{CARD} .js-plotly-plot")];
    const images = [...document.querySelectorAll("{CARD} img")];
    return plots.filter((plot) => plot.querySelectorAll(".trace").length >= 3).length >= 2
        && images.length >= 3 && images.every((image) => image.naturalWidth > 0);
}}"""


def main() -> None:
    """Train, serve, photograph."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which stops the server on the way out
    chromium = find_chromium()
    if chromium is None:
        sys.exit("chromium not found: install it, on Debian with `apt install chromium`")
    with TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        link = printed_link(train(uri, folder))
        experiment, runs = recorded(uri)
        with served(uri, folder) as address, opened(chromium) as page:
            page.add_init_script(NO_ASSISTANT)
            photograph_chart(page, f"{address}{link}")
            photograph_comparison(page, address, experiment, runs)


def find_chromium() -> str | None:
    """Return the path of the browser, None where there is none."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)


def train(uri: str, folder: Path) -> str:
    """Run the sweep of the pictures through the front door; return what it prints."""
    script = DOCS.parent / "src" / "train.py"
    settings = (f"tracking.uri={uri}", "tracking.experiment=initlab", f"hydra.sweep.dir={folder}")
    command = [sys.executable, script, *SWEEP, *settings]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def printed_link(text: str) -> str:
    """Return the link into the UI that a sweep has printed, from the slash after the port."""
    (link,) = re.findall(r"http://[^/\s]+(/#/experiments/\S+)", text)
    return str(link)


def recorded(uri: str) -> tuple[str, list[str]]:
    """Return the ids of the experiment and of its trials, in the order trained."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("initlab").experiment_id
    runs = client.search_runs(
        [experiment], "tags.role = 'trial'", order_by=["attributes.start_time"]
    )
    return experiment, [run.info.run_id for run in runs]


@contextmanager
def served(uri: str, folder: Path) -> Iterator[str]:
    """Serve the store and yield the address of its pages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--workers", "1"],
        cwd=folder,
        env=os.environ
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its workers can be stopped with it
    )
    try:
        wait_for(f"{address}/health", server)
        yield address
    finally:
        stop(server)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server and all that it has started."""
    for way in (signal.SIGTERM, signal.SIGKILL):  # the second for workers that outlive the server
        with suppress(ProcessLookupError):
            os.killpg(server.pid, way)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once a page answers; exit if the server ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"mlflow ui does not answer at {url}")


@contextmanager
def opened(chromium: str, size: ViewportSize = SIZE) -> Iterator[Page]:
    """Open a browser with a window of a size and yield its page."""
    arguments = ["--disable-gpu", "--disable-background-networking"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport=size, device_scale_factor=1)
        page.set_default_timeout(1000 * PAGE_SECONDS)
        yield page
        browser.close()


def photograph_chart(page: Page, link: str) -> None:
    """Take the overlaid curves and, below, the activations with their slider."""
    page.goto(link)
    page.wait_for_function(DRAWN)
    cards = page.locator(CARD)
    titles = ("train/loss", "test/accuracy", "Image grid")
    take(page, "chart.png", *(cards.filter(has_text=title).first for title in titles))


def photograph_comparison(page: Page, address: str, experiment: str, runs: list[str]) -> None:
    """Take what differs between the runs and, below, their activations side by side."""
    page.set_viewport_size(WIDE)
    page.goto(
        f"{address}/#/compare-runs?runs={quote(json.dumps(runs))}"
        f"&experiments={quote(json.dumps([experiment]))}&workflowType=machine_learning"
    )
    page.get_by_text("activations.png").click()
    page.set_viewport_size(SIZE)
    for section in ("Visualizations", "Run details", "Metrics"):
        page.get_by_role("button", name=section).click()
    page.get_by_text("Show diff only").first.click()
    pictures = page.locator("img[src^='blob:']:visible")
    pictures.nth(len(runs) - 1).wait_for()
    take(page, "compare.png", page.get_by_role("button", name="Parameters"), *pictures.all())


def take(page: Page, name: str, *shown: Locator, margin: int = 6) -> None:
    """Write a picture of the part of the page that holds what is to be shown."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # for what is folding or fading
    boxes = [box for box in (locator.bounding_box() for locator in shown) if box]
    left = min(box["x"] for box in boxes) - margin
    top = min(box["y"] for box in boxes) - margin
    right = max(box["x"] + box["width"] for box in boxes) + margin
    bottom = max(box["y"] + box["height"] for box in boxes) + margin
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip)))
    file = DOCS / name
    picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name}: {picture.width} × {picture.height}, {file.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
