"""Fuzzing: command lines made from the schema, each run in a process and a folder of its own.

FUZZ lines of the stream SEED, in parts that pytest-xdist hands out. The same seed gives the same
lines. The machine may be busy, so no line is judged by its speed, only by whether it ends.

A failure is shown with the shortest line that fails in the same way. Words are left out one at a
time, each that can be, until none can. Of a line that was taken although it must be refused, the
words that make it nonsense stay; a valid line that was refused is shown as it is, since its words
may need each other. Values are not made shorter.
"""

import contextlib
import math
import os
import random
import re
import resource
import shlex
import shutil
import signal
import sqlite3
import subprocess
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from command_lines import (
    EITHER,
    HOSTILE_LINES,
    REFUSED,
    VALID,
    CommandLine,
    command_line,
    key_of,
    line_of,
    shown,
    single,
    sweep,
)
from conftest import TRAIN
from warm import WarmProcess

from initlab.config import PROJECT

FUZZ = int(os.environ.get("FUZZ", "1000"))
SEED = os.environ.get("SEED", "0")
PARTS = 20
SECONDS = 30  # after which a command hangs
MEMORY = 4 << 30  # bytes of address space, so that no line takes all that the machine has
SHRUNK = 60  # most commands that making one line shorter may take
FOLLOWED = 0.02  # of the valid runs are compared and reproduced as well
BIDIRECTIONAL = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


