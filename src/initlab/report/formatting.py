"""Formatting: how values, numbers and lists are written for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from initlab.tracking.runs import Run

MAX_DIGITS = 6  # a value of more digits was not typed by a person
LONG = 3  # items of a list in which repeated ones are counted


def format_value(value: str) -> str:
    """Return a value of the config for a table, as a person would write it.

    A number of too many digits is rounded to four; a long list is counted: 20 × 100.
    """
    if value.startswith("[") and value.endswith("]") and "[" not in value[1:]:
        return format_list(value)
    digits = re.match(r"-?0*\.?0*([\d.]*)", value)
    try:
        long = digits is not None and len(digits[1].replace(".", "")) > MAX_DIGITS
        return f"{float(value):.4g}" if long and "." in value else value
    except ValueError:
        return value


def format_list(value: str) -> str:
    """Return a list such as [100,100,100] with what repeats counted, if it is long: 3 × 100."""
    items = [item.strip() for item in value[1:-1].split(",")]
    if len(items) < LONG:
        return value
    runs = [(item, len([*same])) for item, same in groupby(items)]
    if len(runs) == len(items):
        return value
    return ", ".join(f"{count} × {item}" if count > 1 else item for item, count in runs)


def format_loss(loss: float) -> str:
    """Return a loss with four digits."""
    return f"{loss:.4g}"


def format_loss_std(std: float) -> str:
    """Return the standard deviation of losses with one digit: 0.03, 20."""
    return without_exponent(f"{std:.1g}")


def format_accuracy(accuracy: float) -> str:
    """Return an accuracy in percent: 97.0%."""
    return f"{accuracy:.1%}"


def format_points(difference: float) -> str:
    """Return a difference of accuracies in percentage points, without the unit: 1.4."""
    return f"{round(100 * difference, 1) + 0.0:.1f}"  # which writes no -0.0


def format_difference(difference: float, share: bool) -> str:
    """Return a difference of scores without a unit: of accuracies in points, 0.42; else 0.0123."""
    if not share:
        return without_exponent(f"{difference + 0.0:.3g}")
    digits = 2 if abs(difference) < 0.1 else 1
    return f"{round(100 * difference, digits) + 0.0:.{digits}f}"


def format_half_width(half: float, share: bool) -> str:
    """Return half the width of an interval of a difference, with two digits or 0.01 points."""
    return format_difference(half if share else float(f"{half:.2g}"), share)


def format_p(p: float) -> str:
    """Return a p value with its sign: = 0.031, < 0.001."""
    return "< 0.001" if p < 1e-3 else f"= {p:.2g}"


def format_positive(number: float) -> str:
    """Return a positive number of any size in at most seven characters, two or three digits."""
    return f"{number:.3g}" if 1e-3 <= number < 1e3 else without_exponent(f"{number:.2g}")


def without_exponent(number: str) -> str:
    """Return 2e+01 as 20; small numbers keep their exponent."""
    return f"{float(number):g}" if "e+" in number else number


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 run, 2 runs."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def describe_ending(run: Run) -> str:
    """Return how a run ended: diverged at step 37; failed: MemoryError."""
    if run.ended_step is not None:
        return f"{run.outcome} at step {run.ended_step}"
    return f"{run.outcome}: {run.reason}" if run.reason else run.outcome
