"""The other front door: what a person types to compare runs, what they read, and what is left."""

import io
import itertools
import re
import shutil
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from rich.console import Console

import compare
import initlab.report
from initlab import console
from initlab.config import PROJECT
from initlab.report.comparison import Comparison
from initlab.report.findings import Finding
from initlab.report.formatting import format_value
from initlab.report.terminal import print_findings, print_results
from initlab.tracking import queries
from initlab.tracking.runs import Curve, Run
from initlab.tracking.store import open_store


def ran(name, outcome="finished", verdict="healthy", accuracy=None, loss=None, **options):
    """Return a run of the params in its name, such as init=he seed=0."""
    params = dict(pair.split("=") for pair in name.split(" "))
    metrics = {} if accuracy is None else {"test/accuracy": accuracy}
    curve = Curve(np.arange(1), np.full(1, loss, np.float64))
    options = {"seconds": 1.23, "curves": {} if loss is None else {"train/loss": curve}} | options
    return Run(name, name, outcome, verdict, params=params, metrics=metrics, **options)


@pytest.fixture
def printed(monkeypatch):
    """Return what prints the table of runs on a screen of some width and gives back its lines."""

    def lines(runs, width=80, **options):
        file = io.StringIO()
        made = Console(file=file, width=width, highlight=False, **options)
        monkeypatch.setattr(console, "out", made)
        print_results(Comparison(runs))
        text = [line.rstrip() for line in file.getvalue().splitlines()]
        assert max(map(len, text)) <= width
        return text

    return lines


def test_the_table_shows_what_varies_and_the_results_best_first(printed):
    runs = [
        ran("init=std001 seed=0", accuracy=0.1, loss=2.3, verdict="vanishing"),
        ran("init=he seed=0", accuracy=0.976, loss=0.1234567),
    ]
    assert printed(runs) == [
        "rank  init    train loss  test accuracy  verdict    seconds",
        "   1  he          0.1235          97.6%  healthy        1.2",
        "   2  std001         2.3          10.0%  vanishing      1.2",
    ]


def test_runs_of_several_seeds_are_a_row_of_means_and_deviations(printed):
    runs = [
        ran("init=he seed=0", accuracy=0.97, loss=0.10),
        ran("init=he seed=1", accuracy=0.99, loss=0.14),
        ran("init=std1 seed=0", accuracy=0.5, loss=3.0),
        ran("init=std1 seed=1", "diverged", "diverged"),
    ]
    assert printed(runs) == [
        "rank  init    n   train loss  test accuracy  verdict                seconds",
        "   1  he      2  0.12 ± 0.03    98.0% ± 1.4  healthy                    1.2",
        "   2  std1  1/2     3           50.0%        1 healthy, 1 diverged      1.2",
        "±: standard deviation over the seeds.",
    ]


def learner(name, accuracy, loss, **options):
    """Return a run whose loss falls from 2 within ten steps, and which was evaluated twice."""
    curves = {
        "train/loss": Curve(np.arange(11), np.linspace(2, loss, 11)),
        "test/accuracy": Curve(np.array([0, 10]), np.array([0.1, accuracy])),
    }
    return ran(name, accuracy=accuracy, curves=curves, **options)


def test_a_table_of_several_seeds_has_ranks_differences_and_steps(printed):
    runs = [
        learner(f"init={init} seed={seed}", accuracy + gain * seed / 100, loss)
        for init, accuracy, loss, gain in (
            ("he", 0.9, 0.1, 1),
            ("xavier", 0.91, 0.2, 0.7),
            ("zeros", 0.1, 1.9, 1),
        )
        for seed in range(8)
    ]
    lines = printed(runs, 120)
    assert lines[0] == (
        "rank  init    train loss  test accuracy  to the best (95 %)  verdict  steps to loss 1.05"
        "  steps to 52%  seconds"
    )
    assert lines[1].split()[:7] == ["1–2", "he", "1.05", "±", "0", "93.5%", "±"]
    assert lines[2].split()[8:11] == ["-0.05", "±", "0.61"]
    narrow = printed(runs, 80)
    assert [line.split()[:2] for line in narrow[2:5]] == [
        ["1–2", "he"], ["1–2", "xavier"], ["3", "zeros"]
    ]  # fmt: skip
    assert narrow[4].split()[-2:] == ["never", "1.2"]


