"""The command line is refused in one clear message, whatever was typed."""

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from initlab.checks import LARGEST, shorten
from initlab.config import ConfigError, read_overrides, refuse_invalid

NINES = "9" * 20_000
DEEP = "[" * 200 + "1" + "]" * 200
NAME = "a" * 300

# What is typed, and what the message must say.
FAULTS = {
    "init=he -m seed=1,2": ["flags such as -m must stand before all settings", "-m init=he seed"],
    "seed=1 --cfg job init=he": ["  python src/train.py --cfg job seed=1 init=he"],
    "--nope": ["--nope: there is no such flag; see --help"],
    "--optimizer.lr=0.1": ["no such flag. Settings have no dashes: optimizer.lr=0.1"],
    "--cfg": ["--cfg/-c", "expected one argument"],
    "--cfg nope": ["--cfg/-c", "'nope'", "job"],
    "--config-dir": ["--config-dir", "expected one argument"],
    "--resolve": ["--resolve goes with --cfg or --help"],
    "--package init": ["--package goes with --cfg"],
    "--experimental-rerun config.pickle": ["--experimental-rerun would run code", "reproduce.py"],
    "-sc": ["-sc must be followed by install=, uninstall= or query=", "got nothing"],
    "-sc install=tcsh": ["bash, fish, zsh; got install=tcsh"],
    "-sc query=bash": ["called by the shell itself", "-sc install=bash"],
    "=0.5": ["=0.5: a key must stand before the ="],
    "+=0.5": ["+=0.5: a key must stand before the ="],
    "optimizer.lr": ["cannot read 'optimizer.lr'", "key=value"],
    "optimizer..lr=1": ["cannot read 'optimizer..lr=1': 'optimizer..lr' cannot be a key"],
    "größe=1": ["'größe' cannot be a key"],
    "seed=1,choice(2,3)": ["seed=1,choice(2,3): choice()", "must stand alone"],
    "model.hidden=[range(3)]": ["model.hidden=[range(3)]: choice(), range()"],
    "model.hidden=3,4": ["several values are a sweep: add -m", "  'model.hidden=[3,4]'\n"],
    "seed=range(3)": ["seed=range(3): several values are a sweep: add -m"],
    "seed=int(abc)": ["seed=int(abc): ", "'abc'"],
    "data.name='a\0b'": ["a text cannot have a null character"],
    "seed=foo(1)": ["seed=foo(1): Unknown function 'foo'"],
    "seed=range(0,inf)": ["seed=range(0,inf): the ends must be finite numbers"],
    "seed=range(nan)": ["seed=range(nan): the ends must be finite numbers"],
    f"seed={NINES}": ["20000 digits"],
    f"optimizer.lr={NINES[:400]}": ["optimizer.lr=999", "a number has too many digits"],
    f"model.start=[{NINES[:400]},1]": ["model.start=[999", "a number has too many digits"],
    f"model.hidden={DEEP}": ["model.hidden=[[[", "nested too deeply"],
    f"model.hidden={DEEP * 5}": ["model.hidden=[[["],
    f"+x={'{a:' * 200}1{'}' * 200}": ["nested too deeply"],
    f"{NAME}=1": ["aaa", "at most 200 characters"],
    f"+train.{NAME}=1": ["aaa", "at most 200 characters"],
    "hydra.sweeper._target_=os.system": ["hydra.sweeper._target_", "cannot name code"],
    "hydra.launcher._target_=os.system": ["hydra.launcher._target_", "cannot name code"],
    "+hydra.callbacks.x={_target_:os.system}": ["hydra.callbacks.x", "cannot name code"],
    "hydra={sweeper:{_target_:os.system}}": ["cannot name code"],
    "hydra.sweeper=3": ["hydra.sweeper=3: hydra.sweeper must be a group of keys"],
    "~hydra.launcher": ["hydra.launcher must be a group of keys"],
    "hydra/sweeper=basic": ["hydra/sweeper=basic: the choices are grid and search"],
    "init=null": ["init=null: there is no such option", "xavier"],
    "init=1": ["init=1: there is no such option. Did you mean std1"],
    "-m init=he,null": ["init=null: there is no such option"],
    "init=[he,xavier]": ["init=['he', 'xavier']: there is no such option"],
    "experiment=[three_inits]": ["experiment=['three_inits']: there is no such option"],
    "init.gain=${oc.decode:nope(}": ["init.gain=${oc.decode", "its interpolation cannot be read"],
    "model.hidden=[${oc.decode:nope(}]": ["model.hidden=[${oc", "its interpolation cannot be read"],
    "-m init.gain=a,'${nope'": ["init.gain=a,", "its interpolation cannot be read"],
    "init=../init/he": ["init=../init/he: there is no such option", "xavier"],
    "-m experiment=./three_inits init.nope=1": ["experiment=./three_inits: there is no such"],
    "-m init=he,'he.yaml'": ["init=he.yaml: there is no such option"],
    "model=${nope}": ["model=${nope}: there is no such option", "mlp"],
}


