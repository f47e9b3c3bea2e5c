"""The pages about the published experiments, and what is put into them."""

import re

import gallery
import numpy as np
import pytest

from initlab.config import options
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.tracking.runs import Curve, Run

PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
TEXTS = {page.stem: page.read_text(encoding="utf-8") for page in gallery.PAGES.glob("*.md")}


def test_every_experiment_has_a_page_and_the_gallery_all_of_them():
    assert sorted({*TEXTS} - {"README"}) == options("experiment")
    for name in options("experiment"):
        assert f"({name}.md)" in TEXTS["README"]


@pytest.mark.parametrize("name", options("experiment"))
def test_a_page_shows_what_its_command_gave(name):
    title, question, *_ = TEXTS[name].split("\n\n")
    assert title.startswith("# ")
    assert "?" in question
    opening, arguments, pictures, made, end = next(iter(gallery.BLOCK.finditer(TEXTS[name]))).group(
        1, 2, 3, 0, 4
    )
    assert arguments == f"-m experiment={name}"
    assert f"python src/train.py {arguments}" in made
    assert len(PICTURE.findall(made)) == len(pictures.split(","))
    assert "| claim of the source |" in made
    assert made.startswith(opening)
    assert made.endswith(end)


def test_every_picture_is_there_small_and_shown():
    shown = {file for text in TEXTS.values() for file in PICTURE.findall(text)}
    kept = {file.name: file.stat().st_size for file in gallery.PAGES.glob("*.png")}
    assert shown == kept.keys()
    assert max(kept.values()) <= gallery.MAX_BYTES


def test_every_link_of_a_page_leads_somewhere():
    for text in TEXTS.values():
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (gallery.PAGES / link).exists(), link


def comparison(count, experiment=""):
    """Return one of runs that differ in a number, the lower the better."""
    runs = [
        Run(
            str(number),
            f"a.b={number} seed={seed}",
            "finished",
            "healthy",
            params={"a.b": str(number), "seed": str(seed)},
            curves={"train/loss": Curve(np.arange(2), np.array([1.0, 0.1 * number]))},
        )
        for number in range(1, count + 1)
        for seed in (0, 1)
    ]
    return Comparison(runs, experiment)


def test_a_table_has_a_row_a_setting_its_numbers_to_the_right():
    table = gallery.result_lines(comparison(2))
    assert table[0].split(" | ")[1:3] == ["a.b", "train loss"]
    assert table[1].startswith("| --: | :-- | --: | --: | :-- |")
    assert table[2].startswith("| 1 | 1 | 0.55 ± 0 |  | healthy |")
    assert table[-2].startswith("±: standard deviation over 2 seeds; to the best: ")


def test_what_can_be_concluded_follows_the_table():
    (sentences, _) = gallery.conclusion_lines(comparison(2))
    assert "6 seeds or more can tell them apart" in sentences
    assert gallery.conclusion_lines(comparison(1)) == []


def test_a_long_table_is_folded_and_a_very_long_one_cut():
    assert gallery.result_lines(comparison(13))[0] == (
        "<details><summary>All 13 settings</summary>"
    )
    assert gallery.result_lines(comparison(40))[0] == (
        "<details><summary>The best 30 of 40 settings</summary>"
    )


def test_claims_are_a_table_of_what_holds():
    runs = [
        Run("", f"init={init}", "finished", params={"init": init}, metrics={"test/accuracy": at})
        for init, at in (("zeros", 0.1), ("he", 0.9))
    ]
    compared = Comparison(runs, "zeros_minibatch")
    (found,) = findings(compared)
    assert gallery.claim_lines(compared)[2] == f"| {found.claim} | **holds** | {found.measured} |"
    assert gallery.claim_lines(Comparison(runs)) == []


def test_what_a_command_costs_is_measured():
    command = [gallery.sys.executable, "-c", "import time; x = b'x' * 50_000_000; time.sleep(1)"]
    cost = gallery.measure_cost(command)
    assert 1 <= cost.seconds < 20
    assert cost.memory > 50e6


def test_a_command_that_fails_ends_it_with_what_was_said():
    command = [gallery.sys.executable, "-c", "raise SystemExit('no luck')"]
    with pytest.raises(SystemExit, match="ended with status 1:\nno luck"):
        gallery.measure_cost(command)
