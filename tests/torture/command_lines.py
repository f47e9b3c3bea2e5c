"""Command lines made from the schema: valid ones, and hostile ones that must be refused.

What is valid is decided by the schema's own dataclasses and by what loads the data, not by this
file: a value is drawn by its type, and the objects that would run are built from it. So the command
line must take what they take, and refuse what they refuse. Beyond that there is what is never
valid: misspelt keys, other types, broken quotes, interpolations of nothing, options that are paths,
names of code.

Nothing here is long or large and yet valid, so that a command that does not end is a defect.
"""

from __future__ import annotations

import functools
import random
import re
import typing
from dataclasses import dataclass, fields, replace
from types import NoneType, UnionType
from typing import Any

from initlab.checks import UserError
from initlab.config import GROUPS, Config, Sweep, Tracking, load_option, options
from initlab.nn.training import Training
from initlab.run import load_checked

VALID, REFUSED, EITHER = "valid", "refused", "either"
QUIET = "tracking.pictures=false"
USUAL = {  # of conf/config.yaml
    "init": "he",
    "activation": "relu",
    "optimizer": "sgd",
    "schedule": "constant",
    "model": "mlp",
    "data": "digits",
}

# The largest value that is quick. All other integers may be as large as they like.
QUICK = {
    "train.steps": 20,
    "train.batch_size": 1437,
    "train.threads": 2,
    "model.width": 40,
    "model.blocks": 4,
    "model.depth": 4,
    "data.samples": 300,
    "data.features": 50,
    "data.classes": 20,
    "init.max_tries": 10,
}
NOT_DRAWN = {  # places, and what has lines of its own
    "tracking.uri",
    "tracking.experiment",
    "tracking.enabled",
    "tracking.pictures",
    "sweep.dry_run",
    "model.hidden",
}
INTEGERS = (0, 1, 2, 3, 7, 20, 100, 10**6, 2**31, 2**63, 10**30)
FLOATS = (
    *(0.0, -0.0, 1.0, 0.5, 0.1, 0.01, 0.9, 0.999, 2.0, 10.0, 1e-5, 1e5, 1e-30, 1e30),
    *(1e-300, 1e300, 5e-324, 1.7e308, 1e-8, 0.3),
)
BAD_NUMBERS = ("-1", "-0.5", "nan", "inf", "-inf", "1e400", "-1e400", "-1e-300", "0", "1.5", "1")
WORDS = (
    *("fan_in", "fan_out", "fan_avg", "fan_geo_avg", "normal", "truncated_normal", "uniform"),
    *("before", "after", "training", "evaluation", "shuffle", "random", "fixed", "none", "tanh"),
    *("float32", "float64", "skip", "rerun", "error", "continue", "stop", "auto", "zeros", "he"),
)
STRANGE = (
    *(
        "\u202emoc",
        "🦄",
        "é",
        "e\u0301",
        "名前",
        "\u200b",
        "a\nb",
        "a\tb",
        "\x1b[2Jx",
        "\x07",
        "\x7f",
    ),
    *("\udcff", " ", "", "\\", "%s", "{}", "a b", "-", "--", "null", "NaN", "x" * 300, "µ" * 150),
)
BROKEN = (  # what Hydra's grammar cannot read as a value
    *("'a", '"a', "a'b'", "[1,2", "1]", "{a:1", "a}", "(", ")", "''x''", "'a''b'", "[1,,2", "${"),
    *("[" * 200, "[" * 200 + "]", "${nope", "{a", "choice(", "range(1", "choice()", "range()"),
    *("interval()", "sort(", "tag(log", "nope(1)", "int(x", "a=b'", "$${'"),
)
INTERPOLATIONS = (
    *("${nope}", "${oc.env:NOPE}", "${nope:1}", "${train.nope}", "${.nope}", "${oc.env:}"),
    *("${oc.decode:nope(}", "${..........x}", "${nope[0]}"),
)
HALF_KNOWN = (  # Hydra's own resolver makes null of what is not there
    *("${hydra:nope}", "${hydra:job.nope}", "${oc.env:NOPE,1}", "${oc.env:NOPE,null}"),
    *("${seed}", "${hydra:job.name}", "${oc.env:HOME}", "${now:%Y}", "${train.steps}"),
)