def test_a_large_deviation_is_written_out(printed):
    runs = [ran(f"init=he seed={seed}", loss=loss) for seed, loss in enumerate([100.0, 130.0])]
    assert "115 ± 20 " in printed(runs)[1]


def test_a_table_of_quadratic_runs_has_no_columns_that_they_do_not_have(printed):
    def descent(optimizer, end, **options):
        curves = {"f": Curve(np.arange(2), np.array([9.0, end]))}
        return ran(f"model=quadratic optimizer={optimizer}", curves=curves, **options)

    runs = [descent("sgd", 3.0, verdict=""), descent("adam", 4.5e-9, verdict="")]
    assert printed(runs)[0].split() == ["rank", "optimizer", "f", "seconds"]
    assert printed(runs)[1].split() == ["1", "adam", "4.5e-09", "1.2"]
    runs.append(descent("lion", 9.0, outcome="diverged", verdict="diverged"))
    assert printed(runs)[0].split() == ["rank", "optimizer", "f", "outcome", "seconds"]
    assert printed(runs)[3].split() == ["lion", "diverged", "1.2"]


def test_runs_without_training_show_the_std_of_their_layers(printed):
    def untrained(init, *stds):
        metrics = {f"unit_std/layer_{layer}": std for layer, std in enumerate(stds, 1)}
        params = {"init": init}
        return Run(init, init, "finished", "healthy", params=params, metrics=metrics)

    assert printed([untrained("he", 0.5, 0.25), untrained("std1", 2.34567, 12345.6)]) == [
        "init  std 1  std 2  verdict",
        "he      0.5   0.25  healthy",
        "std1   2.35  12000  healthy",
        "std k: standard deviation of the activations of layer k.",
    ]


def test_of_a_deep_network_some_layers_are_shown(printed):
    metrics = {f"unit_std/layer_{layer}": 1e-5 * layer for layer in range(1, 26)}
    head, row, _ = printed([Run("", "", "finished", params={"init": "he"}, metrics=metrics)])
    assert re.findall(r"\d+", head) == ["1", "6", "11", "15", "20", "25"]
    assert row.split()[1:] == ["1e-05", "6e-05", "0.00011", "0.00015", "0.0002", "0.00025"]


def test_findings_are_printed_with_the_measurements(printed, monkeypatch):
    printed([ran("init=he")])  # for its screen
    file = console.out.file
    file.seek(0)
    file.truncate()
    print_findings([Finding("It learns", True, "loss 0.1"), Finding("Fast", False, "slow")])
    lines = [line.strip() for line in file.getvalue().splitlines() if line.strip()]
    assert lines[1:] == ["holds          It learns", "loss 0.1", "does not hold  Fast", "slow"]


def test_one_run_is_a_table_of_its_own(printed):
    assert printed([ran("init=he seed=3", loss=1.0)])[1].split() == [
        "init=he", "1", "healthy", "1.2"
    ]  # fmt: skip


def test_of_many_settings_the_best_and_the_worst_are_shown(printed):
    runs = [ran(f"optimizer.lr={number}", accuracy=number / 100) for number in range(31)]
    lines = printed(runs)
    shown = [line.split()[:2] for line in lines[1:-1]]
    ranks = [[f"{31 - number}", f"{number}"] for number in range(30, -1, -1)]
    assert shown == [*ranks[:20], ["⋮", "⋮"], *ranks[-5:]]
    assert lines[-1] == "⋮ 6 of 31 settings are not shown; settings.csv has all"
    assert len(printed(runs[:30])) == 31


