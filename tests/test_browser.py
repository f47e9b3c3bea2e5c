"""What a person sees in a browser: MLflow's own pages of a sweep, and its report."""

import json
import os
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from screenshots import CARD, NO_ASSISTANT, PAGE_SECONDS, find_chromium, opened, printed_link

from initlab.config import PROJECT

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open pages in")

WINDOW = {"width": 1500, "height": 1300}
INITS = ["xavier", "he", "std001"]
OPTIMIZERS = ["sgd", "momentum", "adam"]
TRIALS = {f"init={init}" for init in INITS}
# The lines of the plot with a title, by run: as drawn, and as recorded, which differ if smoothed.
LINES = f"""(title) => {{
    const cards = [...document.querySelectorAll("{CARD}")];
    const card = cards.find((card) => card.innerText.startsWith(title + "\\n"));
    const plot = card && card.querySelector(".js-plotly-plot");
    if (!plot || !plot.querySelector(".trace")) return null;
    const lines = {{}};
    for (const line of plot.data) (lines[line.name] ??= []).push([...line.y]);
    return Object.keys(lines).length && {{lines, box: plot.getBoundingClientRect().toJSON()}};
}}"""
# Whether each picture of a kind and a step is loaded, and none of its corners lies under anything.
IN_SIGHT = f"""([kind, step, count]) => {{
    const marks = [`${{kind.replace("/", "~")}}%2B`, `step%2B${{step}}%2B`];
    const images = [...document.querySelectorAll("{CARD} img")]
        .filter((image) => marks.every((mark) => image.src.includes(mark)));
    return images.length === count && images.every((image) => {{
        const box = image.getBoundingClientRect();
        const corners = [box.left + 3, box.right - 3].flatMap(
            (x) => [box.top + 3, box.bottom - 3].map((y) => document.elementFromPoint(x, y)));
        const seen = corners.every((corner) => image.parentElement.contains(corner));
        return image.naturalWidth > 0 && seen;
    }});
}}"""


@pytest.fixture(scope="module")
def printed(served_store, warm):
    """The folder of a store with two sweeps of one experiment, and what each of them printed."""
    folder, _ = served_store
    sweeps = {
        "inits": [f"init={','.join(INITS)}"],
        "valley": [f"optimizer={','.join(OPTIMIZERS)}", "model=quadratic", "train.steps=40"],
    }
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    running = {}
    for name, grid in sweeps.items():
        settings = [
            f"tracking.uri=sqlite:///{folder}/mlflow.db",
            f"hydra.sweep.dir={folder}/{name}",
            "hydra/launcher=basic",
        ]
        script = str(PROJECT / "src" / "train.py")
        running[name] = warm.start(script, "-m", *grid, *settings, env=environment)
    told = {name: process.communicate(120) for name, process in running.items()}
    assert {process.returncode for process in running.values()} == {0}, told
    return folder, {name: output for name, (output, _) in told.items()}


@pytest.fixture
def address(served_store, printed):
    return served_store[1]


@pytest.fixture(scope="module")
def browser():
    with opened(CHROMIUM, WINDOW) as page:
        yield page.context.browser


@pytest.fixture
def page(browser):
    """A page of a browser that has never been here."""
    with browser.new_context(viewport=WINDOW, device_scale_factor=1) as context:
        page = context.new_page()
        page.set_default_timeout(1000 * PAGE_SECONDS)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.errors = errors
        yield page


@pytest.fixture
def client(printed):
    return MlflowClient(f"sqlite:///{printed[0]}/mlflow.db")


def trials(client, sweep):
    """Return the id of the experiment, and the trials of a sweep by name."""
    experiment = client.get_experiment_by_name("initlab").experiment_id
    runs = client.search_runs([experiment], f"tags.role = 'trial' and tags.sweep = '{sweep}'")
    return experiment, {run.info.run_name: run for run in runs}


def seen(box):
    """Whether a box lies within the window."""
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    inside = min(box["x"], box["y"]) >= 0 and right <= WINDOW["width"]
    return inside and bottom <= WINDOW["height"] and box["width"] > 0


def columns(page):
    """Return the names of the runs whose pictures the page shows."""
    heads = page.locator(f"{CARD} [role=columnheader]").all_inner_texts()
    return {head.splitlines()[-1] for head in heads} - {"images"}


@pytest.mark.parametrize("assistant", [True, False], ids=["first visit", "assistant closed"])
def test_the_printed_link_shows_curves_and_histograms_of_this_sweep_alone(
    printed, address, page, client, assistant
):
    if not assistant:
        page.add_init_script(NO_ASSISTANT)
    page.goto(address + printed_link(printed[1]["inits"]))
    _, runs = trials(client, "inits")
    for title, points in {"train/loss": 320, "test/accuracy": 11}.items():  # MLflow thins the first
        page.wait_for_function(LINES, arg=title)
        found = page.evaluate(LINES, title)
        assert found["lines"].keys() == TRIALS
        assert seen(found["box"])
        for name, (drawn, *recorded) in found["lines"].items():
            assert len(drawn) == points
            assert all(drawn == line for line in recorded)  # not smoothed
            if title == "test/accuracy":
                assert drawn[-1] == runs[name].data.metrics[title]
    page.wait_for_function(IN_SIGHT, arg=["train/activations", 1000, 3])
    assert columns(page) == TRIALS
    slider = page.get_by_role("slider")
    assert seen(slider.bounding_box())
    assert page.get_by_placeholder("Ask a question").is_visible() == assistant
    slider.focus()
    for step in (500, 0):
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(IN_SIGHT, arg=["train/activations", step, 3])
    assert page.errors == []


