"""What a person reads: a bar on a terminal, plain lines elsewhere, a summary within 80 columns."""

import io
import os
import re
from pathlib import Path

import pytest
from conftest import TRAIN
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


def test_a_name_is_printed_as_it_is_and_no_markup_of_it_obeyed(screen, monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(console, "err", console.make_console(file=file, width=80))
    console.err.print("[red]one[/nonsense] :smile:")
    console.error("two [bold]\n\x1b]0;three\x07")
    assert file.getvalue() == "[red]one[/nonsense] :smile:\nerror: two [bold]\n�]0;three�\n"


def test_what_cannot_be_written_is_lost_and_told_once(monkeypatch, tmp_path):
    told = io.StringIO()
    monkeypatch.setattr(console, "err", console.make_console(file=told, width=80))
    reader, writer = os.pipe()
    with console.StandardOutput(writer, "w").text(encoding="ascii") as stream:
        stream.write("0.5 ± 0.1\n")
        stream.flush()
        assert os.read(reader, 100) == b"0.5 ? 0.1\n"
        os.close(reader)
        for _ in range(3):
            stream.write("more\n")
            stream.flush()
    assert told.getvalue() == "standard output: Broken pipe; the rest of it is lost\n"


def test_a_file_that_cannot_be_opened_takes_any_text(tmp_path):
    (tmp_path / "file").touch()
    with console.open_enduring(tmp_path / "file" / "output.txt") as file:
        file.write("lost")
    with console.open_enduring(tmp_path / "file") as file:
        file.write("0.5 ± 0.1 \ud800")
    assert (tmp_path / "file").read_text("utf-8") == "0.5 ± 0.1 ?"


# What is done to standard output and error before a command starts.
SURROUNDINGS = {
    "a full disk": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)",
    "no reader": "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)",
    "closed": "os.close(1); sys.stdout = sys.__stdout__ = None",
    "both closed": "os.close(1); os.close(2); sys.__stdout__ = sys.__stderr__ = None; "
    "sys.stdout = sys.stderr = None",
    "both full": "os.dup2(os.dup2(os.open('/dev/full', os.O_WRONLY), 1), 2)",
    "ascii": "sys.stdout = sys.__stdout__ = open(1, 'w', encoding='ascii', closefd=False)",
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_a_run_goes_on_whatever_becomes_of_what_it_prints(lab, surroundings):
    script = lab.folder / "command.py"
    script.write_text(
        f"import os, runpy, sys\n{SURROUNDINGS[surroundings]}\n"
        f"runpy.run_path({TRAIN!r}, run_name='__main__')\n"
    )
    several = ["-m", "seed=1,2"] if surroundings == "ascii" else []  # which print a mean ± std
    typed = [*several, "train.steps=5", "tracking.pictures=false"]
    command = lab.start(*typed, script=str(script))
    out, err = command.communicate(timeout=60)
    assert command.returncode == 0, err
    assert {run.info.status for run in lab.runs()} == {"FINISHED"}
    lost = {"a full disk": "No space left on device", "no reader": "Broken pipe"}
    told = lost.get(surroundings)
    assert err == (f"standard output: {told}; the rest of it is lost\n" if told else "")
    assert bool(re.search(r"\d \? \d", out)) == (surroundings == "ascii")


@pytest.mark.parametrize("command", ["train.py", "compare.py", "reproduce.py", "predict.py"])
def test_a_command_in_a_folder_that_is_gone_is_refused(lab, command):
    gone, script = lab.folder / "gone", lab.folder / "command.py"
    gone.mkdir()
    script.write_text(
        f"import os, runpy, sys\nos.chdir({str(gone)!r})\nos.rmdir({str(gone)!r})\n"
        f"sys.argv[1:] = ['seed=1' if {command!r} in ('train.py', 'predict.py') else '0']\n"
        f"runpy.run_path({str(Path(TRAIN).with_name(command))!r}, run_name='__main__')\n"
    )
    started = lab.start(script=str(script))
    _, err = started.communicate(timeout=60)
    assert err == "error: the current folder is gone (No such file or directory): go to another\n"
    assert started.returncode == 2
