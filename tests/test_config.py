"""Every option of every group composes, and every mistake is explained."""

import dataclasses
import functools
import re

import pytest
from conftest import composed_with
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.config import (
    GROUPS,
    PROJECT,
    SCHEMAS,
    ConfigError,
    build,
    explain,
    help_page,
    options,
    register,
    restore,
)

OPTIONS = [(group, option) for group in GROUPS for option in options(group)]


@pytest.fixture(autouse=True, scope="module")
def hydra():
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        yield


def built(*overrides):
    return build(compose("config", list(overrides)))


def mistake(*overrides):
    """Return what a user reads."""
    try:
        built(*overrides)
    except ConfigError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return explain(error)
    pytest.fail(f"{overrides} was accepted")


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_into_the_object_that_runs(group, option):
    config = build(composed_with(group, option))
    assert type(getattr(config, group)) in SCHEMAS[group].values()


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_says_what_it_is(group, option):
    text = (PROJECT / "conf" / group / f"{option}.yaml").read_text()
    comment = re.match(r"(# .+\n)+", text)
    assert comment
    assert len(comment.group()) > 40


@pytest.mark.parametrize(("group", "name"), [(g, n) for g, names in SCHEMAS.items() for n in names])
def test_every_schema_has_an_option(group, name):
    files = (PROJECT / "conf" / group).glob("*.yaml")
    assert any(f"/schema/{group}@_here_: {name}\n" in file.read_text() for file in files)