@pytest.fixture(scope="module")
def rehearsed():
    """Return what starts commands, as `warm` does, with all that is the same for each done once."""
    process = WarmProcess("rehearsed")
    resource.prlimit(process.process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
    yield process
    process.close()


@pytest.fixture
def bench(rehearsed, tmp_path, empty_store, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Bench(rehearsed, tmp_path / "lab", empty_store)


@dataclass(frozen=True)
class Failure:
    """What was wrong with a command.

    kind    in a few words
    detail  the line of its output that shows it
    """

    kind: str
    detail: str = ""

    @property
    def group(self):
        """Equal for failures that have the same cause, as far as can be seen."""
        plain = re.sub(r"'.*'|\".*\"|[0-9a-f]{32}|-?\d[\d.e+-]*", "…", self.detail)
        return self.kind, re.sub(r"(\w+\.)+\w+|=\S*", "…", plain)[:100]


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status (None where it hung), its output, what it recorded."""

    status: int | None
    output: str
    error: str
    files: frozenset
    statuses: Counter
    not_finite: list
    sound: bool


class Bench:
    """Runs a command line in a folder with a store, and judges what comes of it."""

    def __init__(self, warm, folder, empty_store):
        self.warm = warm
        self.folder = folder
        self.empty_store = empty_store
        self.database = folder / "mlflow.db"
        self.environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{self.database}"}
        for name in ("NOPE", "COMP_LINE"):
            self.environment.pop(name, None)

    def run(self, script, *words):
        """Run a command and return what it left."""
        command = self.warm.start(
            script, *words, cwd=self.folder, env=self.environment, start_new_session=True
        )
        assert command.pid > 0, "the process that starts commands has ended"
        try:
            status = command.wait(SECONDS)
        except TimeoutError:
            status = None
            os.killpg(command.pid, signal.SIGKILL)
            command.wait(SECONDS)
        output, error = (as_text(file) for file in (command.output, command.error))
        return Ended(status, output, error, self.files(), *self.recorded())

    def train(self, line):
        """Run a command line in a fresh folder; return what it left and what is wrong with it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(self.empty_store, self.database)
        before = self.files()
        typed = {key_of(word) for word in line.words}
        places = {"hydra.run.dir": "outputs", "hydra.sweep.dir": "multi/s"}
        settings = [f"{key}={self.folder}/{at}" for key, at in places.items() if key not in typed]
        words = line.words if "-sc" in line.words else with_settings(line.words, settings)
        ended = self.run(TRAIN, *words)
        return ended, judged(line, ended, before)

    def failure(self, line, follow=False):
        """Return what is wrong with a command line, None if nothing is."""
        ended, failure = self.train(line)
        if failure or not follow or ended.status or not ended.statuses["FINISHED"]:
            return failure
        for script, *more in (("compare", "--output=report"), ("reproduce",)):
            with contextlib.closing(sqlite3.connect(self.database)) as store:
                find = "SELECT r.run_uuid FROM runs r JOIN tags t USING (run_uuid) WHERE t.key = "
                (run_id,) = store.execute(find + "'role' AND t.value = 'trial'").fetchone()
            again = self.run(str(PROJECT / "src" / f"{script}.py"), run_id, *more)
            after = replace(line, expected=VALID)
            if failure := judged(after, again, ended.files):
                return Failure(f"{script}.py afterwards: {failure.kind}", failure.detail)
        return None

    def shortest(self, line, failure, follow):
        """Return the shortest line found that fails in the same way."""
        if failure.kind == VALID_REFUSED or failure.kind == HANGS:
            return line
        tried = 0
        at = len(line.words) - 1
        while at >= 0 and tried < SHRUNK:
            shorter = without(line, at)
            at -= 1
            if shorter and shorter.words:
                tried += 1
                found = self.failure(shorter, follow)
                if found and found.group == failure.group:
                    line = shorter
                    at = min(at, len(line.words) - 1)
        return line

    def files(self):
        """Return the names of the files and folders there are."""
        return frozenset(
            str(file.relative_to(self.folder))
            for file in self.folder.rglob("*")
            if not file.name.startswith("mlflow.db-")
        )

    def recorded(self):
        """Return how many runs there are of each status, and values that are not finite."""
        with contextlib.closing(sqlite3.connect(self.database)) as store:
            try:
                statuses = store.execute("SELECT status, count(*) FROM runs GROUP BY status")
                statuses = Counter(dict(statuses.fetchall()))
                values = [
                    row
                    for table in ("metrics", "latest_metrics")
                    for row in store.execute(f"SELECT key, value, is_nan FROM {table}")
                    if row[2] or not math.isfinite(row[1]) or abs(row[1]) > 1.7e308
                ]
                values += [
                    row
                    for row in store.execute("SELECT key, value FROM params")
                    if row[1].lower().lstrip("+-.") in ("nan", "inf", "infinity")
                ]
                sound = store.execute("PRAGMA quick_check").fetchone() == ("ok",)
            except sqlite3.Error:
                return Counter(), [], False
        return statuses, values, sound


def with_settings(words, settings):
    """Return a line with more settings, which no option takes for its value."""
    return [*settings, *words] if words[-1].startswith("-") else [*words, *settings]


def as_text(file):
    """Return what is in a file of output, whatever bytes it has."""
    file.seek(0)
    with file:
        return file.buffer.read().decode("utf-8", "surrogateescape")


VALID_REFUSED = "a valid line was refused"
SHORT = 60
HANGS = "does not end"


def is_named(word, error):
    """Return whether an error has a word, which may be shortened or escaped."""
    return word[:SHORT] in error or repr(word)[1:-1][:SHORT] in error


def judged(line, ended, before):
    """Return what is wrong with how a command line ended, None if nothing is."""
    both = ended.error + ended.output
    last, last_error = last_line(both), last_line(ended.error)
    errors = [text for text in ended.error.splitlines() if text.startswith("error: ")]
    first = errors[0] if errors else last_error
    if ended.status is None:
        return Failure(HANGS)
    if "Traceback" in both:
        return Failure("traceback", last_error)
    if ended.status < 0 or ended.status not in (0, 1, 2):
        return Failure(f"exit status {ended.status}", last)
    if ended.status == 1 and not ended.statuses["FAILED"]:
        return Failure("exit status 1 without a trial that failed", last)
    if "Warning:" in both:
        return Failure("warning", next(t for t in both.splitlines() if "Warning:" in t))
    if strange := next(filter(is_control, both), None):
        return Failure(f"prints the character {strange!r}", first)
    if ended.not_finite:
        return Failure("stores what is not finite", str(ended.not_finite[0]))
    if not ended.sound:
        return Failure("damages the store")
    if ended.statuses["RUNNING"]:
        return Failure("leaves a run RUNNING", last)
    if ended.status != 2:
        if line.expected == REFUSED:
            return Failure("nonsense is taken", " ".join(line.hostile))
        if line.expected == VALID and ended.status == 1:
            return Failure("a trial of a valid line failed", last)
        return None
    if line.expected == VALID:
        return Failure(VALID_REFUSED, first)
    if len(errors) != 1 or not ended.error.startswith("error: "):
        return Failure(f"{len(errors)} messages that begin with `error: `", last_error)
    if ended.statuses.total():
        return Failure("opens a run before it is refused", first)
    if ended.files != before:
        return Failure("leaves files though refused", str(sorted(ended.files - before)[:3]))
    if line.named and not any(word and is_named(word, ended.error) for word in line.named):
        return Failure("the error does not name what is wrong", first)
    return None


def last_line(text):
    """Return the last line of a text that says something, and does not belong to another."""
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    return lines[-1] if lines else ""


def is_control(character):
    """Return whether a character controls a terminal instead of being shown."""
    if character in "\n\t":
        return False
    return unicodedata.category(character) == "Cc" or character in BIDIRECTIONAL


def without(line, at):
    """Return a line less one word; None if that would say nothing about the failure."""
    words = line.words[:at] + line.words[at + 1 :]
    if line.words[at] not in line.hostile:
        return replace(line, words=words)
    if line.expected == REFUSED and len(line.hostile) == 1:
        return None
    return replace(line, words=words, expected=EITHER, named=())


def shell(line):
    """Return a line as it can be pasted into a shell, with what is repeated often left short."""
    return " ".join(["python src/train.py", *map(quoted, line.words)])


def quoted(word):
    """Return a word as a shell takes it."""
    if match := re.search(r"(.)\1{50,}", word, re.DOTALL):
        many = f"$(printf '%0{len(match[0])}d' 0 | sed s/0/{shlex.quote(match[1])}/g)"
        before, after = word[: match.start()], word[match.end() :]
        return f'{before and shlex.quote(before)}"{many}"{after and quoted(after)}'
    return shlex.quote(word)


def lines_of(seed, part, count):
    """Return the command lines of a part of a stream."""
    rng = random.Random(f"{seed}/{part}")
    return [(command_line(rng), rng.random() < FOLLOWED) for _ in range(count)]


def fuzz(bench, lines, stream):
    """Run command lines, and fail with those that failed, in groups."""
    groups = {}
    for index, (line, follow) in enumerate(lines):
        failure = bench.failure(line, follow)
        if failure:
            if failure.group not in groups:
                groups[failure.group] = [failure, bench.shortest(line, failure, follow), []]
            groups[failure.group][2].append(index)
    told = [
        f"{len(indices)} x {failure.kind}: {failure.detail[:300]!r}\n"
        f"    {line.kind}, {line.expected}; {stream}, line {indices[0]}\n"
        f"    {shell(line)[:1500]}"
        for failure, line, indices in sorted(groups.values(), key=lambda group: -len(group[2]))
    ]
    failed = sum(len(indices) for *_, indices in groups.values())
    # Bytes that are no text could not be sent to the process that prints this.
    whole = "\n".join(told).encode(errors="backslashreplace").decode()
    assert not whole, f"{failed} of {len(lines)} command lines failed:\n{whole}"


@pytest.mark.torture
@pytest.mark.parametrize("part", range(PARTS))
def test_no_command_line_breaks_anything(bench, part):
    count = FUZZ // PARTS + (part < FUZZ % PARTS)
    fuzz(bench, lines_of(SEED, part, count), f"seed {SEED}, part {part}")


def test_a_few_command_lines_of_each_kind_break_nothing(bench):
    rng = random.Random(0)
    kinds = [*[single] * 4, sweep, shown, *HOSTILE_LINES]
    fuzz(bench, [(line_of(rng, kind), False) for kind in kinds], "each kind")


REFUSAL = Ended(2, "", "error: seed must be an integer", frozenset(), Counter(), [], True)
RUN = Ended(0, "step 0/5", "", frozenset({"mlruns"}), Counter(FINISHED=1), [], True)
BAD = CommandLine(("seed=x",), REFUSED, "wrong_type", ("seed=x",), ("seed",))
GOOD = CommandLine(("seed=1",), VALID, "run")


@pytest.mark.parametrize(
    ("line", "ended", "change"),
    [
        (GOOD, RUN, {"status": None}),
        (GOOD, RUN, {"status": 130}),
        (GOOD, RUN, {"status": -9}),
        (GOOD, RUN, {"status": 1}),
        (GOOD, RUN, {"status": 1, "statuses": Counter(FAILED=1)}),
        (GOOD, RUN, {"output": "Traceback (most recent call last):"}),
        (GOOD, RUN, {"error": "RuntimeWarning: overflow"}),
        (GOOD, RUN, {"output": "\x1b[2J"}),
        (GOOD, RUN, {"output": "\u202e"}),
        (GOOD, RUN, {"not_finite": [("train/loss", 1.8e308, 0)]}),
        (GOOD, RUN, {"sound": False}),
        (GOOD, RUN, {"statuses": Counter(RUNNING=1)}),
        (GOOD, REFUSAL, {}),
        (BAD, RUN, {}),
        (BAD, REFUSAL, {"error": ""}),
        (BAD, REFUSAL, {"error": "error: seed\nerror: seed"}),
        (BAD, REFUSAL, {"error": "usage: seed\nerror: seed"}),
        (BAD, REFUSAL, {"error": "error: nothing is named"}),
        (BAD, REFUSAL, {"files": frozenset({"outputs"})}),
        (BAD, REFUSAL, {"statuses": Counter(FAILED=1)}),
    ],
)
def test_what_is_wrong_with_an_ending_is_seen(line, ended, change):
    assert judged(GOOD, RUN, frozenset()) is None
    assert judged(BAD, REFUSAL, frozenset()) is None
    assert judged(line, replace(ended, **change), frozenset()) is not None


def test_a_shown_line_is_the_line_that_was_run():
    words = ("a='b c'", "x" * 300 + "=1", "seed=" + "0" * 99 + "$HOME", "\n", "")
    line = replace(GOOD, words=words)
    shown = ["bash", "-c", shell(line).replace("python src/train.py", r"printf '%s\0'")]
    output = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert output == "".join(f"{word}\0" for word in words)


def test_a_seed_gives_the_same_command_lines():
    assert lines_of("same", 1, 20) == lines_of("same", 1, 20)
    assert lines_of("same", 1, 20) != lines_of("same", 2, 20)
