"""The report of many runs: a page to read, its pictures, a table and the curves."""

from __future__ import annotations

import base64
import csv
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from initlab.report import charts, table
from initlab.report.charts.words import counted
from initlab.report.claims import findings
from initlab.report.comparison import Comparison, Setting, Spread, short
from initlab.tracking.runs import CURVES, Run

PAGE = Path(__file__).with_name("page.html")

# The columns of results.csv beside what varies.
ABOUT = ("run_id", "name", "outcome", "verdict", "reason")
FINAL = (
    "train_loss",
    "validation_loss",
    "test_loss",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "steps",
    "seconds",
)

# What tells most of what is the same in all runs, in this order.
TELLING = (
    "model",
    "data",
    "init",
    "activation",
    "optimizer",
    "optimizer.lr",
    "train.steps",
    "train.batch_size",
    "seed",
)
VERBS = {
    "pruned": ("was pruned", "were pruned"),
    "killed": ("was killed", "were killed"),
    "running": ("is running", "are running"),
}
FEW_FAILURES = 10  # that are unfolded
MOST_ROWS = 40  # of a table that is not scrolled
MOST_NAMED = 10  # runs whose ids are named in a command


def write(comparison: Comparison, folder: Path, title: str) -> list[Path]:
    """Write a report into a folder and return its files.

    report.html     the page, with all pictures in it
    *.png           the pictures that there is something for, see `charts.drawn`
    results.csv     a row a trial, in the order of what varies
    curves.npz      every metric by step, see `curves`
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [(chart, charts.png(chart.figure)) for chart in charts.drawn(comparison)]
    html = page(comparison, title, drawn)
    files = {"report.html": html.encode(errors="replace")}
    files |= {f"{chart.name}.png": picture for chart, picture in drawn}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    write_results(comparison, folder / "results.csv")
    np.savez_compressed(folder / "curves.npz", allow_pickle=False, **curves(comparison.runs))
    return [folder / name for name in (*files, "results.csv", "curves.npz")]


def write_results(comparison: Comparison, file: Path) -> None:
    """Write a row a trial: what became of it, what varies, and its last numbers.

    train_loss is the mean of the last hundred steps; of a descent it is the last f.
    """
    keys = {key: f"params.{key}" if key in ABOUT + FINAL else key for key in comparison.varies}
    with file.open("w", newline="", encoding="utf-8", errors="replace") as opened:
        writer = csv.writer(opened)
        writer.writerow([*ABOUT, *keys.values(), *FINAL])
        for run in comparison.runs:
            about = (run.run_id, run.name, run.outcome, run.verdict, run.reason)
            steps = max((int(curve.steps[-1]) for curve in run.curves.values()), default=None)
            final = (
                run.loss,
                run.metrics.get("validation/loss"),
                run.metrics.get("test/loss"),
                run.metrics.get("train/accuracy"),
                run.validation,
                run.accuracy,
                steps,
                run.seconds,
            )
            writer.writerow([*about, *(run.params.get(key, "") for key in keys), *final])


def curves(runs: Sequence[Run]) -> dict[str, NDArray[Any]]:
    """Return the curves of R runs as arrays, a row a run, in the order of results.csv.

    run_ids         (R,)
    <metric>/steps  (S,) all steps at which any of the runs has a value, ascending
    <metric>        (R, S) the values, NaN where a run has none

    With `data = np.load("curves.npz")`, the mean over all runs is
    `np.nanmean(data["train/loss"], axis=0)`, at the steps `data["train/loss/steps"]`.
    """
    arrays: dict[str, NDArray[Any]] = {"run_ids": np.array([run.run_id for run in runs], np.str_)}
    for metric in CURVES:
        found = [run.curves.get(metric) for run in runs]
        known = [curve.steps for curve in found if curve]
        if not known:
            continue
        steps = np.unique(np.concatenate(known))
        values = np.full((len(runs), len(steps)), np.nan)
        for row, curve in zip(values, found):
            if curve:
                row[np.searchsorted(steps, curve.steps)] = curve.values
        arrays |= {f"{metric}/steps": steps, metric: values}
    return arrays


def page(
    comparison: Comparison, title: str, drawn: Sequence[tuple[charts.Chart, bytes]] = ()
) -> str:
    """Return the report as HTML that needs no other file."""
    ranked = comparison.ranked
    columns = table.result_columns(comparison, ranked, merged=False) if ranked else {}
    styles = charts.colors(comparison)
    rows = [
        (styles[setting.number], [cell.plain.strip().partition(" ± ") for cell in cells])
        for setting, *cells in zip(ranked, *columns.values())
    ]
    sections: dict[str, list[tuple[charts.Chart, str]]] = {}
    for chart, picture in drawn:
        encoded = base64.b64encode(picture).decode()
        sections.setdefault(chart.title, []).append((chart, encoded))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        title=title,
        question=question(comparison),
        shared=[f"{key}={comparison.fixed[key]}" for key in TELLING if key in comparison.fixed],
        answer=answer(comparison),
        findings=findings(comparison),
        experiment=comparison.experiment,
        columns=[(name, table.numeric(name)) for name in columns],
        rows=rows,
        repeated=any(len(setting.runs) > 1 for setting in comparison.settings),
        failures=failures(comparison),
        few=FEW_FAILURES,
        tall=len(rows) > MOST_ROWS,
        sections=sections,
        width=charts.WIDTH,
        fixed=comparison.fixed,
        several=len(comparison.runs) > 1,
        count=counted(len(comparison.runs), "run"),
        command=command(comparison, title),
    )


def question(comparison: Comparison) -> str:
    """Return what the runs ask, and how many there are."""
    runs, settings = comparison.runs, comparison.settings
    axes = [key for key in comparison.varies if key != "seed"]
    if not runs:
        return "There are no runs."
    if len(runs) == 1:
        return "What came of one run?"
    of = "run" if "seed" not in comparison.varies else "seed"
    counts = {len(setting.runs) for setting in settings}
    each = counted(min(counts), of)
    if len(counts) > 1:
        each = f"{min(counts)} to {counted(max(counts), of)}"
    if not axes:
        return f"How far apart are {each} of one setting?"
    do = "does" if len(axes) == 1 else "do"
    return f"How {do} {listed(axes)} change training? {len(settings)} settings, {each} each."


def answer(comparison: Comparison) -> list[str]:
    """Return what came of the runs, in sentences: the best, the worst, what did not finish."""
    done = [setting for setting in comparison.ranked if setting.finished]
    sentences = []
    if not any(setting.score or setting.loss for setting in done):
        if done:
            sentences += ["Nothing was trained.", *table.layers_told(comparison)]
    elif len(comparison.data) > 1:
        sentences += table.different_data(comparison)
    elif len(done) > 1:
        best, worst = done[0], done[-1]
        (measure, first), (other, last) = result(best), result(worst)
        last = last if other == measure else f"{other} {last}".strip()
        sentences.append(
            f"{best.name} came first with {measure} {first}, {worst.name} last with {last}."
        )
        sentences += chance(done)
    elif done:
        sentences.append(f"{done[0].name} ended with {' '.join(result(done[0]))}.")
        if any(run.verdict for run in done[0].finished):
            sentences.append(f"Verdict: {done[0].word}.")
    sentences += table.own_rates(comparison)
    broken = Counter(run.outcome for run in comparison.runs if run.outcome != "finished")
    if broken:
        number, total = sum(broken.values()), len(comparison.runs)
        share = "The run" if total == 1 else f"{number} of {total} runs"
        became = f"did not finish: {listed([f'{count} {word}' for word, count in broken.items()])}"
        if len(broken) == 1:
            (word,) = broken
            became = VERBS.get(word, (word, word))[number > 1]
        sentences.append(f"{share} {became}.")
    return sentences


def result(setting: Setting) -> tuple[str, str]:
    """Return what a setting is ranked by, and how much of it it has."""
    if setting.score:
        measure = "a validation accuracy of" if setting.validation else "a test accuracy of"
        return measure, spread(setting.score, "{:.1%}", "{:.1%}")
    if setting.loss:
        descent = any("f" in run.curves for run in setting.finished)
        return "an f of" if descent else "a training loss of", spread(setting.loss)
    return "no numbers", ""


def spread(value: Spread, mean: str = "{:.4g}", std: str = "{:.1g}") -> str:
    """Return mean ± std as the table has them."""
    return table.spreads([value], mean, std)[0].plain.strip()


def chance(done: Sequence[Setting]) -> list[str]:
    """Say whether the best of some settings may owe that to chance."""
    best, *others = done
    if all(len(setting.finished) == 1 for setting in done):
        return ["With one run each, small differences may be chance."] if best.score else []
    rivals = [setting for setting in others if overlap(best, setting)]
    if not rivals:
        return []
    names = [setting.name for setting in rivals] if len(rivals) < 3 else [f"{len(rivals)} others"]
    return [f"Its lead over {listed(names)} lies within their spreads."]


def overlap(best: Setting, other: Setting) -> bool:
    """Tell whether mean ± std of two settings overlap."""
    one, two = (best.score, other.score) if best.score else (best.loss, other.loss)
    if not one or not two:
        return False
    return abs(one.mean - two.mean) <= (one.std or 0.0) + (two.std or 0.0)


def failures(comparison: Comparison) -> list[tuple[str, str]]:
    """Return each run that failed, diverged or was killed, and what became of it."""
    found = []
    for run in comparison.runs:
        if run.outcome in ("finished", "pruned"):
            continue
        own = [f"{key}={short(run.params[key])}" for key in comparison.varies if key in run.params]
        told = run.reason.startswith(run.outcome)
        became = run.reason if told else ": ".join(filter(None, (run.outcome, run.reason)))
        found.append((" ".join(own) or run.name, became))
    return found


def command(comparison: Comparison, title: str) -> str:
    """Return what makes the report again, "" where that is not known."""
    ids = [run.run_id for run in comparison.runs if run.run_id]
    if named := re.fullmatch(r"(?:sweep|run) (\S+)", title):
        ids = [named[1]]
    return shlex.join(["python", "src/compare.py", *ids]) if 0 < len(ids) <= MOST_NAMED else ""


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