def test_failed_runs_are_listed_with_their_reasons(printed):
    runs = [ran(f"init=he seed={seed}", "failed", "", reason=f"Error: no. {seed}")
            for seed in range(7)]  # fmt: skip
    runs.append(ran("init=std1 seed=0", "diverged", ended_step=3))
    lines = printed([ran("init=zeros seed=0", loss=1.0), *runs])
    assert lines[-6:] == [
        *(f"failed  init=he seed={seed}: Error: no. {seed}" for seed in range(5)),
        "        and 2 more",
    ]
    assert lines[2].split() == ["he", "0/7", "failed", "1.2"]


def test_a_long_reason_is_cut_and_is_no_markup(printed):
    reason = "ValueError: [bold]cannot[/bold] " + 100 * "word "
    text = " ".join(printed([ran("init=he", "failed", "", reason=reason)]))
    assert "[bold]cannot[/bold] word" in text
    assert 10 < text.count("word") < 30
    assert text.endswith("…")


def test_runs_that_still_run_are_listed(printed):
    runs = [ran("init=he seed=0", "running", "", seconds=None), ran("init=xavier seed=0", loss=1.0)]
    assert "running  init=he" in printed(runs)


def grid(**swept):
    """Return runs over a grid, two seeds each."""
    runs = []
    for *values, seed in itertools.product(*swept.values(), "01"):
        run = ran(f"seed={seed}", accuracy=0.5, loss=0.01234 + 0.001 * int(seed))
        run.params.update(zip(swept, values))
        runs.append(run)
    return runs


WIDE = {
    "init": ["truncated_normal", "he"],
    "activation": ["leaky_relu", "tanh"],
    "optimizer.lr": ["0.001", "0.1"],
    "model.hidden": ["[200, 200, 200]", "[100, 100, 100, 100, 100]"],
    "schedule": ["constant", "warmup_cosine"],
}


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("varying", range(6))
def test_no_word_or_number_of_a_table_is_cut_however_much_varies(printed, width, varying):
    swept = {key: values if number < varying else values[:1]
             for number, (key, values) in enumerate(WIDE.items())}  # fmt: skip
    lines = printed(grid(**swept), width)
    for values in [*swept.values()][:varying]:
        for value in values:
            for word in format_value(value).split():
                assert any(word in line for line in lines), word
    row = r"0\.01284 (± 0\.0007)? +50\.0% ± 0\.0 +(0\.00 ± 0\.00)? +healthy( +1\.2)?$"
    rows = [line for line in lines if re.search(row, line)]
    assert len(rows) == (25 if varying == 5 else 2**varying)


def test_verdicts_and_failures_are_colored(printed):
    runs = [ran("init=he", loss=1.0), ran("init=std1", "failed", "", reason="no")]
    text = "\n".join(printed(runs, 500, force_terminal=True, color_system="standard"))
    assert re.search(r"\x1b\[1;32mhealthy", text)
    assert len(re.findall(r"\x1b\[1;31mfailed", text)) == 2


def test_no_runs_are_no_table(printed):
    assert printed([]) == ["no runs"]