@pytest.mark.parametrize("typed", FAULTS, ids=lambda typed: typed[:40])
def test_a_fault_in_the_command_line_is_told_at_once(typed, monkeypatch):
    monkeypatch.delenv("COMP_LINE", raising=False)
    with pytest.raises(ConfigError) as caught:
        refuse_invalid(typed.split())
    for part in FAULTS[typed]:
        assert part in str(caught.value)
    assert len(shorten(str(caught.value))) < 800


@pytest.mark.parametrize("value", ["it's", "(a)", "a(b", '"a', "a=b", "a<b", "é", "a, b)", "[1"])
def test_a_text_that_needs_quotes_is_shown_with_them(value):
    with pytest.raises(ConfigError, match="needs quotes") as caught:
        refuse_invalid([f"tracking.experiment={value}"])
    (shown,) = shlex.split(str(caught.value).splitlines()[1])
    (override,) = OverridesParser.create().parse_overrides([shown])
    assert override.value() == value


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "-m seed=1,2 init=he,xavier",
        "init=he -m",
        "--cfg job --resolve --package init",
        "-sc install=fish",
        "model.hidden=[1,2] +x={a:[1,{b:2}]}",
        "-m init={scale:1},he,'xavier' optimizer=range(3) activation=glob(*)",
        "-m optimizer.lr=${seed} seed=choice(1,2)",
        "hydra.mode=MULTIRUN seed=1,2",
        "-m optimizer.lr=tag(log,interval(1e-4,1)) init=glob(*)",
        "hydra/sweeper=search hydra/launcher=basic hydra.sweeper.params.seed=3",
        f"seed={LARGEST} ~experiment optimizer.lr=nan",
        "tracking.experiment='_target_'",
    ],
)
def test_what_hydra_can_read_is_left_to_it(typed):
    refuse_invalid(typed.split())


def test_the_shell_may_ask_for_completions(monkeypatch):
    monkeypatch.setenv("COMP_LINE", "python src/train.py ini")
    refuse_invalid(["-sc", "query=bash"])


def test_settings_are_read_as_hydra_reads_them():
    first, second = read_overrides(["+a.b=[1,'2']", "c=1,2"])
    assert (first.get_key_element(), first.value()) == ("+a.b", [1, "2"])
    assert [*second.sweep_string_iterator()] == ["1", "2"]


def test_a_word_that_would_fill_lines_is_cut_and_others_are_not():
    path = "/".join(["folder"] * 30)
    assert shorten(f"in {path}\n") == f"in {path}\n"
    assert shorten(f"got {NINES}\nor 3") == f"got {'9' * 100}… (20000 characters)\nor 3"