def test_the_printed_link_shows_descents_and_their_paths(printed, address, page):
    descents = {f"optimizer={name}" for name in OPTIMIZERS}
    page.goto(address + printed_link(printed[1]["valley"]))
    for title in ("f", "x", "y"):
        page.wait_for_function(LINES, arg=title)
        found = page.evaluate(LINES, title)
        assert found["lines"].keys() == descents
        assert seen(found["box"])
    page.wait_for_function(IN_SIGHT, arg=["train/path", 40, 3])
    assert columns(page) == descents
    assert page.errors == []


def test_the_compare_page_shows_activations_side_by_side(address, page, client):
    experiment, runs = trials(client, "inits")
    ids = json.dumps([run.info.run_id for run in runs.values()])
    page.set_viewport_size({"width": 1920, "height": 1500})  # or there is no room for the list
    page.add_init_script(NO_ASSISTANT)
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


@pytest.fixture
def report(printed):
    """The address of the report of three inits."""
    return (printed[0] / "inits" / "report.html").as_uri()


@pytest.mark.parametrize("width", [360, 390, 1400])
def test_the_report_fits_the_window_and_needs_nothing_else(report, page, width):
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("request", lambda request: requests.append(request.url[:60]))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(report)
    boxes = [svg.bounding_box() for svg in page.locator("svg.plot").all()]
    assert len(boxes) == 4  # loss, signal, gradient, accuracy
    assert all(box["width"] > 300 and box["height"] > 150 for box in boxes)
    assert len({box["x"] for box in boxes}) == (2 if width > 1000 else 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert page.errors == []
    assert messages == []


def test_the_report_reads_values_out_under_the_pointer(report, page, client):
    page.goto(report)
    plot = page.locator("svg[data-plot=accuracy]")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    readout = page.locator("figure", has=plot).locator(".readout")
    assert not readout.is_visible()
    page.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + box["height"] / 2)
    lines = readout.inner_text().split("\n")
    _, runs = trials(client, "inits")
    ends = {name: f"{run.data.metrics['test/accuracy']:.1%}" for name, run in runs.items()}
    best_first = sorted(ends, key=lambda name: -float(ends[name][:-1]))
    assert lines == ["step 1,000", *(text for name in best_first for text in (name, ends[name]))]
    page.mouse.move(5, 5)
    assert not readout.is_visible()
    plot.focus()
    page.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("step 0\n")
    page.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("step 100\n")
    page.keyboard.press("Escape")
    assert not readout.is_visible()
    assert page.errors == []


def test_the_legend_of_the_report_switches_lines_off_and_on(report, page):
    page.goto(report)
    plot = page.locator("svg[data-plot=loss]")
    figure = page.locator("figure", has=plot)
    button = figure.get_by_role("button", name="init=he")
    number = button.get_attribute("data-lines")
    line = plot.locator(f"[data-line='{number}']")
    assert line.is_visible()
    button.click()
    assert not line.is_visible()
    assert button.get_attribute("aria-pressed") == "false"
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "init=he" not in figure.locator(".readout").inner_text()
    button.click()
    assert line.is_visible()
    assert page.errors == []


def test_the_slider_of_the_report_moves_all_histograms_to_a_step(report, page):
    page.goto(report)
    section = page.locator("#histograms-activations")
    bars = section.locator("path.bars")
    assert bars.count() == 6  # three inits, two layers

    def drawn():
        return bars.evaluate_all("(all) => all.map((each) => each.getAttribute('d'))")

    starts = section.locator("path.start").evaluate_all(
        "(all) => all.map((each) => each.getAttribute('d'))"
    )
    end = drawn()
    slider = section.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    assert section.locator("output").inner_text() == "0"
    assert drawn() == starts  # Python has drawn the first step as an outline
    assert all(one != other for one, other in zip(end, starts))
    page.keyboard.press("End")
    assert section.locator("output").inner_text() == "1,000"
    assert drawn() == end
    assert page.errors == []


def test_the_report_reads_well_without_scripts(report, browser):
    with browser.new_context(viewport=WINDOW, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(report)
        for name in ("loss", "accuracy"):
            plot = page.locator(f"svg[data-plot={name}]")
            assert plot.locator("[data-line] path").count() >= 3
            assert plot.locator("text.tick").count() > 5
        assert page.locator("#histograms-activations path.bars").count() == 6
        assert not page.get_by_role("slider").first.is_visible()
        assert page.get_by_role("heading", name="Results, best first").is_visible()


def test_the_summary_run_carries_the_report(printed, client):
    experiment = client.get_experiment_by_name("initlab").experiment_id
    (summary,) = client.search_runs([experiment], "tags.role = 'summary' and tags.sweep = 'inits'")
    names = {file.path for file in client.list_artifacts(summary.info.run_id)}
    assert {"report.html", "results.csv", "curves.npz"} <= names
    assert {path.name for path in (printed[0] / "inits").iterdir()} >= names
