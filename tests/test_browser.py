"""What a person sees in a browser: MLflow's own pages of a sweep, and its report."""

import json
import os
import re
import shutil
import subprocess
import sys
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from screenshots import find_chromium, opened, served

from initlab.config import PROJECT

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="there is no Chromium to open pages in",
)

WINDOW = {"width": 1500, "height": 1300}
INITS = ["xavier", "he", "std001"]
TRIALS = {f"init={init}" for init in INITS}
CARD = "[data-testid=experiment-view-compare-runs-card]"
CURVES = """(title) => {
    const all = "[data-testid=experiment-view-compare-runs-card]";
    const cards = [...document.querySelectorAll(all)];
    const card = cards.find((card) => card.innerText.startsWith(title + "\\n"));
    const plot = card && card.querySelector(".js-plotly-plot");
    if (!plot || !plot.querySelector(".trace")) return null;
    const box = plot.getBoundingClientRect();
    const points = Object.fromEntries(plot.data.map((trace) => [trace.name, trace.y.length]));
    return points && Object.keys(points).length && {box, points};
}"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two sweeps of the same experiment; return the store's folder, and what the first printed."""
    folder = tmp_path_factory.mktemp("browser")
    settings = [f"tracking.uri=sqlite:///{folder}/mlflow.db", f"hydra.sweep.dir={folder}/sweep"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}

    def run(*arguments):
        command = [sys.executable, PROJECT / "src" / "train.py", "-m", *arguments, *settings]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout

    printed = run(f"init={','.join(INITS)}")
    run("init=orthogonal", "seed=1,2", "train.steps=20")
    return folder, printed


@pytest.fixture(scope="module")
def address(sweep):
    folder, _ = sweep
    with served(f"sqlite:///{folder}/mlflow.db", folder) as address:
        yield address


@pytest.fixture
def page():
    with opened(find_chromium(), WINDOW) as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.errors = errors
        yield page


@pytest.fixture
def chart_page(sweep, address, page):
    """The page that the printed link opens, once its curves are drawn."""
    (link,) = re.findall(r"http://127\.0\.0\.1:5000(/#/experiments/\d+/runs\?\S+)", sweep[1])
    page.goto(address + link)
    page.wait_for_function(CURVES, arg="train/loss")
    return page


def seen(box):
    """Whether a box lies within the window."""
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    return (
        box["width"] > 0
        and box["x"] >= 0
        and box["y"] >= 0
        and right <= WINDOW["width"]
        and bottom <= WINDOW["height"]
    )


def pictures(page):
    """The address and the box of each picture that has been loaded."""
    return page.evaluate(
        f"""() => [...document.querySelectorAll("{CARD} img")]
            .filter((image) => image.naturalWidth > 0)
            .map((image) => [image.src, image.getBoundingClientRect().toJSON()])"""
    )


def test_the_printed_link_shows_losses_and_accuracies_of_this_sweep_overlaid(chart_page):
    for title, least in {"train/loss": 100, "test/accuracy": 11}.items():
        chart_page.wait_for_function(CURVES, arg=title)
        found = chart_page.evaluate(CURVES, title)
        assert found["points"].keys() == TRIALS
        assert min(found["points"].values()) >= least
        assert seen(found["box"])
    assert chart_page.errors == []


def test_histograms_stand_beside_the_loss_and_follow_their_slider(chart_page):
    chart_page.wait_for_function(f"document.querySelectorAll('{CARD} img').length >= 3")
    chart_page.wait_for_function(
        f"[...document.querySelectorAll('{CARD} img')].every((image) => image.naturalWidth > 0)"
    )
    loss = chart_page.evaluate(CURVES, "train/loss")["box"]
    found = pictures(chart_page)
    assert len(found) == 3
    assert all("step%2B1000" in source for source, _ in found)
    _, first = found[0]
    assert seen(first)
    assert first["x"] > loss["x"] + loss["width"] - 1
    assert loss["y"] <= first["y"] + first["height"] / 2 <= loss["y"] + loss["height"]
    slider = chart_page.get_by_role("slider")
    assert seen(slider.bounding_box())
    slider.focus()
    chart_page.keyboard.press("ArrowLeft")
    chart_page.wait_for_function(
        f"[...document.querySelectorAll('{CARD} img')].every((i) => i.src.includes('step%2B500'))"
    )


def test_the_compare_page_shows_activations_side_by_side(sweep, address, page):
    client = MlflowClient(f"sqlite:///{sweep[0]}/mlflow.db")
    experiment = client.get_experiment_by_name("initlab").experiment_id
    runs = client.search_runs([experiment], "tags.role = 'trial' and tags.sweep = 'sweep'")
    ids = json.dumps([run.info.run_id for run in runs])
    page.set_viewport_size({"width": 1920, "height": 1500})  # or there is no room for the list
    page.goto(
        f"{address}/#/compare-runs?runs={quote(ids)}&experiments={quote(json.dumps([experiment]))}"
        "&workflowType=machine_learning"
    )
    page.get_by_text("activations.png").click()
    images = page.locator("img[src^='blob:']:visible")
    images.nth(2).wait_for()
    boxes = [image.bounding_box() for image in images.all()]
    assert len(boxes) == 3
    assert len({round(box["y"]) for box in boxes}) == 1
    assert len({round(box["x"]) for box in boxes}) == 3


@pytest.mark.parametrize("width", [360, 1300])
def test_the_report_shows_all_its_pictures_and_fits_the_window(sweep, page, width):
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    requests = []
    page.on("request", lambda request: requests.append(request.url[:60]))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((sweep[0] / "sweep" / "report.html").as_uri())
    loaded = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(loaded) >= 3
    assert min(loaded) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert page.errors == []
    assert messages == []


def test_the_summary_run_carries_the_report(sweep):
    client = MlflowClient(f"sqlite:///{sweep[0]}/mlflow.db")
    experiment = client.get_experiment_by_name("initlab").experiment_id
    (summary, _) = client.search_runs(
        [experiment], "tags.role = 'summary'", order_by=["attributes.start_time"]
    )
    assert summary.data.tags["sweep"] == "sweep"
    names = {file.path for file in client.list_artifacts(summary.info.run_id)}
    assert {"report.html", "results.csv", "curves.npz"} <= names
    assert {path.name for path in (sweep[0] / "sweep").iterdir()} >= names
