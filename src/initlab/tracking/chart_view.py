"""Views: what the chart page of MLflow's UI shows of a sweep, and the link that opens it.

MLflow keeps a shared view as a tag of the experiment. The page takes its filter, too, from the view
and from nowhere else, so that a sweep has a view of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

TAG = "mlflow.sharedViewState."
MOST_VIEWS = 100  # that an experiment keeps, for all of them are read with it
MOST_RUNS = 100  # that the page lists at once, and that a filter names
CURVES, PICTURES = "curves", "pictures"  # the sections of the page, from above
# So both are in sight in a window of 1500 × 1300, even beside the panel of MLflow's assistant.
CURVE_PIXELS, PICTURE_PIXELS = 320, 480
ALONE_PIXELS = 440  # of curves where there are no pictures
# Of pictures of two kinds MLflow makes a table, as wide as the page, with a column a run. Those of
# one kind would be tiles of 256 pixels, the third out of sight: so a path has an empty second row.
SECOND_ROW = {"train/activations": "train/gradients"}


def shared_view(
    name: str,
    runs: str,
    count: int,
    metrics: Sequence[str],
    image: str | None,
    step: int,
    when: int,
) -> str:
    """Return the text of the tag that makes a view.

    name     of the view, in the menu
    runs     the filter that selects them, as MLflow reads it
    count    how many they are
    metrics  to be drawn by step, in their order
    image    the key of the pictures that stand below the curves, and the step shown first
    when     milliseconds since 1970
    """
    cards = [line_card(name, count) for name in metrics]
    sections = [section(CURVES, min(3, len(metrics)), CURVE_PIXELS if image else ALONE_PIXELS)]
    if image:
        kinds = [image, SECOND_ROW.get(image, "")]
        cards.append(picture_card(kinds, step, count))
        # Or MLflow would add a card for each kind, with all the params of a run above its picture.
        cards += [picture_card([kind], step, count) | {"deleted": True} for kind in kinds if kind]
        sections.append(section(PICTURES, 1, PICTURE_PIXELS))
    state = {
        "searchFilter": runs,
        "runListHidden": True,
        "runsHiddenMode": "SHOW_ALL",  # or those after the tenth would not be drawn
        "selectedColumns": [*(f"metrics.`{name}`" for name in metrics), "tags.`verdict`"],
        "isAccordionReordered": True,  # or MLflow would sort the sections by name
        "compareRunCharts": cards,
        "compareRunSections": sections,
    }
    view = {"name": name, "createdAt": when, "updatedAt": when, "state": json.dumps(state)}
    return json.dumps(view)


def line_card(metric: str, count: int) -> dict[str, Any]:
    """Return a card with the curves of a metric, drawn as they are: MLflow's default smooths."""
    return card(CURVES, "LINE", metric, count) | {
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def picture_card(kinds: Sequence[str], step: int, count: int) -> dict[str, Any]:
    """Return a card with the pictures of a step, a slider to other steps, and no params."""
    return card(PICTURES, "IMAGE", "+".join(kinds), count) | {
        "imageKeys": [*kinds],
        "step": step,
        "showRunParams": False,
    }


def card(place: str, kind: str, name: str, count: int) -> dict[str, Any]:
    """Return what all cards of a view have in common."""
    return {
        "type": kind,
        "uuid": f"{place}/{name}",
        "runsCountToCompare": max(10, count),
        "metricSectionId": place,
        "deleted": False,
        "isGenerated": True,
    }


def section(name: str, columns: int, height: int) -> dict[str, Any]:
    """Return a section of the page, whose cards have a height in pixels."""
    return {
        "uuid": name,
        "name": name,
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": True,
        "columns": columns,
        "cardHeight": height,
    }


def view_key(sweep: str) -> str:
    """Return the key of the view of a sweep, with only letters that a tag may have."""
    return f"initlab-{re.sub(r'[^a-zA-Z0-9_. -]', '_', sweep)}"


def outdated_views(tags: Mapping[str, str]) -> list[str]:
    """Return the tags of an experiment with the oldest views of sweeps, beyond those kept."""
    views = {name: text for name, text in tags.items() if name.startswith(f"{TAG}initlab-")}
    return sorted(views, key=lambda name: -int(json.loads(views[name])["createdAt"]))[MOST_VIEWS:]


def trials_filter(sweep: str) -> str:
    """Return the filter that selects the trials of a sweep."""
    mark = '"' if "'" in sweep else "'"
    return f"tags.sweep = {mark}{sweep}{mark} and tags.role = 'trial'"


def runs_filter(run_ids: Iterable[str]) -> str:
    """Return the filter that selects the first hundred of some runs, to fit into a tag."""
    return f"attributes.run_id IN ({', '.join(map(repr, islice(run_ids, MOST_RUNS)))})"


def chart_page_url(ui: str, experiment_id: str, view: str) -> str:
    """Return the address of the chart page with a view."""
    path = f"experiments/{experiment_id}/runs"
    # Without the last words the UI opens the menu for generative AI.
    return (
        f"{ui}/#/{path}?viewStateShareKey={quote(view, safe='')}"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )


def compare_page_url(ui: str, experiment_ids: Sequence[str], run_ids: Sequence[str]) -> str:
    """Return the address of the page that has some runs side by side."""
    runs, experiments = (quote(json.dumps([*ids])) for ids in (run_ids, experiment_ids))
    return (
        f"{ui}/#/compare-runs?runs={runs}&experiments={experiments}&workflowType=machine_learning"
    )


def page_of_runs(client: MlflowClient, ui: str, runs: Sequence[TrackedRun], sweep: str) -> str:
    """Return the address of the chart page of a sweep that has a view, else of the compare page.

    sweep  the id of the sweep that the runs are of, "" for none
    """
    experiments = [*dict.fromkeys(run.info.experiment_id for run in runs)]
    key = view_key(sweep)
    for experiment_id in experiments if sweep else ():
        if f"{TAG}{key}" in client.get_experiment(experiment_id).tags:
            return chart_page_url(ui, experiment_id, key)
    return compare_page_url(ui, experiments, [run.info.run_id for run in runs[:MOST_RUNS]])