# What once ended in a traceback, a hang, or a run of a wrong name.
RUNS = [
    (["init=he.yaml"], ["init=he.yaml: there is no such option", "Did you mean he?"]),
    (["init=../init/he"], ["init=../init/he: there is no such option", "xavier"]),
    (["experiment=../experiment/three_inits"], ["experiment=../", "no such option"]),
    (["hydra/help=initlab.yaml"], ["hydra/help=initlab.yaml: there is no such option"]),
    (["~init"], ["init: nothing is chosen", "xavier"]),
    (["~seed"], ["seed must not be deleted"]),
    (["hydra.job.env_copy=[NOPE]"], ["Hydra cannot use the settings", "KeyError: 'NOPE'"]),
    (["hydra.searchpath=[zzz://nope]"], ["Hydra cannot use the settings", "zzz"]),
    (["model.input_init=he.yaml"], ["model.input_init=he.yaml: there is no such option"]),
    ([f"seed={NINES}"], ["seed=999"]),
    ([f"train.threads={NINES[:30]}"], ["train.threads must be at most 1024; got 999"]),
    ([f"model.hidden=[{NINES[:30]}]"], ["model.hidden must be at most 100000000; got 999"]),
    (["model=mlp_residual", "model.blocks=1000000"], ["model.blocks must be at most 10000"]),
    (["model=mlp_stack", "model.depth=1000000"], ["model.depth must be at most 10000"]),
    (["data=gaussian", f"data.samples={NINES[:30]}"], ["data.samples must be at most 100000000"]),
    (["activation=softplus", "activation.beta=1e-300"], ["activation.beta must be", "1e-300"]),
    (["data=mnist", "data.root=/no/such/folder"], ["data.root=/no/such/folder: there is no"]),
    (["data=mnist", "data.root='~nobody/x'"], ["data.root=~nobody/x: there is no such folder"]),
    (["data=mnist", f"data.root={'x' * 299}"], ["data.root=xxx", "there is no such folder"]),
    (["data=mnist", "data.root="], ["data.root must be null or the name of a folder; got ''"]),
    (["data=mnist", "data.timeout=1e300"], ["data.timeout must be", "at most 86400; got 1e+300"]),
]
SWEEPS = [
    (["init=he.yaml,xavier"], ["init=he.yaml: there is no such option", "xavier"]),
    (["experiment=optimizer_paths.yaml"], ["experiment=optimizer_paths.yaml: there is no"]),
    (["hydra/sweeper=search", "init=he,he.yaml"], ["init=he.yaml: there is no such option"]),
    (["seed=range(1e9)"], ["hydra.sweeper.limit must be", "1,000,000,000"]),
    (["hydra/sweeper=search", "seed=range(1e9)"], ["hydra.sweeper.limit", "1,000,000,000"]),
    (
        [
            "hydra/sweeper=search",
            "hydra.sweeper.sampler=grid",
            "hydra.sweeper.limit=100",
            "seed=range(20)",
            "hydra.sweeper.trials=9",
            "optimizer.lr=choice(1,2,3,4,5,6)",
        ],
        ["hydra.sweeper.limit must be at least the number of trials, 120", "20 of seed", "got 100"],
    ),
    (
        ["hydra/sweeper=search", f"hydra.sweeper.trials={NINES[:30]}", "seed=1,2"],
        ["hydra.sweeper.trials must be at most 100000, which is hydra.sweeper.limit; got 999"],
    ),
    (["+hydra.sweeper.params.seed='1,choice(2,3)'"], ["seed=1,choice(2,3): choice()"]),
    (["model.hidden=${hydra:job.name}", "seed=1,2"], ["model.hidden", "interpolation fails"]),
]


@pytest.mark.parametrize(("typed", "words"), RUNS, ids=lambda part: " ".join(part)[:40])
def test_a_mistake_in_a_run_ends_in_one_message_and_leaves_nothing(lab, capsys, typed, words):
    assert lab.run(*typed) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    for word in words:
        assert word in error
    assert lab.found("") == []
    assert not any(lab.outputs.glob("*"))


@pytest.mark.parametrize(("typed", "words"), SWEEPS, ids=lambda part: " ".join(part)[:40])
def test_a_mistake_in_a_sweep_ends_in_one_message_and_leaves_nothing(lab, capsys, typed, words):
    lab.refuses(capsys, words, "-m", *typed)


def test_the_sweeper_of_hydra_is_refused_with_what_it_would_lose(lab, capsys):
    words = ["the choices are grid and search", "report nothing"]
    lab.refuses(capsys, words, "-m", "hydra/sweeper=basic", "seed=1,2")


def test_the_limit_of_a_grid_can_be_raised(lab, capsys):
    line = ["-m", "seed=range(5)", "sweep.dry_run=true", "tracking.enabled=false"]
    lab.refuses(capsys, ["the number of trials, 5", "got 4"], *line, "hydra.sweeper.limit=4")
    assert lab.run(*line, "hydra.sweeper.limit=5") == 0
    assert len(re.findall("seed=", capsys.readouterr().out)) == 5


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (f"hydra.output_subdir='{'µ' * 150}'", "255 bytes"),
        ("hydra/launcher=0.5", "hydra/launcher=0.5: a config group wants"),
        ("init@x=1", "init@x=1: a config group wants"),
        ("hydra.output_subdir='\udcff'", "hydra.output_subdir"),
        ("@train=1", "@train=1: a group must stand before the @"),
    ],
)
def test_a_setting_of_hydra_at_which_it_would_fail_later_is_refused(capsys, typed, words):
    with pytest.raises(ConfigError, match=words):
        refuse_invalid([typed])
