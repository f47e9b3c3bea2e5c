"""Views: what the chart page of MLflow's UI shows of a sweep, and the link that opens it.

MLflow keeps a shared view as a tag of the experiment. The page takes its filter, too, from the view
and from nowhere else, so that a sweep has a view of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

TAG = "mlflow.sharedViewState."
MOST_VIEWS = 100  # that an experiment keeps, for all of them are read with it
CARD_PIXELS = 440  # two rows of cards in a window of 1,300
SECTION = "sweep"


def shared_view(
    runs: str, count: int, metrics: Sequence[str], image: str | None, step: int, when: int
) -> str:
    """Return the text of the tag that makes a view.

    runs     the filter that selects them, as MLflow reads it
    count    how many they are
    metrics  to be drawn by step, in their order
    image    the key of the pictures that stand beside the first metric, and the step shown first
    when     milliseconds since 1970
    """
    cards = [
        card(name, "LINE", count) | {"metricKey": name, "xAxisKey": "step"} for name in metrics
    ]
    if image:
        grid = {"imageKeys": [image], "step": step, "showRunParams": False}
        cards.insert(1, card(image, "IMAGE", count) | grid)
    section = {
        "uuid": SECTION,
        "name": SECTION,
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": True,
        "columns": 2,
        "cardHeight": CARD_PIXELS,
    }
    state = {
        "searchFilter": runs,
        "runListHidden": True,
        "runsHiddenMode": "FIRST_10_RUNS" if count <= 10 else "SHOWALL",
        "compareRunCharts": cards,
        "compareRunSections": [section],
    }
    view = {"name": "initlab", "createdAt": when, "updatedAt": when, "state": json.dumps(state)}
    return json.dumps(view)


def card(name: str, kind: str, count: int) -> dict[str, Any]:
    """Return what all cards of a view have in common."""
    return {
        "type": kind,
        "uuid": f"{SECTION}/{name}",
        "runsCountToCompare": max(10, count),
        "metricSectionId": SECTION,
        "deleted": False,
        "isGenerated": True,
    }


def tagged(sweep: str) -> str:
    """Return the filter that selects the trials of a sweep."""
    return f"tags.sweep = '{sweep}' and tags.role = 'trial'"


def one_of(run_ids: Iterable[str]) -> str:
    """Return the filter that selects runs by their ids."""
    return f"attributes.run_id IN ({', '.join(repr(run_id) for run_id in run_ids)})"


def chart_page(ui: str, experiment_id: str, view: str) -> str:
    """Return the address of the chart page with a view."""
    path = f"experiments/{experiment_id}/runs"
    # Without the last words the UI opens the menu for generative AI.
    return (
        f"{ui}/#/{path}?viewStateShareKey={view}"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )
