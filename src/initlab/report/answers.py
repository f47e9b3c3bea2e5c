"""Answers: what a comparison asks and what its runs show, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from initlab.nn.metrics import Metric
from initlab.report.comparison import SEED, Comparison, Setting
from initlab.report.formatting import format_count, join_words
from initlab.report.table import accuracy_cell, has_curves, layer_stds, loss_cell
from initlab.tracking.names import Outcome

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
        sentences += [best_and_worst(done[0], done[-1]), *chance_note(done)]
    else:
        sentences.append(f"{done[0].name} ended with {' '.join(final_result(done[0]))}.")
        if any(run.verdict for run in done[0].finished):
            sentences.append(f"Verdict: {done[0].word}.")
    return [*sentences, *rates_note(comparison), *unfinished_note(comparison)]


def best_and_worst(best: Setting, worst: Setting) -> str:
    """Return the sentence on the best setting and the worst."""
    (measure, first), (other, last) = final_result(best), final_result(worst)
    last = last if other == measure else f"{other} {last}".strip()
    return f"{best.name} came first with {measure} {first}, {worst.name} last with {last}."


def chance_note(done: Sequence[Setting]) -> list[str]:
    """Say, if it is so, that the first of some settings may be the best by chance."""
    best, *others = done
    if all(len(setting.finished) == 1 for setting in done):
        return ["With one run each, small differences may be due to chance."] * bool(best.score)
    rivals = [setting for setting in others if overlap(best, setting)]
    if not rivals:
        return []
    names = [setting.name for setting in rivals] if len(rivals) < 3 else [f"{len(rivals)} others"]
    return [f"Its lead over {join_words(names)} is within their standard deviations."]


def final_result(setting: Setting) -> tuple[str, str]:
    """Return the name of the number that a setting is ranked by, and the number."""
    if setting.score:
        measure = "a validation accuracy of" if setting.validation else "a test accuracy of"
        return measure, str(accuracy_cell(setting.score))
    if setting.loss:
        quadratic = any(Metric.F in run.curves for run in setting.finished)
        return "an f of" if quadratic else "a training loss of", str(loss_cell(setting.loss))
    return "no numbers", ""


def overlap(best: Setting, other: Setting) -> bool:
    """Tell whether mean ± std of two settings overlap."""
    one, two = (best.score, other.score) if best.score else (best.loss, other.loss)
    if not one or not two:
        return False
    return abs(one.mean - two.mean) <= (one.std or 0.0) + (two.std or 0.0)


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
    return [*data_note(comparison), *rates_note(comparison), *layers_note(comparison)]


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