@dataclass(frozen=True)
class CommandLine:
    """What is typed after `python src/train.py`.

    words     as a shell hands them over
    expected  VALID must run; REFUSED must end in an error; EITHER may do one or the other
    kind      what was done to it, in a word or two
    hostile   the words that make it nonsense; without them nothing is known of it
    named     texts, one of which the error must have in it; none where that is not known
    """

    words: tuple[str, ...]
    expected: str
    kind: str
    hostile: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """A key of the schema: `section.name`, or `name` alone."""

    section: str
    name: str
    type: Any

    def __str__(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def types(self) -> tuple[Any, ...]:
        """The types that it may have."""
        union = typing.get_origin(self.type) in (UnionType, typing.Union)
        return typing.get_args(self.type) if union else (self.type,)


class Drawn:
    """A config: the options and the settings that were chosen, and the objects that they make."""

    def __init__(self) -> None:
        self.choices = dict(USUAL)
        self.settings: dict[str, str] = {}
        self.parts: dict[str, Any] = {g: object_of(g, option) for g, option in USUAL.items()}
        self.parts |= {"train": Training(steps=5), "tracking": Tracking(), "sweep": Sweep()}
        self.config = Config(**self.parts)

    def choose(self, group: str, option: str) -> bool:
        """Choose an option; return whether the config is still valid, or else leave it."""
        choices = self.choices | {group: option}
        parts = self.parts | {group: object_of(group, option)}
        if not self._take(parts, choices):
            return False
        self.choices = choices
        return True

    def set(self, key: Key, value: Any) -> bool:
        """Set a key; return whether the config is still valid, or else leave it."""
        try:
            parts = self.with_value(key, value)
        except ValueError:
            return False
        if not self._take(parts, self.choices):
            return False
        self.settings[str(key)] = typed(value)
        return True

    def with_value(self, key: Key, value: Any) -> dict[str, Any]:
        """Return the parts of a config in which a key has another value; raises `ValueError`."""
        if not key.section:
            return self.parts | {key.name: value}
        changed = replace(self.parts[key.section], **{key.name: value})
        return self.parts | {key.section: changed}

    def _take(self, parts: dict[str, Any], choices: dict[str, str]) -> bool:
        try:
            config = Config(**parts)
            load_checked(config, choices)
        except (ValueError, UserError):
            return False
        self.parts, self.config = parts, config
        return True

    @property
    def words(self) -> list[str]:
        """What is typed for it."""
        chosen = [f"{group}={o}" for group, o in self.choices.items() if o != USUAL[group]]
        steps = {"train.steps": str(self.config.train.steps)}
        return [*chosen, *(f"{key}={value}" for key, value in (steps | self.settings).items())]


@functools.cache
def object_of(group: str, option: str) -> Any:
    """Return the object of an option, which nobody changes."""
    return load_option(group, option)


def typed(value: Any) -> str:
    """Return a value as it is typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    return repr(value) if isinstance(value, float) else str(value)


@functools.cache
def keys_of(section: str, schema: type) -> list[Key]:
    """Return the keys of a dataclass that have a type."""
    hints = typing.get_type_hints(schema)
    return [
        Key(section, each.name, hints[each.name])
        for each in fields(schema)
        if each.init and hints[each.name] is not Any
    ]


def keys_in(config: Config) -> list[Key]:
    """Return the keys of a config, less those that are groups."""
    sections = (*GROUPS, "train", "tracking", "sweep")
    found = [key for name in sections for key in keys_of(name, type(getattr(config, name)))]
    return [*found, Key("", "seed", int), Key("", "dtype", str)]


def draw_value(rng: random.Random, key: Key) -> Any:
    """Return a value of the type of a key, which need not be valid."""
    kind = rng.choice(key.types)
    if kind is NoneType:
        return None
    if kind is bool:
        return rng.random() < 0.5
    if kind is int:
        most = QUICK.get(str(key))
        return rng.randint(0, most) if most else rng.choice(INTEGERS)
    if kind is float:
        return rng.choice(FLOATS) if rng.random() < 0.6 else round(rng.random(), 3)
    if kind is str:
        return rng.choice(WORDS)
    (item,) = typing.get_args(kind) or (str,)
    if typing.get_origin(kind) is not list or item is str:
        return draw_value(rng, replace(key, type=NoneType))
    if item is int:
        return [rng.randint(0, 20) for _ in range(rng.randint(0, 3))]
    return [rng.choice(FLOATS) for _ in range(2)]


def draw_config(rng: random.Random, settings: int, groups: int = 2) -> Drawn:
    """Return a valid config with some options and settings."""
    drawn = Drawn()
    drawn.set(Key("train", "steps", int), rng.choice((0, 1, 2, 3, 5, 10, 20)))
    for group in rng.sample(GROUPS, groups):
        choices = ("digits", "gaussian") if group == "data" else options(group)
        drawn.choose(group, rng.choice(choices))
    hidden = Key("model", "hidden", list[int])
    if rng.random() < 0.7 and hidden in keys_in(drawn.config):
        drawn.set(hidden, [rng.randint(1, 40) for _ in range(rng.randint(1, 3))])
    allowed = [key for key in keys_in(drawn.config) if str(key) not in NOT_DRAWN]
    for key in rng.sample(allowed, min(settings, len(allowed))):
        for _ in range(5):
            if drawn.set(key, draw_value(rng, key)):
                break
    return drawn


# Valid lines


def single(rng: random.Random) -> CommandLine:
    """Return one run."""
    words = draw_config(rng, rng.randint(0, 6), rng.randint(0, 3)).words
    how = rng.random()
    if how < 0.94:
        words.append(QUIET)
    if how < 0.04:
        words.append("tracking.enabled=false")
    if rng.random() < 0.1:
        words = [f"++{word}" if "." in word.partition("=")[0] else word for word in words]
    rng.shuffle(words)
    return CommandLine((*words,), VALID, "run")


GRIDS = (
    *(
        "seed=0,1",
        "seed=range(0,2)",
        "init=he,zeros",
        "init=glob(xavier_*)",
        "optimizer.lr=0.1,0.01",
    ),
    *("activation=choice(relu,tanh)", "model.hidden=[4],[4,4]", "dtype=float32,float64"),
    *("model.bias=true,false", "seed=shuffle(range(3))", "seed=sort(2,1,reverse=true)", "seed=4"),
)
SEARCHES = (
    *("optimizer.lr=interval(0.01,0.1)", "optimizer.lr=tag(log,interval(1e-4,1))"),
    *(
        "init=he,xavier",
        "seed=range(0,5)",
        "model.hidden=choice([4],[8])",
        "seed=int(interval(0,9))",
    ),
)


def sweep(rng: random.Random) -> CommandLine:
    """Return a grid of a few trials."""
    words = [*sweep_words(rng), f"train.steps={rng.randint(0, 4)}", "model.hidden=[5]", QUIET]
    grid = rng.sample(GRIDS, rng.randint(1, 2))
    if any(each.startswith("model.hidden") for each in grid):
        words.remove("model.hidden=[5]")
    if rng.random() < 0.3:
        words.append("sweep.dry_run=true")
    words += {key_of(word): word for word in grid}.values()  # a key once, of any that came twice
    if rng.random() < 0.85:
        return CommandLine(("-m", *words), VALID, "grid")
    words.insert(rng.randint(1, len(words)), rng.choice(("-m", "--multirun")))
    return CommandLine((*words,), EITHER, "-m in an odd place")


def search(rng: random.Random) -> CommandLine:
    """Return a search of a few trials."""
    words = [*sweep_words(rng), "hydra/sweeper=search", f"train.steps={rng.randint(1, 4)}", QUIET]
    settings = {
        "sampler": rng.choice(("random", "tpe")),
        "trials": rng.randint(1, 3),
        "seed": rng.choice((0, 1, 12345)),
        "pruner": rng.choice(("median", "none")),
        "metric": rng.choice(("null", "test/loss", "train/accuracy")),
        "study": rng.choice(("null", "s", "'a b'")),
    }
    chosen = rng.sample(sorted(settings), 3)
    words += [f"hydra.sweeper.{name}={settings[name]}" for name in sorted({*chosen, "trials"})]
    return CommandLine(("-m", *words, rng.choice(SEARCHES)), VALID, "search")


def sweep_words(rng: random.Random) -> list[str]:
    """Return where the trials of a sweep run: mostly in its own process."""
    return ["hydra/launcher=basic" if rng.random() < 0.95 else "hydra.launcher.processes=2"]


def shown(rng: random.Random) -> CommandLine:
    """Return a line that only prints."""
    flags = rng.choice(
        (
            *(["--cfg", "job"], ["--cfg", "all"], ["--cfg=hydra"], ["--cfg", "job", "--resolve"]),
            *(["--help"], ["--hydra-help"], ["--version"], ["--info"], ["--info", "defaults"]),
            *(["--info=searchpath"], ["--info=plugins"], ["--cfg", "job", "--package", "train"]),
            *(["--info=defaults-tree"], ["--info=config"], ["-sc", "install=bash"]),
        )
    )
    alone = flags in (["--info"], ["--version"], ["--hydra-help"]) or flags[0] == "-sc"
    words = [] if alone or rng.random() < 0.5 else draw_config(rng, 2, 1).words
    return CommandLine((*flags, *words), VALID, "print")


# Hostile lines: each function returns the hostile words, for a config that is valid without them.


@dataclass(frozen=True)
class Hostile:
    """Words that make a line nonsense, or that may; `single`: that do so only without -m."""

    words: tuple[str, ...]
    named: tuple[str, ...] = ()
    expected: str = REFUSED
    single: bool = False


def misspelt(rng: random.Random, drawn: Drawn) -> Hostile:
    """A key with a letter too few, too many, or in another place."""
    known = {*map(str, keys_in(drawn.config)), *GROUPS, "train", "tracking", "sweep", "hydra"}
    key = str(rng.choice([*keys_in(drawn.config), *GROUPS]))
    at = rng.randrange(len(key))
    wrong = rng.choice(
        (
            key[:at] + key[at + 1 :],
            key[:at] + rng.choice("aeixyz_.-/A0é\u202e🦄") + key[at:],
            key[:at] + key[at : at + 2][::-1] + key[at + 2 :],
            key.upper(),
            key + "." + rng.choice("abc"),
            rng.choice("abc") + "." + key,
            key.replace(".", ".."),
            key.replace(".", "/"),
            "x" * 300 + key,
            "." + key,
            key + " ",
        )
    )
    value = rng.choice(("1", "x", "null", "", "[1]"))
    hidden = wrong in known or any(known_ == wrong.strip() for known_ in known)
    parts = tuple(part for part in wrong.replace("/", ".").split(".") if part.strip())
    return Hostile((f"{wrong}={value}",), parts, EITHER if hidden else REFUSED)


WRONG_TYPES = {
    int: ("x", "1.5", "[1]", "{a:1}", "''", "1x", "nan", "1e3000", "0x1", "½", "--1"),
    float: ("x", "[1]", "{a:1}", "''", "1x", "1,", "e5", "--1", "0.1.2", "½"),
    bool: ("x", "[true]", "{a:1}", "''", "1.5", "maybe", "2x"),
    str: ("[a]", "{a:1}"),
    list: ("3", "x", "{a:1}", "[x]", "[[1]]", "[{a:1}]", "[nan]", "[null]", "''"),
}


def wrong_type(rng: random.Random, drawn: Drawn) -> Hostile:
    """A value of another type."""
    key = rng.choice(keys_in(drawn.config))
    kinds = {typing.get_origin(kind) or kind for kind in key.types}
    choices = ["null"] if NoneType not in kinds else []
    plain = kinds - {NoneType}
    if len(plain) == 1 and (kind := plain.pop()) in WRONG_TYPES:
        choices += WRONG_TYPES[kind]
        if typing.get_args(key.type)[:1] == (str,):  # a list of texts
            choices = [each for each in choices if each not in ("[x]", "[nan]")]
    else:
        choices += ["[1]", "{a:1}"] if dict not in kinds else ["[1]", "3"]
    value = rng.choice(choices)
    return Hostile((f"{key}={value}",), (str(key), key.name), single=value == "1,")


def out_of_range(rng: random.Random, drawn: Drawn) -> Hostile:
    """A value of the right type that the schema's own classes refuse."""
    while True:
        key = rng.choice(keys_in(drawn.config))
        kind = rng.choice([kind for kind in key.types if kind is not NoneType])
        text = rng.choice(BAD_NUMBERS) if kind in (int, float) else rng.choice((*WORDS, "x"))
        if kind is int and not text.lstrip("-").isdigit():
            continue
        value: Any = kind(text) if kind in (int, float, str) else None
        if kind == list[int]:
            value = rng.choice(([], [0], [-1], [3, 0], [10**9, -1]))
            text = typed(value)
        if kind == list[float]:
            value = rng.choice(([], [0.0], [1.0, 2.0, 3.0], [1e7, 0.0]))
            text = typed(value)
        if value is None:
            continue
        word = f"{key}={text}"
        try:
            parts = drawn.with_value(key, value)
        except ValueError:
            return Hostile((word,), (str(key), key.name))
        try:
            config = Config(**parts)
            if str(key) not in QUICK:
                load_checked(config, drawn.choices)
        except (ValueError, UserError):  # which may name what it disagrees with
            return Hostile((word,), (str(key), key.name) if not key.section else ())


def huge(rng: random.Random, drawn: Drawn) -> Hostile:
    """A number of more digits than anything has, which may be refused or lack memory."""
    key = rng.choice([k for k in keys_in(drawn.config) if {int, float, list[int]} & {*k.types}])
    digits = rng.choice((12, 20, 40, 310, 4000, 20_000))
    if str(key) == "train.steps":  # which would be right to take for ever
        digits = 20_000
    number = rng.choice("123456789") + "0" * digits
    value = f"[{number}]" if list[int] in key.types else number
    most = digits < 4300 or int not in key.types
    return Hostile((f"{key}={value}",), (), EITHER if most else REFUSED)


def interpolated(rng: random.Random, drawn: Drawn) -> Hostile:
    """An interpolation of what is not there."""
    key = str(rng.choice([*keys_in(drawn.config), *GROUPS]))
    value = rng.choice(INTERPOLATIONS)
    if rng.random() < 0.2:
        value = f"[{value}]"
    return Hostile((f"{key}={value}",), (key, key.rpartition(".")[2], "nope"))


def half_known(rng: random.Random, drawn: Drawn) -> Hostile:
    """An interpolation of what is there, which may fit."""
    key = str(rng.choice([*keys_in(drawn.config), *GROUPS]))
    key = "seed" if key in ("train.steps", *QUICK) else key
    return Hostile((f"{key}={rng.choice(HALF_KNOWN)}",), (), EITHER)


def broken(rng: random.Random, drawn: Drawn) -> Hostile:
    """A value whose quotes or brackets do not close, or a function without its arguments."""
    key = rng.choice(keys_in(drawn.config))
    value = rng.choice(BROKEN)
    text = key.type in (str, str | None)
    may = text and (value.startswith("a'b") or value in ("a}", "1]", ")"))
    return Hostile((f"{key}={value}",), (str(key), key.name, value[:5]), EITHER if may else REFUSED)


def no_setting(rng: random.Random, drawn: Drawn) -> Hostile:
    """A word that is no setting at all."""
    word = rng.choice(
        (
            *("=", "==", "=x", "=0.5", "x", "seed", "seed:1", "seed 1", "seed==1", "init he", "?"),
            *("", " ", "he", "[1]", "{}", "${seed}", "🦄", "\u202e", "'seed=1'", "seed=1 x=2", "."),
            *("~", "+", "++", "~~seed", "+++seed=1", "~nope", "~nope=1", "@", "init@", "@train=1"),
            *("\udcff", "a\nb", "seed\n=1", "-1", "- m"),
        )
    )
    bare = word.strip("~+@ ")[:3]
    named = (bare,) if bare.isprintable() and bare else ()
    return Hostile((word,), named)


def no_option(rng: random.Random, drawn: Drawn) -> Hostile:
    """What is not the name of an option, given to a group."""
    group = rng.choice((*GROUPS, "experiment", "hydra/launcher", "hydra/sweeper"))
    name = rng.choice(options(group)) if "/" not in group else rng.choice(("cores", "grid"))
    option = rng.choice(
        (
            *(f"{name}.yaml", f"../{group}/{name}", f"./{name}", f"{name}/", f"{name}x", name[1:]),
            *(name.upper(), f"{name}@x", f"/{group}/{name}", f"{{a:{name}}}", "x" * 300, "true"),
            *(f"{name}:x", "..", ".", "/", "\u202e" + name, "🦄", "1", "0.5", "/etc/passwd", "*"),
            *(f"{name} {name}", "'" + name + " '", "${nope}", f"{name}.yml", "con", "config"),
        )
    )
    return Hostile((f"{group}={option}",), (group, option, group.partition("/")[2] or group))


def added(rng: random.Random, drawn: Drawn) -> Hostile:
    """A key that is added by force, or taken away."""
    key = str(rng.choice(keys_in(drawn.config)))
    group = rng.choice(GROUPS)
    section = rng.choice((*GROUPS, "train", "tracking", "sweep"))
    refused = (
        *("+nope=1", "++nope=1", f"+{section}.nope=1", f"++{section}.nope=1", f"+{key}.x=1"),
        *(f"+{group}@nope=he", f"{group}@{section}={USUAL[group]}", f"+nope/{group}=he"),
        *(f"+{group}@nope.x={USUAL[group]}", f"++{key}x=1", f"+{section}={{nope:1}}"),
    )
    either = (
        f"~{key}",
        f"~{group}",
        f"+{key}=1",
        f"~{section}",
        f"++{section}={{}}",
        f"{section}={{}}",
    )
    if rng.random() < 0.7:
        return Hostile((rng.choice(refused),), ("nope", key, key.rpartition(".")[2], group))
    return Hostile((rng.choice(either),), (), EITHER)


def code(rng: random.Random, drawn: Drawn) -> Hostile:
    """A name of code, where only data may stand."""
    section = rng.choice((*GROUPS, "train", "tracking", "sweep"))
    key = rng.choice(("_target_", "_args_", "_partial_", "_convert_", "_recursive_"))
    sign = rng.choice(("", "+", "++"))
    value = rng.choice(("os.system", "builtins.print", "initlab.nn.layers.Dense", "true", "[1]"))
    where = rng.choice((f"{section}.", f"{section}.", ""))
    return Hostile((f"{sign}{where}{key}={value}",), (key,))


def listed(rng: random.Random, drawn: Drawn) -> Hostile:
    """Several values, where there is one run."""
    key = rng.choice(("seed", "optimizer.lr", "train.steps"))
    value = rng.choice(("1,2", "choice(1,2)", "range(1,3)", "interval(1,2)", "1,", ",1", "1,x,3"))
    return Hostile((f"{key}={value}",), (key, value), single=True)


def contradictory(rng: random.Random, drawn: Drawn) -> Hostile:
    """Settings that are valid, but not together."""
    words = rng.choice(
        (
            ("data=gaussian", "train.steps=1"),
            ("model=quadratic", "train.weight_decay=0.1"),
            ("model=quadratic", "model.hidden=[3]"),
            ("init=variance_scaling", "init.gain=auto", "init.scale=2"),
            ("train.steps=1", "model.batch_norm=true", "train.batch_size=1"),
            ("train.steps=3", "train.snapshots=[4]"),
            ("data=digits", "data.train_size=1", "data.validation=0.5", "train.batch_size=1"),
            ("train.steps=1", "data=digits", "train.batch_size=1438"),
            ("train.steps=1", "data=digits", "data.train_size=10", "train.batch_size=11"),
            ("data=gaussian", "train.steps=0", "data.train_size=3"),
            ("data=mnist", "data.root=nowhere", "data.mirrors=[]"),
            ("data=mnist", "data.root=nowhere/${seed}", "data.mirrors=[]"),
            ("data=mnist", "data.root=mlflow.db", "data.mirrors=[]"),
            ("data=fashion_mnist", "data.name=..", "data.mirrors=[]"),
            ("data=mnist", "data.root=''", "data.mirrors=[]"),
            ("data=mnist", f"data.root={'x' * 300}", "data.mirrors=[]"),
            ("data=mnist", "data.root='a\nb'", "data.mirrors=[]"),
        )
    )
    if not words[0].startswith("model="):
        words = ("model=mlp", *words)  # since model=quadratic needs no data
    named = tuple(part for word in words for part in word.partition("=")[0].split("."))
    return Hostile(words, named)


def placed(rng: random.Random, drawn: Drawn) -> Hostile:
    """A store or a folder that cannot be used, or a strange name."""
    strange = rng.choice(STRANGE)
    strange_text = "'" + strange.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if rng.random() < 0.5:
        uri = rng.choice(
            (
                *("x", "http://", "http://127.0.0.1:1", "ftp://a/b", "nope:", "://", "http://:1"),
                *("http://127.0.0.1:99999", "postgresql://127.0.0.1:1/x", "mysql://127.0.0.1:1/x"),
                *(
                    "sqlite:////proc/nope/x.db",
                    "sqlite:////dev/null/x.db",
                    "http://[::1",
                    "oracle:x",
                ),
                *(f"'http://{strange}'" if strange.isprintable() and "'" not in strange else "x",),
            )
        )
        return Hostile((f"tracking.uri={uri}",), ("tracking.uri", "uri"))
    key = rng.choice(
        ("tracking.experiment", "hydra.job.name", "hydra.run.dir", "hydra.output_subdir")
    )
    if key == "hydra.run.dir":
        strange_text = strange_text.replace("'", "'./", 1)
    return Hostile((f"{key}={strange_text}",), (), EITHER)


def of_hydra(rng: random.Random, drawn: Drawn) -> Hostile:
    """A key of Hydra's own that does not exist or has no such value."""
    word = rng.choice(
        (
            *(
                "hydra.nope=1",
                "hydra=1",
                "hydra=null",
                "hydra.mode=nope",
                "hydra/nope=1",
                "hydra.run=1",
            ),
            *("hydra.job=1", "hydra.launcher.nope=1", "hydra/launcher=nope", "hydra/sweeper=nope"),
            *("hydra.job.nope=1", "hydra.run.dir=[1]", "hydra.mode=3", "hydra/job_logging=nope"),
        )
    )
    return Hostile((word,), ("hydra", word.partition("=")[0].rpartition(".")[2]))


def flags(rng: random.Random, drawn: Drawn) -> Hostile:
    """An option that does not exist, has no such value or has none."""
    words = rng.choice(
        (
            *(
                ("--nope",),
                ("-x",),
                ("--cfg", "nope"),
                ("--cfg=",),
                ("--info=nope",),
                ("--multi=1",),
            ),
            *(("--config-name", "nope"), ("--config-dir", "nope"), ("--config-path", "nope")),
            *(("--experimental-rerun", "nope"), ("-sc", "query=nope")),
            *(("--info", "plugins", "--nope"),),
        )
    )
    return Hostile(words, tuple(re.findall(r"[\w=]+", " ".join(words).replace("=", " "))))


def odd_flags(rng: random.Random, drawn: Drawn) -> Hostile:
    """Options in odd places, or without what they belong to."""
    words = rng.choice(
        (
            *(("--resolve",), ("--package", "x"), ("-sc",), ("-sc", "query=bash"), ("--run",)),
            *(("-m", "-m"), ("--run", "-m"), ("--", "-m"), ("--config-dir", "."), ("--help", "-m")),
            *(
                ("--cfg", "job", "--help"),
                ("--info", "plugins", "--cfg", "job"),
                ("--resolve", "-m"),
            ),
            *(("--cfg", "job", "-m"), ("-sc", "uninstall=bash"), ("--info", "-m"), ("-p", "x")),
        )
    )
    return Hostile(words, (), EITHER)


def bad_sweep(rng: random.Random, drawn: Drawn) -> Hostile:
    """A grid that has no trials, has too many, or has one that cannot run."""
    word = rng.choice(
        (
            *(
                "seed=range(1e9)",
                "seed=range(0,1000000000)",
                "seed=range(1,3,0)",
                "seed=range(3,1)",
            ),
            *(
                "optimizer.lr=interval(0,1)",
                "seed=choice()",
                "seed=1,,2",
                "init=he,nope",
                "seed=0,x",
            ),
            *(
                "train.steps=1,-1",
                "dtype=float32,float16",
                "seed=0,1,",
                "seed=sort()",
                "init=glob(q*)",
            ),
            *(
                "tracking.experiment=a,b",
                "sweep.existing=skip,rerun",
                "experiment=dropout,std_scale",
            ),
            *("sweep.zip=seed", "sweep.zip=init,seed", "sweep.zip=[init]", "sweep.zip=[init,nope]"),
            *("sweep.zip=[[seed,dtype],init]", "sweep.zip={seed:init}", "sweep.zip=[seed,seed]"),
            *("optimizer=sgd,adam optimizer.momentum=1", "model.hidden=[4],[0]", "nope=1,2"),
            *("seed=range(1,inf)", "seed=range(nan)", "optimizer.lr=range(0,1,1e-300)"),
            *(
                "init=he,../init/he",
                "init=he.yaml,he",
                "seed=${nope},1",
                "seed='1,2'",
                "hydra.run.dir=a,b",
            ),
            *("hydra.sweeper.params=3", "hydra.sweeper.params=[1]", "hydra.sweeper.where=3"),
            *("hydra.sweeper.nope=1", "+hydra.sweeper.params.nope=1", "hydra.launcher.processes=x"),
            *("hydra.launcher.processes=0", "hydra.launcher.processes=-1", "hydra.sweep.dir=''"),
            *("hydra.launcher.processes=1.5", "hydra.sweeper._target_=builtins.dict"),
            *("hydra.launcher._target_=builtins.dict", "hydra.sweep.dir=/proc/nope/x"),
        )
    )
    key = word.partition("=")[0].lstrip("+")
    return Hostile(("-m", word), (key, key.rpartition(".")[2], f"{key.partition('.')[0]}.*"))


def bad_search(rng: random.Random, drawn: Drawn) -> Hostile:
    """A search of nothing, for nothing, or kept in what is no study."""
    word = rng.choice(
        (
            *("sampler=nope", "sampler=null", "sampler=grid", "trials=0", "trials=-1", "trials=x"),
            *(
                "seed=-1",
                "seed=x",
                "pruner=nope",
                "startup_trials=-1",
                "warmup_steps=-1",
                "study=''",
            ),
            *(
                "metric=nope",
                "metric=f",
                "metric=validation/loss",
                "storage=''",
                "storage=mlflow.db",
            ),
            *("nope=1", "params=3", "trials=1.5", "storage=/proc/nope/x", "_target_=builtins.dict"),
            *("storage=nope://x", "storage=.", "metric=[1]", "study=[1]"),
        )
    )
    space = "optimizer.lr=interval(0.01,0.1)"
    if rng.random() < 0.3:
        values = ("interval(1,0)", "interval(0,inf)", "tag(log,interval(0,1))", "interval(nan,1)")
        more = ("tag(nope,interval(1,2))", "interval(1,x)", "interval(-1,1)", "0.1", "range(1,0)")
        space, word = f"optimizer.lr={rng.choice((*values, *more))}", "trials=1"
        named = ("optimizer.lr", "search")
    else:
        named = ("hydra.sweeper", word.partition("=")[0])
    return Hostile(("-m", "hydra/sweeper=search", space, f"hydra.sweeper.{word}"), named)


VALID_LINES = {single: 12, sweep: 2, search: 1, shown: 3}
HOSTILE_LINES = {
    misspelt: 8,
    wrong_type: 8,
    out_of_range: 10,
    huge: 3,
    interpolated: 5,
    half_known: 2,
    broken: 6,
    no_setting: 4,
    no_option: 6,
    added: 4,
    code: 2,
    listed: 2,
    contradictory: 3,
    placed: 4,
    of_hydra: 2,
    flags: 2,
    odd_flags: 1,
    bad_sweep: 4,
    bad_search: 3,
}


def key_of(word: str) -> str:
    """Return the key that a word sets."""
    return word.lstrip("+~").partition("=")[0]


def command_line(rng: random.Random) -> CommandLine:
    """Return the next command line."""
    weights: dict[Any, float] = {**VALID_LINES, **HOSTILE_LINES}
    (make,) = rng.choices([*weights], [*weights.values()])
    return line_of(rng, make)


def line_of(rng: random.Random, make: Any) -> CommandLine:
    """Return the next command line of a kind: a valid one, or one with what `make` returns."""
    if make in VALID_LINES:
        line: CommandLine = make(rng)
        return line
    drawn = draw_config(rng, 1, rng.randint(0, 2))
    hostile: Hostile = make(rng, drawn)
    taken = {key_of(word) for word in hostile.words}
    words = [word for word in (*drawn.words, QUIET) if key_of(word) not in taken]
    if make in (bad_sweep, bad_search):
        words = ["hydra/launcher=basic", "train.steps=2", QUIET]
        words = [word for word in words if key_of(word) not in taken]
    elif make not in (flags, odd_flags) and not hostile.single and rng.random() < 0.15:
        words = ["-m", "hydra/launcher=basic", "seed=0,1", *words]
        words = [word for word in words if key_of(word) not in taken]
    options_ = [word for word in words if word.startswith("-")]
    words = [word for word in words if not word.startswith("-")]
    if hostile.words[0].startswith("-"):  # its words belong together
        words = [*hostile.words, *words]
    else:
        rng.shuffle(words)
        at = rng.randint(0, len(words))
        words[at:at] = hostile.words
    return CommandLine(
        (*options_, *words), hostile.expected, make.__name__, hostile.words, hostile.named
    )