class Desk:
    """A store, and the command line in this process, with a report that only says what it is of."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.reports = []
        page = types.ModuleType("initlab.report.page")
        page.write = self.write
        monkeypatch.setattr(initlab.report, "page", page, raising=False)
        monkeypatch.setattr(compare, "PROJECT", folder)

    def write(self, comparison, folder, title, ids, every_pair):
        self.ids = ids
        self.comparison, self.every_pair = comparison, every_pair
        self.reports.append((sorted(run.name for run in comparison.runs), folder, title))
        (folder / "report.html").write_text(title)
        return [folder / "results.csv", folder / "report.html"]

    def put(self, name, experiment="initlab", loss=0.25, **tags):
        """Put a trial into the store; return its id."""
        store = open_store(self.uri, experiment, self.folder)
        tags = {"role": "trial", **tags}
        run_id = store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id
        for pair in name.split():
            store.client.log_param(run_id, *pair.split("="))
        store.client.log_metric(run_id, "train/loss", loss)
        store.client.set_terminated(run_id)
        return run_id


@pytest.fixture
def desk(tmp_path, monkeypatch, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Desk(tmp_path, monkeypatch)


def test_a_sweep_is_compared_by_its_id_and_reported_in_its_folder(desk, capsys):
    for name in ("init=he seed=0", "init=xavier seed=0"):
        desk.put(name, sweep="monday")
    desk.put("init=zeros", sweep="tuesday")
    assert compare.run(["monday", "--uri", desk.uri]) == 0
    folder = desk.folder / "multirun" / "monday"
    assert desk.reports == [(["init=he seed=0", "init=xavier seed=0"], folder, "sweep monday")]
    printed = capsys.readouterr().out
    assert re.search(r"^ +1 +he +0\.25 +", printed, re.MULTILINE)
    assert f"report {folder}/report.html\n" in printed


def test_a_sweep_is_compared_by_its_folder(desk):
    desk.put("init=he", sweep="monday")
    assert compare.run(["multirun/monday/", "--uri", desk.uri, "--output", f"{desk.folder}/a"]) == 0
    assert desk.reports == [(["init=he"], desk.folder / "a", "sweep monday")]
    assert desk.ids == ["monday"]


def test_sweeps_and_runs_are_compared_together(desk):
    trial = desk.put("init=he", sweep="monday")
    desk.put("init=zeros", sweep="tuesday")
    single = desk.put("init=xavier", experiment="elsewhere")
    assert compare.run(["tuesday", single, "monday", trial, "--uri", desk.uri]) == 0
    ((names, folder, title),) = desk.reports
    assert names == ["init=he", "init=xavier", "init=zeros"]
    assert folder.parent == desk.folder / "outputs"
    assert title == "3 runs"
    assert desk.ids == ["tuesday", single, "monday", trial]


def test_one_run_may_be_looked_at(desk):
    single = desk.put("init=xavier")
    assert compare.run([single, "--uri", desk.uri]) == 0
    ((names, folder, title),) = desk.reports
    assert (names, folder.parent.name, title) == (["init=xavier"], "outputs", f"run {single}")


def test_runs_are_compared_by_a_filter_over_one_experiment(desk):
    desk.put("init=he seed=0")
    desk.put("init=he seed=1", sweep="monday")
    desk.put("init=zeros")
    desk.put("init=he", experiment="elsewhere")
    assert compare.run(["--filter", "params.init = 'he'", "--uri", desk.uri]) == 0
    assert compare.run(["--filter", "", "--experiment", "elsewhere", "--uri", desk.uri]) == 0
    first, second = desk.reports
    assert first[0] == ["init=he seed=0", "init=he seed=1"]
    assert first[2] == "params.init = 'he'"
    assert second[0] == ["init=he"]
    assert second[2] == "all runs of elsewhere"
    assert desk.ids == []


def test_the_first_letters_of_a_run_suffice(desk, capsys):
    first, second = desk.put("init=he"), desk.put("init=xavier")
    length = next(count for count in range(6, 32) if first[:count] != second[:count])
    assert compare.run([first[:length], second[:length], "--uri", desk.uri]) == 0
    assert desk.ids == [first, second]
    page = capsys.readouterr().out.splitlines()[-1]
    assert page.startswith("open  http://127.0.0.1:5000/#/compare-runs?runs=")
    assert all(run_id in page for run_id in (first, second))


def test_letters_of_several_runs_are_refused(desk, capsys, monkeypatch):
    desk.put("init=he")
    desk.put("init=xavier")
    monkeypatch.setattr(queries, "SHORT", re.compile(""))
    assert compare.run(["", "--uri", desk.uri]) == 2
    assert "several runs begin so; type more of the id" in capsys.readouterr().err


def test_the_name_of_a_sweep_comes_before_the_letters_of_a_run(desk):
    run_id = desk.put("init=he")
    desk.put("init=xavier", sweep=run_id[:6])
    assert compare.run([run_id[:6], "--uri", desk.uri]) == 0
    assert desk.reports[0][0] == ["init=xavier"]


def test_settings_are_ranked_by_the_metric_that_is_named(desk, capsys):
    client = MlflowClient(desk.uri)
    for seed in (0, 1):
        for init, std in (("he", 1.0), ("xavier", 2.0)):
            run_id = desk.put(f"init={init} seed={seed}", sweep="monday")
            for step, value in enumerate((3 * std, std + seed)):
                client.log_metric(run_id, "unit_std/layer_1", value, step=step)
    for by, best, numbers in [
        ("unit_std/layer_1", "he", "1.5 ± 0.7"),
        ("unit_std/layer_1:max", "xavier", "2.5 ± 0.7"),
        ("unit_std/layer_1:max:best", "xavier", "6 ± 0"),
        ("unit_std/layer_1:best:min", "he", "1.5 ± 0.7"),
    ]:
        assert compare.run(["monday", "--uri", desk.uri, "--by", by]) == 0
        lines = capsys.readouterr().out.splitlines()
        row = next(line for line in lines if re.match(r" +1  ", line))
        assert row.split()[1] == best
        assert numbers in row
        assert desk.comparison.by.metric == "unit_std/layer_1"


def test_every_pair_is_printed_if_asked(desk, capsys):
    for seed in range(6):
        for init, loss in (("he", 0.1), ("xavier", 0.2), ("zeros", 2.3)):
            desk.put(f"init={init} seed={seed}", sweep="monday", loss=loss + seed / 100)
    options = ["monday", "--uri", desk.uri, "--pairs", "--level", "train/loss=0.15"]
    assert compare.run(options) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    row = ["he", "xavier", "0.1", "0.1", "0.1", "6", "of", "6", "0.031", "0.094", "tied"]
    assert row in lines
    assert ["xavier", "zeros", "2.1"] in [line[:3] for line in lines]
    assert desk.every_pair
    assert [(level.metric, level.value) for level in desk.comparison.levels] == [
        ("train/loss", 0.15)
    ]


def test_more_pairs_than_can_be_compared_are_refused(desk, capsys, monkeypatch):
    monkeypatch.setattr(compare, "MOST_PAIRED", 2)
    for init in ("he", "xavier", "zeros"):
        desk.put(f"init={init}", sweep="monday")
    assert compare.run(["monday", "--uri", desk.uri, "--pairs"]) == 2
    told = capsys.readouterr()
    assert "--pairs: 3 settings are 3 pairs; 2 settings can be compared" in told.err
    assert "he" not in told.out.split()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--by", "test/loss:up"], ["--by test/loss:up", "METRIC:max or METRIC:min", ":best"]),
        (["--by", "x:min:max"], ["--by x:min:max"]),
        (["--by", "nothing"], ["--by nothing: no run has this metric", "Choices: train/loss"]),
        (["--level", "lr=1"], ["--level lr=1", "train/loss or test/accuracy"]),
        (["--level", "train/loss=low"], ["--level train/loss=low"]),
    ],
)
def test_a_mistake_in_how_to_compare_is_named(desk, capsys, typed, words):
    desk.put("init=he", sweep="monday")
    assert compare.run(["monday", "--uri", desk.uri, *typed]) == 2
    printed = capsys.readouterr()
    assert all(word in printed.err for word in words)
    assert "Traceback" not in printed.err
    assert desk.reports == []


def test_the_store_is_that_of_training(desk, monkeypatch):
    desk.put("init=he", sweep="monday")
    assert compare.run(["monday"]) == 0  # mlflow.db in the project
    (desk.folder / "mlflow.db").rename(desk.folder / "moved.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{desk.folder}/moved.db")
    assert compare.run(["monday"]) == 0
    assert len(desk.reports) == 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([], ["name either sweeps and runs by their ids, or a --filter", "--help"]),
        (["monday", "--filter", ""], ["or a --filter"]),
        (["monday", "--filtre", "x"], ["--filtre", "--help"]),
        (["--filter"], ["--filter", "--help"]),
        (["sunday"], ["sunday: there is no sweep and no run of this id", "monday"]),
        (["monday", "0" * 32], ["0" * 32]),
        (["""it's "me\""""], ["""it's "me\""""]),
        (["."], [".: "]),
        (["--filter", "params.init = he"], ['"params.init = he"', 'params.init = "he"']),
        (["--filter", "params.init = 'xavier'"], ["params.init = 'xavier'", "initlab"]),
        (["--filter", "", "--experiment", "nowhere"], ["nowhere", "initlab"]),
        (["monday", "--uri", "./mlruns"], ["./mlruns", "sqlite:///"]),
        (["monday", "--output", "/dev/null/here"], ["--output /dev/null/here", "cannot be"]),
    ],
)
def test_a_mistake_is_one_error_that_names_it(desk, capsys, typed, words):
    desk.put("init=he", sweep="monday")
    options = [] if "--uri" in typed else ["--uri", desk.uri]
    assert compare.run([*options, *typed]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    for word in words:
        assert word in error
    assert desk.reports == []
    assert not (desk.folder / "outputs").exists()


def test_a_store_that_does_not_exist_is_not_made(desk, capsys):
    missing = desk.folder / "no" / "such.db"
    assert compare.run(["monday", "--uri", f"sqlite:///{missing}"]) == 2
    assert f"{missing}: there is no such database" in capsys.readouterr().err
    assert not missing.parent.exists()


def test_a_server_that_refuses_is_reported(desk, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert compare.run(["monday", "--uri", f"http://127.0.0.1:{port}"]) == 2
    assert f"127.0.0.1:{port}: cannot be used: Connection refused" in capsys.readouterr().err


def test_a_store_that_fails_while_it_is_read_is_reported(desk, capsys, monkeypatch):
    def failing(*_, **__):
        raise MlflowException("the disk is gone")

    run_id = desk.put("init=he")
    monkeypatch.setattr(MlflowClient, "search_runs", failing)
    assert compare.run([run_id, "--uri", desk.uri]) == 2
    assert f"{desk.uri}: cannot be used: the disk is gone" in capsys.readouterr().err


def test_help_is_there_from_any_folder_without_waiting_for_mlflow():
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT / 'src')!r}); import compare; "
        "print('mlflow' in sys.modules); compare.run(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("False\nusage: compare.py")
    assert """--filter 'params.init="he" and""" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_real_trials_are_compared_with_those_that_failed(lab, capsys):
    typed = ["-m", "init=he", "train.batch_size=50,100", "tracking.pictures=false"]
    assert lab.run(*typed, "train.steps=5") == 0
    first, second = lab.runs()
    lab.client.set_terminated(second.info.run_id, "FAILED")
    lab.client.set_tag(second.info.run_id, "error", "MemoryError: Unable to allocate")
    capsys.readouterr()
    folder = lab.folder / "again"
    sweep = first.data.tags["sweep"]
    assert compare.run([sweep, "--uri", lab.uri, "--output", str(folder)]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].split()[0] == "train.batch_size"
    assert lines[1].split()[0] == "50"
    assert "failed  train.batch_size=100: MemoryError: Unable to allocate" in lines
    assert f"report {folder}/report.html" in lines
    assert "viewStateShareKey" in lines[-1]
    assert "Unable to allocate" in (folder / "report.html").read_text()
    table = (folder / "results.csv").read_text()
    assert all(run.info.run_id in table for run in (first, second))
