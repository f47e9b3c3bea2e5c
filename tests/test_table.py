"""The table of results is data, and all its renderings show the same."""

import gallery
import numpy as np
import pytest

from initlab.report.comparison import Comparison, Spread
from initlab.report.page import page
from initlab.report.table import Cell, accuracy_cell, loss_cell, table_of
from initlab.report.terminal import render_terminal
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Curve, Run


def run(init, seed, loss, outcome=Outcome.FINISHED, verdict="healthy"):
    params = {"init": init, "optimizer.lr": "0.1" if init == "he" else "0.2", "seed": str(seed)}
    curves = {"train/loss": Curve(np.arange(1), np.array([loss]))}
    return Run("", "", outcome, verdict, "", 1.5, params, {"test/accuracy": 1 - loss}, curves)


COMPARED = Comparison(
    [
        run("he", 0, 0.02),
        run("he", 1, 0.04),
        run("a ± b", 0, 0.5, verdict="dead"),
        run("a ± b", 1, 0.5, Outcome.DIVERGED, ""),
    ]
)


def test_a_table_has_the_setting_and_the_cells_of_each_row():
    table = table_of(COMPARED, COMPARED.ranked)
    assert table.settings == COMPARED.ranked
    assert [column.title for column in table.columns] == [
        "rank", "init", "optimizer.lr", "n", "train loss", "test accuracy", "verdict", "seconds"
    ]  # fmt: skip
    numeric = [True, False, False, True, True, True, False, True]
    assert [column.numeric for column in table.columns] == numeric
    best, worst = zip(*(column.cells for column in table.columns))
    assert best == (
        Cell("1"), Cell("he"), Cell("0.1"), Cell("2"), Cell("0.03", "0.01"), Cell("97.0%", "1.4"),
        Cell("healthy", word="healthy"), Cell("1.5"),
    )  # fmt: skip
    assert worst == (
        Cell("2"), Cell("a ± b"), Cell("0.2"), Cell("1/2"), Cell("0.5"), Cell("50.0%"),
        Cell("1 dead, 1 diverged", word="1 dead, 1 diverged"), Cell("1.5"),
    )  # fmt: skip


def test_a_merged_table_has_one_column_for_all_keys():
    table = table_of(COMPARED, COMPARED.ranked)
    (column,) = table.merged.keys
    assert column.title == "setting"
    assert [str(cell) for cell in column.cells] == [
        "init=he optimizer.lr=0.1", "init=a ± b optimizer.lr=0.2"
    ]  # fmt: skip
    assert table.merged.results == table.results


def test_the_terminal_the_page_and_markdown_show_the_same_cells():
    table = table_of(COMPARED, COMPARED.ranked)
    html = page(COMPARED, "")
    markdown = gallery.render_markdown(table)
    printed = [" ".join(map(str, each.cells)) for each in render_terminal(table).columns]
    for column, shown in zip(table.columns, printed, strict=True):
        for cell in column.cells:
            assert str(cell) in shown
            std = f' <span class="std">± {cell.std}</span>' if cell.std else ""
            assert f">{cell.text}{std}</t" in html
            assert column.title == "seconds" or any(f"| {cell} |" in line for line in markdown)


@pytest.mark.parametrize(
    ("cell", "spread", "shown"),
    [
        (loss_cell, None, ""),
        (loss_cell, Spread(0.123456, None), "0.1235"),
        (loss_cell, Spread(115.0, 21.2), "115 ± 20"),
        (loss_cell, Spread(1e-9, 2e-10), "1e-09 ± 2e-10"),
        (accuracy_cell, Spread(0.97, 0.0141), "97.0% ± 1.4"),
        (accuracy_cell, Spread(1.0, 0.0), "100.0% ± 0.0"),
    ],
)
def test_means_are_written_with_their_standard_deviations(cell, spread, shown):
    assert str(cell(spread)) == shown
