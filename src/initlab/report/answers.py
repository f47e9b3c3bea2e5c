"""Answers: what a comparison asks and what its runs show, in sentences."""

from __future__ import annotations

from collections import Counter

from initlab.nn.metrics import Metric
from initlab.report.comparison import SEED, Comparison, Setting
from initlab.report.conclusions import further_notes, headline, noise_note
from initlab.report.differences import Differences
from initlab.report.formatting import format_count, join_words
from initlab.report.importance import importance_note
from initlab.report.table import accuracy_cell, has_curves, layer_stds, loss_cell
from initlab.tracking.names import Outcome

LOSSES = (Metric.TRAIN_LOSS, Metric.F)

# The verbs for one run and for several runs that did not finish.
VERBS = {
    Outcome.DIVERGED: ("diverged", "diverged"),
    Outcome.FAILED: ("failed", "failed"),
    Outcome.PRUNED: ("was pruned", "were pruned"),
    Outcome.KILLED: ("was killed", "were killed"),
    Outcome.RUNNING: ("is running", "are running"),
}


def question(comparison: Comparison) -> str:
    """Return what the runs ask, and how many there are."""
    runs, settings, axes = comparison.runs, comparison.settings, comparison.axes
    if not runs:
        return "There are no runs."
    if len(runs) == 1:
        return "What did one run show?"
    noun = "seed" if SEED in comparison.varies else "run"
    counts = {len(setting.runs) for setting in settings}
    each = format_count(min(counts), noun)
    if len(counts) > 1:
        each = f"{min(counts)} to {format_count(max(counts), noun)}"
    if not axes:
        return f"How much do {each} of one setting differ?"
    do = "does" if len(axes) == 1 else "do"
    return f"How {do} {join_words(axes)} change training? {len(settings)} settings, {each} each."


def answer(comparison: Comparison) -> list[str]:
    """Return the results in sentences: the best, the worst, the runs that did not finish."""
    done = [setting for setting in comparison.ranked if setting.finished]
    sentences = []
    if not any(setting.score or setting.loss for setting in done):
        if done:
            sentences += ["Nothing was trained.", *layers_note(comparison)]
    elif len(comparison.data) > 1:
        sentences += data_note(comparison)
    elif len(done) > 1:
        first, others = headline(comparison), further_notes(comparison)
        ends = best_and_worst(done[0], done[-1])
        sentences += [*first, *others, ends] if first else [ends, *others]
        sentences += filter(None, [importance_note(comparison)])
    else:
        sentences.append(f"{done[0].name} ended with {' '.join(final_result(done[0]))}.")
        sentences += noise_note(comparison)
        if any(run.verdict for run in done[0].finished):
            sentences.append(f"Verdict: {done[0].word}.")
    return [*sentences, *rates_note(comparison), *unfinished_note(comparison)]


def best_and_worst(best: Setting, worst: Setting) -> str:
    """Return the sentence on the best setting and the worst."""
    (measure, first), (other, last) = final_result(best), final_result(worst)
    last = last if other == measure else f"{other} {last}".strip()
    return f"{best.name} came first with {measure} {first}, {worst.name} last with {last}."


def final_result(setting: Setting) -> tuple[str, str]:
    """Return the name of the number that a setting is ranked by, and the number."""
    score, by = setting.score, setting.by
    if score and by.share:
        return f"a {by.title} of", str(accuracy_cell(score))
    if score and by.metric not in LOSSES:
        return f"a {by.title} of", str(loss_cell(score))
    if setting.loss:
        quadratic = any(Metric.F in run.curves for run in setting.finished)
        return "an f of" if quadratic else "a training loss of", str(loss_cell(setting.loss))
    return "no numbers", ""


def unfinished_note(comparison: Comparison) -> list[str]:
    """Say how many runs did not finish, if any."""
    outcomes = Counter(run.outcome for run in comparison.runs if run.outcome != Outcome.FINISHED)
    if not outcomes:
        return []
    number, total = sum(outcomes.values()), len(comparison.runs)
    subject = "The run" if total == 1 else f"{number} of {total} runs"
    if len(outcomes) == 1:
        (outcome,) = outcomes
        return [f"{subject} {VERBS[outcome][number > 1]}."]
    counts = [f"{count} {outcome}" for outcome, count in outcomes.items()]
    return [f"{subject} did not finish: {join_words(counts)}."]


def notes(comparison: Comparison) -> list[str]:
    """Return what a reader of the table needs to know."""
    return [
        *spread_note(comparison),
        *data_note(comparison),
        *rates_note(comparison),
        *layers_note(comparison),
    ]


def spread_note(comparison: Comparison) -> list[str]:
    """Say what follows a ±, if there are means over several runs."""
    counts = {len(setting.finished) for setting in comparison.settings if setting.finished}
    if max(counts, default=0) < 2:
        return []
    noun = "seed" if SEED in comparison.varies else "run"
    over = f"over {max(counts)} {noun}s" if len(counts) == 1 else f"over the {noun}s"
    paired = Differences.in_score(comparison).from_best.values()
    best = any(each.paired.n > 1 for each in paired)
    more = "; to the best: mean over the same seeds ± half of its 95 % interval" if best else ""
    return [f"±: standard deviation {over}{more}."]


def data_note(comparison: Comparison) -> list[str]:
    """Say, if there are several data sets, that they are ranked separately."""
    if len(comparison.data) < 2:
        return []
    return ["Results on different data cannot be compared and are ranked separately."]


def rates_note(comparison: Comparison) -> list[str]:
    """Say, if it is so, that the optimizers differ in their learning rates as well."""
    rates = ", ".join(f"{name} {rate}" for name, rate in comparison.rates.items())
    return [f"Each optimizer has its own learning rate: {rates}."] if rates else []


def layers_note(comparison: Comparison) -> list[str]:
    """Explain the columns of layers, if there are any."""
    if has_curves(comparison) or not layer_stds(comparison.settings):
        return []
    return ["std k: standard deviation of the activations of layer k."]
