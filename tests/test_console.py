"""What a person reads: a bar on a terminal, plain lines elsewhere, a summary within 80 columns."""

import io
import re

import pytest
from rich.console import Console

from initlab import console
from initlab.nn.diagnostics import Snapshot
from initlab.nn.training import Evaluation, Step
from initlab.nn.verdict import Verdict
from initlab.tracking.record import Record

SNAPSHOT = Snapshot(
    step=1000,
    statistics={
        "unit_mean": [-1.234e-5, 123456.0],
        "unit_std": [1.234e-5, 123456.0],
        "unit_saturated": [1.0, 0.0],
        "unit_dead": [0.004, 1.0],
        "unit_gradient_std": [1.2e-11, 3.4e5],
        "update_ratio": [float("nan"), 1.2e-11],
    },
    main_path=[1, 2],
    signal=[1.0, 1.0, 1.0],
    gradient=[1.0, 1.0],
    asymmetry=[1.0, 1.0],
    histograms={},
)


def steps(count):
    for number in range(count):
        found = Evaluation(0.5, 1.0, 0.123) if number % 100 == 0 else None
        yield Step(number, 1 / (number + 1), found)
    yield Step(count, None, Evaluation(0.987, 0.5, 0.876), SNAPSHOT)


@pytest.fixture
def screen(monkeypatch, request):
    """Put a terminal, or a file, of a given width in place of standard output."""

    def make(width=80, terminal=False):
        file = io.StringIO()
        made = Console(file=file, width=width, force_terminal=terminal, highlight=False)
        monkeypatch.setattr(console, "out", made)
        return lambda: re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())

    return make


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_passes_every_step_on(screen, terminal):
    screen(terminal=terminal)
    assert [step.number for step in console.watch(steps(250), 250)] == list(range(251))


def test_a_file_gets_about_ten_lines(screen):
    read = screen()
    list(console.watch(steps(1000), 1000))
    lines = read().splitlines()
    assert len(lines) == 10
    assert re.fullmatch(r"step   100/1,000  loss 0.009901  test accuracy 12.3%", lines[1].rstrip())


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_fills_one_line_and_is_gone_in_the_end(screen, monkeypatch, width):
    monkeypatch.setattr(console, "REFRESH_SECONDS", 0.0)
    read = screen(width, terminal=True)
    list(console.watch(steps(1_000_000 // 5000), 1_000_000))
    frames = [line for line in re.split(r"[\r\n]+", read()) if "steps/s" in line]
    assert len(frames) > 100
    assert {len(frame) for frame in frames} == {width}
    assert re.search(r"step +150/1,000,000 .* loss 0.006623 test 12.3% +[\d,]+ steps/s", read())
    assert read().endswith("\n") is False  # the bar's line is cleared, not left standing


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_the_screen_and_names_every_number(screen, width):
    read = screen(width)
    record = Record()
    for step in steps(1000):
        record.add(step)
    console.print_summary(record, Verdict("dead", 2, "layer 2 is dead: " + 20 * "word "), 3.21)
    text = read()
    assert max(map(len, text.splitlines())) <= width
    for part in ["98.7%", "87.6%", "loss 0.5", "1,000 steps in 3.2 s", "1.2e-11", "nan", "dead: "]:
        assert part in text


def test_the_training_loss_told_is_the_mean_of_the_last_hundred(screen):
    read = screen()
    record = Record()
    for number in range(300):
        record.add(Step(number, 1.0 if number >= 200 else 50.0))
    record.add(Step(300, None, Evaluation(0.5, 0.5, 0.5)))
    console.print_summary(record, None, 1.0)
    assert re.search(r"train +loss 1 +accuracy 50.0%", read())


def test_a_diverged_run_shows_no_losses(screen):
    read = screen()
    record = Record()
    record.add(Step(0, 2.3, Evaluation(0.1, 2.3, 0.1)))
    record.add(Step(1, float("inf")))
    console.print_summary(record, Verdict("diverged", 0, "at step 1"), 0.1)
    assert "loss" not in read()
    assert "diverged: at step 1" in read()


def test_colors_are_off_where_no_color_is_set(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=file, force_terminal=True))
    console.error("[not markup] is wrong")
    assert "\x1b[3" not in file.getvalue()
    assert "[not markup] is wrong" in file.getvalue()
