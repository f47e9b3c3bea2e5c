"""The view of a sweep is small, plain data that MLflow can read; tests/test_browser.py opens it."""

import json

import pytest

from initlab.tracking import chart_view as views

MOST_LETTERS = 20_000  # of a tag of an experiment, a limit of MLflow


def state(*arguments):
    return json.loads(json.loads(views.shared_view("a sweep", *arguments, 0))["state"])


def charts(*arguments):
    """The metrics and the kinds of pictures that a view shows, in their order."""
    cards = [card for card in state(*arguments)["compareRunCharts"] if not card["deleted"]]
    return [card.get("metricKey", card.get("imageKeys")) for card in cards]


def test_a_view_shows_curves_then_distributions():
    shown = charts("", 3, ["train/loss", "test/accuracy"], "train/activations", 1000)
    assert shown == ["train/loss", "test/accuracy", ["train/activations", "train/gradients"]]


def test_a_view_of_a_descent_shows_its_path():
    assert charts("", 3, ["f", "x", "y"], "train/path", 40)[:3] == ["f", "x", "y"]
    assert charts("", 3, ["f", "x", "y"], "train/path", 40)[3][0] == "train/path"


def test_a_view_without_pictures_has_curves_alone():
    assert charts("", 3, ["train/loss"], None, 0) == ["train/loss"]
    assert [one["name"] for one in state("", 3, ["train/loss"], None, 0)["compareRunSections"]] == [
        "curves"
    ]


@pytest.mark.parametrize("metrics", [[], ["train/loss"], ["f", "x", "y"]])
@pytest.mark.parametrize("image", [None, "train/activations", "train/path"])
def test_every_card_has_a_section_and_a_name_of_its_own(metrics, image):
    found = state("", 3, metrics, image, 0)
    sections = {section["uuid"] for section in found["compareRunSections"]}
    assert {card["metricSectionId"] for card in found["compareRunCharts"]} <= sections
    names = [card["uuid"] for card in found["compareRunCharts"]]
    assert len(set(names)) == len(names)


def test_a_view_of_any_number_of_runs_fits_into_a_tag():
    runs = views.runs_filter(f"{number:032x}" for number in range(1000))
    view = views.shared_view("a sweep", runs, 1000, ["train/loss"] * 3, "train/activations", 0, 0)
    assert len(view) < MOST_LETTERS / 2
    assert runs.count("'") == 2 * views.MOST_RUNS


def test_a_filter_quotes_a_name_that_has_a_quote():
    assert views.trials_filter("a") == "tags.sweep = 'a' and tags.role = 'trial'"
    assert views.trials_filter("it's").startswith('tags.sweep = "it\'s" ')


def test_a_link_survives_any_name():
    link = views.chart_page_url("http://127.0.0.1:5000", "1", "a b&c#d")
    assert link.startswith("http://127.0.0.1:5000/#/experiments/1/runs?")
    assert "viewStateShareKey=a%20b%26c%23d&" in link


def test_a_key_has_only_letters_that_a_tag_may_have():
    assert views.view_key("2026-01-31_12-00-00-123456") == "initlab-2026-01-31_12-00-00-123456"
    assert views.view_key("a=b&c/ü") == "initlab-a_b_c__"


def test_only_the_oldest_views_of_sweeps_are_outdated():
    tags = {
        f"{views.TAG}initlab-{number}": views.shared_view("", "", 1, [], None, 0, when)
        for number, when in enumerate([*range(1000, 1000 + views.MOST_VIEWS), 5, 7])
    }
    others = {f"{views.TAG}mine": '{"name": "mine"}', "mlflow.note.content": "words"}
    assert views.outdated_views(tags | others) == [
        f"{views.TAG}initlab-{views.MOST_VIEWS + 1}",
        f"{views.TAG}initlab-{views.MOST_VIEWS}",
    ]
    assert views.outdated_views(others) == []