# The groups of the design, in its order.
DESIGN = {
    "init": """
        zeros const001 std1 std01 std001 std0001 xavier xavier_sum xavier_normal xavier_uniform
        he he_uniform he_fan_out lecun lecun_uniform truncated_normal orthogonal identity sparse
        lsuv variance_scaling
    """,
    "activation": """
        identity sigmoid tanh relu leaky_relu elu selu gelu silu softplus softsign hard_tanh
    """,
    "optimizer": "sgd momentum nesterov adagrad rmsprop adadelta adam adamw nadam lion",
    "schedule": "constant step exponential cosine warmup_cosine",
    "model": "mlp mlp_small mlp_deep mlp_stack mlp_residual quadratic",
    "data": "digits mnist fashion_mnist gaussian",
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_the_design_is_there(group):
    assert {*options(group)} >= {*DESIGN[group].split()}


# option: (std at fan-in 300 and fan-out 100, uniform or normal), as the design's table says.
LAWS = {
    "std1": (1.0, "normal"),
    "std01": (0.1, "normal"),
    "std001": (0.01, "normal"),
    "std0001": (0.001, "normal"),
    "xavier": ((1 / 300) ** 0.5, "normal"),
    "xavier_sum": ((1 / 400) ** 0.5, "normal"),
    "xavier_normal": ((2 / 400) ** 0.5, "normal"),
    "xavier_uniform": ((2 / 400) ** 0.5, "uniform"),
    "he": ((2 / 300) ** 0.5, "normal"),
    "he_uniform": ((2 / 300) ** 0.5, "uniform"),
    "lecun": ((1 / 300) ** 0.5, "normal"),
    "lecun_uniform": ((1 / 300) ** 0.5, "uniform"),
}


@pytest.mark.parametrize("option", LAWS)
def test_an_option_of_init_is_the_law_of_its_name(option):
    init = build(composed_with("init", option)).init
    std, distribution = LAWS[option]
    assert init.exact_std(300, 100) == pytest.approx(std, rel=1e-12)
    assert getattr(init, "distribution", "normal") == distribution


@pytest.mark.parametrize(("option", "value"), [("zeros", 0.0), ("const001", 0.01)])
def test_an_option_of_init_is_the_constant_of_its_name(option, value):
    assert build(composed_with("init", option)).init.value == value


@pytest.mark.parametrize(
    ("option", "hidden"), [("mlp", [200, 200]), ("mlp_small", [128]), ("mlp_deep", [100] * 5)]
)
def test_an_option_of_model_has_the_sizes_of_the_design(option, hidden):
    assert build(composed_with("model", option)).model.hidden == hidden


# What is typed, and what the message must say.
MISTAKES = {
    "init=hee": ["init=hee", "Did you mean he?", "xavier_normal"],
    "inti=he": ["inti", "Did you mean init", "optimizer"],
    "optimizer.rl=0.1": ["optimizer.rl", "Did you mean lr?"],
    "optimizer.lr=abc": ["optimizer.lr", "number", "'abc'"],
    "optimizer.lr=-1": ["optimizer.lr must be greater than 0; got -1.0"],
    "optimizer.lr=nan": ["optimizer.lr must be greater than 0; got nan"],
    "optimizer.lr=inf": ["optimizer.lr must be greater than 0; got inf"],
    "train.batch_size=0": ["train.batch_size must be at least 1; got 0"],
    "train.steps=-1": ["train.steps must be at least 0; got -1"],
    "train.steps=1.5": ["train.steps must be an integer; got 1.5"],
    "train.snapshots=[2000]": ["train.snapshots", "0 to 1000", "2000"],
    "train.batching=shufle": ["train.batching must be one of shuffle, random, fixed", "'shufle'"],
    "train.weight_decay=-1": ["train.weight_decay must be at least 0; got -1"],
    "train.threads=0": ["train.threads must be at least 1; got 0"],
    "train=3": ["train must be a group of keys; got 3"],
    "model.hidden=[]": ["model.hidden", "got []"],
    "model.hidden=[100,-3]": ["model.hidden", "got [100, -3]"],
    "model.hidden=5": ["model.hidden must be a list"],
    "model.hidden=[a]": ["model.hidden[0]", "'a'", "Integer"],
    "init.mode=fanin": ["init.mode must be one of fan_in, fan_out, fan_avg", "got 'fanin'"],
    "init.scale=-2": ["init.scale must be greater than 0; got -2.0"],
    "init=xavier init.gain=big": [
        "init.gain must be auto, critical or a number greater than 0; got 'big'"
    ],
    "init=he init.gain=critical": ["init.scale must be 1 where gain is critical; got 2.0"],
    "activation=gelu init=xavier init.gain=critical": [
        "init.gain=critical: Gelu is critical only at a variance",
        "init=lsuv",
    ],
    "activation=softplus init=xavier init.gain=critical": [
        "init.gain=critical: Softplus has no critical gain with model.bias_std=0; "
        "take init.gain=auto"
    ],
    "activation=relu init=xavier init.gain=critical model.bias_std=0.1": [
        "init.gain=critical: Relu has no critical gain with model.bias_std=0.1; "
        "take model.bias_std=0"
    ],
    "init=he init.gain=auto": ["init.scale must be 1 where gain is auto; got 2.0"],
    "model.output_init=zero": ["model.output_init=zero", "Did you mean zeros", "xavier_normal"],
    "model.dropout=1": ["model.dropout must be at least 0 and less than 1; got 1.0"],
    "model.bias_std=-1": ["model.bias_std must be at least 0; got -1.0"],
    "model.bias_std=nan": ["model.bias_std must be at least 0; got nan"],
    "model.bias_std=inf": ["model.bias_std must be at least 0; got inf"],
    "model.bias_std=0.1 model.bias=false": [
        "model.bias_std must be 0 where bias is false; got 0.1"
    ],
    "model=mlp_stack model.depth=0": ["model.depth must be at least 1; got 0"],
    "model=mlp_stack model.width=0": ["model.width must be at least 1; got 0"],
    "model.batch_norm=maybe": ["model.batch_norm must be true or false; got 'maybe'"],
    "model.batch_norm=true train.batch_size=1": ["train.batch_size must be at least 2", "got 1"],
    "model=quadratic train.weight_decay=0.1": ["train.weight_decay must be 0", "got 0.1"],
    "model=quadratic model.start=[1]": ["model.start must be a list of x and y; got [1.0]"],
    "schedule=cosin": ["schedule=cosin", "Did you mean cosine", "warmup_cosine"],
    "dtype=float16": ["dtype must be one of float32, float64; got 'float16'"],
    "seed=null": ["seed must be an integer; got null"],
    "seed=-1": ["seed must be at least 0; got -1"],
    "tracking.timeout=0": ["tracking.timeout must be greater than 0 and at most 86400; got 0"],
    "tracking.timeout=inf": ["tracking.timeout must be", "at most 86400; got inf"],
    "tracking.timeout=nan": ["tracking.timeout must be", "at most 86400; got nan"],
    "tracking.timeout=soon": ["tracking.timeout must be a number; got 'soon'"],
    "tracking.experiment=": ["tracking.experiment must not be empty"],
    f"tracking.experiment={'a' * 501}": ["tracking.experiment must have at most 500 characters"],
    "tracking.experiment='a\x1b[2J'": ["tracking.experiment must", "printable; got 'a\\x1b[2J'"],
    "data=gaussian": ["train.steps must be 0", "labels", "got 1000"],
    "init=xavier init.gain=null": ["init.gain must be a number or a string; got null"],
    "+layer_inits.output=1": ["layer_inits", "no key or group 'layer_inits'"],
    "train.steps=1" + "0" * 400: ["train.steps must be at most 9223372036854775807; got 1000"],
    "schedule=constant schedule.gamma=1": ["schedule.gamma", "no key 'gamma'. It has none."],
    "schedule=step schedule.gamma=0": [
        "schedule.gamma must be greater than 0 and at most 1; got 0.0"
    ],
    "+zz=1": ["zz", "no key or group"],
    "+optimizer.rl=1": ["optimizer.rl", "Did you mean lr?"],
    "~init": ["init: nothing is chosen", "xavier"],
    "steps": ["'steps'", "key=value"],
    "model.hidden=${dtype}": ["model.hidden must be a list", "got 'float32'"],
    "model.hidden=${nope}": ["model.hidden: its interpolation fails", "'nope' not found"],
    "model.hidden=['${dtype}']": ["model.hidden[0] must be an integer; got 'float32'"],
    "train.snapshots=${dtype}": ["train.snapshots must be a list", "got 'float32'"],
    "train.snapshots=${nope}": ["train.snapshots: its interpolation fails", "'nope' not found"],
    "model=quadratic model.start=${dtype}": ["model.start must be a list", "got 'float32'"],
    "data=mnist data.mirrors=${dtype}": ["data.mirrors must be a list", "got 'float32'"],
    "data=mnist data.sha256=${data.mirrors}": ["data.sha256 must be a group of keys; got ['http"],
    "train=${model}": ["train must be a group of keys; got {'bias'"],
    "schedule=step schedule.every=${oc.env:NOPE}": [
        "schedule.every: its interpolation fails: Environment variable 'NOPE' not found"
    ],
    "seed=${seed}": ["seed: its interpolation fails: Recursive interpolation"],
    "seed='???'": ["seed must have a value; got '???'"],
    "optimizer.lr='???'": ["optimizer.lr must have a value; got '???'"],
    "model.hidden=['???']": ["model.hidden[0] must have a value; got '???'"],
}


def test_width_and_depth_of_a_stack_are_settings_of_their_own():
    model = built("model=mlp_stack", "model.width=300", "model.depth=50").model
    assert model.sizes == [300] * 50
    assert built("model=mlp_stack").model.sizes == [100] * 10


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_told_with_the_key_the_value_and_the_choices(typed):
    message = mistake(*typed.split())
    for part in MISTAKES[typed]:
        assert part in message
    assert "Traceback" not in message


def test_an_interpolation_that_fits_is_replaced_by_what_it_stands_for():
    built_config = built("model.hidden=${train.snapshots}", "train.snapshots=[3,4]", "seed=5")
    assert built_config.model.hidden == [3, 4]
    assert built("optimizer.lr=${seed}", "seed=5").optimizer.lr == 5.0


def test_a_momentum_beyond_one_is_refused():
    message = mistake("optimizer=momentum", "optimizer.momentum=1.5")
    assert message == "optimizer.momentum must be at least 0 and less than 1; got 1.5"


CLASS_LINE = """
  defaults:
    - /schema/init@_here_: <class>
    - _self_
Classes: """
NAMING_CODE = [
    "+init._target_=x",
    "init._target_=x",
    "++init._target_=x",
    "~init +init={_target_:x}",
]


@pytest.mark.parametrize("typed", NAMING_CODE)
def test_a_config_cannot_name_code(typed):
    message = mistake(*typed.split())
    assert "init has no key '_target_': a config is data and cannot name code" in message
    assert CLASS_LINE in message
    assert "VarianceScaling" in message
    assert "docs/extending.md" in message


def test_a_config_cannot_name_code_at_its_top_or_in_a_list():
    assert mistake("+_target_=x").endswith("a config is data and cannot name code.")
    assert "model.hidden[0] must be a plain value" in mistake("model.hidden=[{_target_:x}]")


SCHEMA_LINE = "defaults:\n  - /schema/init@_here_: VarianceScaling\n  - _self_\n"
# A file of conf/init/, and what is said of it.
FILES = {
    "_target_: os.system\n": ["init._target_: ", "cannot name code", CLASS_LINE],
    f"{SCHEMA_LINE}_target_: os.system\n": ["init._target_: ", "cannot name code", CLASS_LINE],
    f"{SCHEMA_LINE}inner:\n  _target_: x\n": ["init.inner: ", "Choices: scale, gain"],
    "scale: 2.0\n": ["init.scale: the option names no class", CLASS_LINE],
    f"{SCHEMA_LINE}scale: big\n": ["init.scale must be a number; got 'big'"],
}


@pytest.mark.parametrize("text", FILES)
def test_a_mistake_in_a_file_is_told_with_the_file(text, tmp_path):
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mine.yaml").write_text(text)
    message = mistake(f"hydra.searchpath=[{tmp_path.as_uri()}]", "init=mine")
    assert message.startswith("init/mine.yaml: init.")
    for part in FILES[text]:
        assert part in message


def test_an_option_that_names_no_class_and_sets_nothing_is_refused(tmp_path):
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mine.yaml").touch()
    message = mistake(f"hydra.searchpath=[{tmp_path.as_uri()}]", "init=mine")
    assert message.startswith("init: the option names no class.")
    assert CLASS_LINE in message


def test_a_config_without_the_schema_is_refused():
    with pytest.raises(ConfigError, match="must begin with `- schema`"):
        build(OmegaConf.create({"init": {"_target_": "os.system"}}))


CHOSEN = dict(zip(GROUPS, ["he", "relu", "sgd", "constant", "mlp", "digits"], strict=True))


@functools.cache
def recorded(*overrides):
    """Return config.yaml as a run of these settings leaves it."""
    return OmegaConf.to_yaml(compose("config", list(overrides)), resolve=True)


@pytest.mark.parametrize(
    "typed",
    [
        "init=xavier init.gain=auto model.output_init=zeros",
        "init=sparse activation=leaky_relu dtype=float64",
        "optimizer=nadam optimizer.lr=0.012345678901234567 optimizer.eps=1e-300",
        "schedule=warmup_cosine seed=7",
        "model=mlp_residual train.snapshots=[0,7] train.weight_decay=1e-5",
        "model=quadratic model.start=[-1e-9,2]",
        "data=mnist data.train_size=100 model.hidden=[5,6]",
        "data=gaussian train.steps=0",
    ],
)
def test_a_recorded_config_is_restored_to_the_last_bit(typed):
    composed = compose("config", typed.split())
    groups = dict(word.split("=") for word in typed.split() if word.partition("=")[0] in GROUPS)
    config, plain = restore(CHOSEN | groups, OmegaConf.to_yaml(composed, resolve=True))
    assert config == build(composed)
    assert plain == OmegaConf.to_container(composed)


def test_where_things_are_is_restored_from_here_and_not_from_the_record():
    elsewhere = ["data.root=/elsewhere", "data.timeout=7", "tracking.uri=sqlite:///x", "seed=7"]
    chosen = CHOSEN | {"data": "mnist"}
    config, plain = restore(chosen, recorded("data=mnist", *elsewhere))
    assert config == built("data=mnist", "seed=7")
    assert plain["tracking"]["uri"] is None


def test_what_a_run_made_no_use_of_is_not_restored():
    text = recorded("model=quadratic", "init=zeros", "data=gaussian", "optimizer.lr=0.3")
    chosen = {"model": "quadratic", "optimizer": "sgd", "schedule": "constant"}
    assert restore(chosen, text)[0] == built("model=quadratic", "optimizer.lr=0.3")


# What stands at the end of a config.yaml, and what the message must say.
REFUSED = {
    "_target_: os.system": ["_target_: a config is data and cannot name code"],
    "init: {_target_: os.system}": ["init._target_: a config is data"],
    "data: {x: [{_partial_: true}]}": ["data.x[0]._partial_: a config is data"],
    "seed: !!python/object/apply:os.system [ls]": ["line 1: a tag (!) is not allowed"],
    "\n!!python/name:os.system x: 1": ["line 2: a tag (!) is not allowed"],
    "seed: !mine 1": ["line 1: a tag (!) is not allowed"],
    "%TAG ! tag:example,2000:\n---\nseed: 1": ["line 1: a directive (%) is not allowed"],
    "seed: 2020-01-01": ["seed must be a plain value; got '2020-01-01'"],
    "<<: {seed: 1}": ["line 1: a key must be a name"],
    "seed: ${oc.env:HOME}": ["seed: an interpolation", "'${oc.env:HOME}'"],
    "init: {mode: 'a${init.x}'}": ["init.mode: an interpolation"],
    "seed: ???": ["seed must be a plain value; got '???'"],
    'dtype: "\\e[2J"': ["dtype must be a plain value; got '\\x1b[2J'"],
    "a: &a [1]": ["line 1: an anchor (&) is not allowed"],
    "a: 1\nb: *a": ["line 2: an alias (*) is not allowed"],
    "seed: 1\nseed: 2": ["seed is set twice"],
    "1: 2": ["line 1: a key must be a name"],
    "[1]: 2": ["line 1: a key must be a name"],
    "optimizer.lr: 2": ["no key or group 'optimizer.lr'. Did you mean optimizer?"],
    "layer_inits: {output: 1}": ["no key or group 'layer_inits'"],
    "hydra: {sweeper: x}": ["no key or group 'hydra'"],
    "train: {stepz: 1}": ["train.stepz", "Did you mean steps?"],
    "train: {steps: abc}": ["train.steps must be an integer; got 'abc'"],
    "train: {steps: -1}": ["train.steps must be at least 0; got -1"],
    "train: {snapshots: [[1]]}": ["train.snapshots[0] must be a plain value"],
    "train: 3": ["train must be a group of keys; got 3"],
    "init: null": ["init must be a group of keys"],
    "optimizer: {lr: .inf}": ["optimizer.lr must be greater than 0; got inf"],
    "model: {output_init: ../he}": ["model.output_init=../he: there is no such option"],
    "seed: [1]": ["seed must be an integer; got [1]"],
    "seed: 1" + "0" * 5000: ["a value cannot be read", "4300 digits"],
    "seed: " + "[" * 1500: ["too deep"],
    "seed: " + "9:" * 500 + "9.5": ["a value cannot be read"],
    "seed: {": ["line 1: "],
    "seed: 1\n---\nseed: 2": ["line 2: "],
    "\x1b": ["#x001b"],
    "- seed": ["must be a mapping"],
    "": ["must be a mapping"],
    "#" * 1_000_001: ["at most 1,000,000 characters; got 1,000,001"],
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_a_recorded_config_that_is_more_than_values_is_refused_and_its_key_is_named(text):
    with pytest.raises(ConfigError) as caught:
        restore(CHOSEN, text)
    for part in REFUSED[text]:
        assert part in str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_aliases_that_would_be_a_billion_values_are_refused_at_once():
    lines = ["a0: &a0 [1, 1]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    with pytest.raises(ConfigError, match="an anchor"):
        restore(CHOSEN, "\n".join(lines))


@pytest.mark.parametrize("option", ["../he", "/etc/passwd", "he.yaml", "", "he,std1", "nope"])
def test_a_recorded_option_that_is_no_file_of_conf_is_refused(option):
    with pytest.raises(ConfigError, match=f"init={option}: there is no such option"):
        restore(CHOSEN | {"init": option}, recorded())


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_of_which_no_option_was_recorded_is_refused(group):
    chosen = {name: option for name, option in CHOSEN.items() if name != group}
    with pytest.raises(ConfigError, match=f"{group}: nothing is chosen"):
        restore(chosen, recorded())


def test_the_help_page_lists_every_option_within_80_columns():
    page = help_page.list_options()
    for group, option in OPTIONS:
        line = re.search(rf"^  {group} .*(\n {{14}}.*)*", page, re.MULTILINE)
        assert line
        assert re.search(rf"(^| ){option}\*?( |$)", line.group(), re.MULTILINE)
    template = (PROJECT / "conf" / "hydra" / "help" / "initlab.yaml").read_text()
    lines = [line[2:] for line in template.splitlines() if line.startswith("  ")]
    assert max(len(line) for line in lines + page.splitlines()) <= 80


@pytest.mark.parametrize("key", ["seed", "dtype", "train", "tracking"])
def test_the_help_page_names_the_settings(key):
    template = (PROJECT / "conf" / "hydra" / "help" / "initlab.yaml").read_text()
    assert f"    {key}" in template


def test_the_help_page_names_only_settings_that_exist():
    template = (PROJECT / "conf" / "hydra" / "help" / "initlab.yaml").read_text()
    config = built()
    for section, key in re.findall(r"\b(train|tracking)\.(\w+)=", template):
        schema = type(getattr(config, section))
        assert key in [field.name for field in dataclasses.fields(schema)]
