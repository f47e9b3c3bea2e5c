"""The grid of a sweep: all combinations, but for the keys that `sweep.zip` walks together."""

import re

import pytest

from initlab.config import ConfigError, read_overrides
from initlab.sweep import grid

ZIP = "sweep.zip=[init,activation]"
THREE = ["init=xavier,he,lecun", "activation=tanh,relu,selu"]
QUIET = ["train.steps=2", "model.hidden=[5]", "tracking.pictures=false"]


def combinations(*typed, zipped=(), where=None, limit=100):
    return grid.combinations(read_overrides(typed), where or {}, limit, zipped)


def listed(lab, capsys, *typed):
    """Return the names of the trials of a sweep, in their order."""
    capsys.readouterr()
    assert lab.run("-m", *typed, "tracking.enabled=false", "sweep.dry_run=true") == 0
    return [
        re.split(r"\s{2,}", line.lstrip("0123456789 "))[0]
        for line in capsys.readouterr().out.splitlines()
        if re.search(r"  new *$", line)
    ]


def test_without_zipped_keys_a_grid_is_the_product_that_hydra_makes():
    assert combinations("a=1,2", "b=3", "c=x,y") == [
        ["a=1", "b=3", "c=x"],
        ["a=1", "b=3", "c=y"],
        ["a=2", "b=3", "c=x"],
        ["a=2", "b=3", "c=y"],
    ]


def test_zipped_keys_are_one_axis_in_the_place_of_the_first():
    assert combinations("a=1,2", "b=3,4", "c=x,y", zipped=[["c", "a"]]) == [
        ["a=1", "b=3", "c=x"],
        ["a=1", "b=4", "c=x"],
        ["a=2", "b=3", "c=y"],
        ["a=2", "b=4", "c=y"],
    ]


def test_several_lists_of_zipped_keys_are_an_axis_each():
    typed = ["a=1,2", "b=3,4", "c=5,6,7", "d=8,9,0"]
    found = combinations(*typed, zipped=[["a", "b"], ["c", "d"]])
    assert len(found) == 6
    assert found[:2] == [["a=1", "b=3", "c=5", "d=8"], ["a=1", "b=3", "c=6", "d=9"]]
    assert found[3] == ["a=2", "b=4", "c=5", "d=8"]


@pytest.mark.parametrize(
    "typed",
    ["1,2,3", "choice(1,2,3)", "range(1,4)", "sort(3,1,2)", "range(1,3.1,0.75)"],
)
def test_any_values_that_can_be_listed_can_be_zipped(typed):
    found = combinations(f"a={typed}", "b=[1,2],[3],'x,y'", zipped=[["a", "b"]])
    assert [trial[1] for trial in found] == ["b=[1,2]", "b=[3]", "b='x,y'"]
    assert found[0][0].startswith("a=1")


def test_values_in_a_random_order_are_zipped_once_each():
    found = combinations("a=shuffle(range(50))", "b=range(50)", zipped=[["a", "b"]])
    assert {trial[0] for trial in found} == {f"a={each}" for each in range(50)}
    assert [trial[1] for trial in found] == [f"b={each}" for each in range(50)]


def test_a_key_is_zipped_however_it_is_set_and_what_is_typed_last_counts():
    typed = ["++a=1,2", "b=5,6,7", "b=3,4", "+c=0"]
    assert combinations(*typed, zipped=[["a", "b"]]) == [
        ["++a=1", "b=3", "+c=0"],
        ["++a=2", "b=4", "+c=0"],
    ]


def test_zipped_keys_that_have_one_value_each_are_no_mistake():
    assert combinations("a=1", "b=2", "c=3,4", zipped=[["a", "b"]]) == [
        ["a=1", "b=2", "c=3"],
        ["a=1", "b=2", "c=4"],
    ]


def test_settings_that_go_with_a_choice_go_with_a_zipped_one():
    where = {"a=2": {"c": 5}}
    found = combinations("a=1,2", "b=3,4", zipped=[["a", "b"]], where=where)
    assert found == [["a=1", "b=3"], ["a=2", "b=4", "c=5"]]


def test_a_zipped_grid_is_counted_before_it_is_listed():
    typed = ["a=range(1e6)", "b=range(0,1e6)", "c=1,2"]
    with pytest.raises(ConfigError) as caught:
        combinations(*typed, zipped=[["a", "b"]])
    assert str(caught.value) == (
        "hydra.sweeper.limit must be at least the number of trials, 2,000,000 "
        "(1,000,000 of a with b x 2 of c); got 100"
    )
    assert len(combinations("a=range(100)", "b=range(100)", zipped=[["a", "b"]], limit=100)) == 100


def test_a_sweep_walks_zipped_keys_together(lab, capsys):
    trials = [
        "init=xavier activation=tanh seed=0",
        "init=xavier activation=tanh seed=1",
        "init=he activation=relu seed=0",
        "init=he activation=relu seed=1",
        "init=lecun activation=selu seed=0",
        "init=lecun activation=selu seed=1",
    ]
    line = [*THREE, "seed=0,1"]
    assert listed(lab, capsys, *line, ZIP) == trials


@pytest.mark.parametrize(
    "typed",
    [f"+{ZIP}", f"++{ZIP}", "sweep.zip=['init',\"activation\"]", "sweep={zip:[init,activation]}",
     "sweep.zip=[[init,activation]]", "sweep.zip=null sweep.zip=[activation,init]"],
)  # fmt: skip
def test_zipped_keys_may_be_typed_in_any_way_of_hydra(lab, capsys, typed):
    line = ["init=xavier,he", "activation=tanh,relu", *typed.split()]
    trials = ["init=xavier activation=tanh", "init=he activation=relu"]
    assert listed(lab, capsys, *line) == trials


@pytest.mark.parametrize("nothing", ["null", "[]"])
def test_no_zipped_keys_are_all_combinations(lab, capsys, nothing):
    line = ["init=xavier,he", "activation=tanh,relu", ZIP, f"sweep.zip={nothing}"]
    assert len(listed(lab, capsys, *line)) == 4


def test_options_of_a_glob_and_settings_of_an_option_can_be_zipped(lab, capsys):
    typed = ["init=glob(he*)", "optimizer=sgd,adam", "optimizer.lr=0.1,0.001", "seed=range(3)"]
    assert listed(lab, capsys, *typed, "sweep.zip=[[init,seed],[optimizer,optimizer.lr]]") == [
        "init=he optimizer=sgd optimizer.lr=0.1 seed=0",
        "init=he optimizer=adam optimizer.lr=0.001 seed=0",
        "init=he_fan_out optimizer=sgd optimizer.lr=0.1 seed=1",
        "init=he_fan_out optimizer=adam optimizer.lr=0.001 seed=1",
        "init=he_uniform optimizer=sgd optimizer.lr=0.1 seed=2",
        "init=he_uniform optimizer=adam optimizer.lr=0.001 seed=2",
    ]


EXPERIMENT = """# @package _global_
sweep:
  zip: {zip}
hydra:
  sweeper:
    params:
      init: xavier,he,lecun
      activation: tanh,relu,selu
      seed: 0,1
"""


@pytest.fixture
def experiment(tmp_path):
    """Return a function that writes an experiment with some keys zipped, and what chooses it."""

    def written(name, zipped):
        file = tmp_path / "experiment" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(EXPERIMENT.format(zip=zipped))
        return [f"hydra.searchpath=[{tmp_path.as_uri()}]", f"experiment={name}"]

    return written


def test_an_experiment_may_zip_keys_of_its_grid(lab, capsys, experiment):
    chosen = experiment("mine", "[init, activation]")
    assert len(listed(lab, capsys, *chosen)) == 6
    assert len(listed(lab, capsys, *chosen, "sweep.zip=null")) == 18
    assert listed(lab, capsys, *chosen, "init=zeros,std1", "activation=elu,silu", "seed=3") == [
        "init=zeros activation=elu",
        "init=std1 activation=silu",
    ]
    assert listed(lab, capsys, *chosen, "init=he", "activation=elu") == ["seed=0", "seed=1"]
    two = experiment("two", "[[init, activation], [seed, optimizer.lr]]")
    assert len(listed(lab, capsys, *two, "optimizer.lr=0.1,0.2")) == 6


def test_one_run_of_an_experiment_that_zips_keys_is_no_mistake(lab, experiment):
    assert lab.run(*experiment("mine", "[[init, activation]]"), *QUIET) == 0
    assert len(lab.runs()) == 1


def test_how_trials_were_listed_is_not_recorded_of_them(lab):
    assert lab.run("-m", "init=xavier,he", "activation=tanh,relu", ZIP, *QUIET) == 0
    first, second = lab.runs()
    assert (first.data.params["init"], second.data.params["init"]) == ("xavier", "he")
    assert (first.data.params["activation"], second.data.params["activation"]) == ("tanh", "relu")
    assert not any("zip" in key for key in first.data.params)
    assert lab.run("-m", "init=xavier,he", "activation=tanh,relu", *QUIET) == 0
    assert len(lab.runs()) == 4  # the two that were there have the numbers of two


SHAPE = ["sweep.zip must be null, a list of two keys or more, such as [init,activation], or a list"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (
            ["init=xavier,he,lecun", "activation=tanh,relu", ZIP],
            ["sweep.zip: init and activation must have equally many values",
             "got 3 of init, 2 of activation"],
        ),
        (["init=xavier,he", "activation=relu", ZIP], ["got 2 of init, 1 of activation"]),
        (["init=xavier,he", "seed=1,2", ZIP],
         ["sweep.zip names activation, which must be given values, as in activation=a,b",
          "Choices: init, seed"]),
        ([*THREE, "sweep.zip=[init,activatoin]"],
         ["sweep.zip names activatoin", "Did you mean activation?"]),
        ([ZIP], ["sweep.zip names init, which must be given values, as in init=a,b"]),
        ([*THREE, "sweep.zip=[init,init]"], ["must name each key once; got init more"]),
        ([*THREE, "sweep.zip=[[init,activation],[seed,init]]"], ["each key once; got init more"]),
        ([*THREE, "sweep.zip=[init]"], [*SHAPE, "got ['init']"]),
        ([*THREE, "sweep.zip=[[init,activation],[]]"], SHAPE),
        ([*THREE, "sweep.zip=[[init,activation],seed]"], SHAPE),
        ([*THREE, "sweep.zip=[[[init,activation]]]"], SHAPE),
        ([*THREE, "sweep.zip=init"], [*SHAPE, "got 'init'"]),
        ([*THREE, "sweep.zip=''"], [*SHAPE, "got ''"]),
        ([*THREE, "sweep.zip=[init,'']"], [*SHAPE, "got ['init', '']"]),
        ([*THREE, "sweep.zip=false"], SHAPE),
        ([*THREE, "sweep.zip=[init,1]"], SHAPE),
        ([*THREE, "sweep.zip={init:activation}"], SHAPE),
        ([*THREE, "sweep.zip=[{init:activation},seed]"], SHAPE),
        ([*THREE, "sweep.zip=init,activation"],
         ["sweep.zip=init,activation: ", "'sweep.zip=[init,activation]'"]),
        ([*THREE, "sweep.zip=[init,activation],[seed,dtype]"],
         ["it cannot be swept", "'sweep.zip=[[init,activation],[seed,dtype]]'"]),
        (["init=xavier,he", "optimizer.lr=interval(0,1)", "sweep.zip=[init,optimizer.lr]"],
         ["optimizer.lr=interval(0,1): an interval"]),
        (["seed=range(1e9)", "init.scale=range(0,1e9)", "sweep.zip=[seed,init.scale]"],
         ["hydra.sweeper.limit", "1,000,000,000 of seed with init.scale"]),
        (["hydra.sweeper.params={sweep.zip:[init,activation]}", *THREE],
         ["hydra.sweeper.params: sweep.zip stands in the config itself"]),
        (["hydra/sweeper=search", *THREE, ZIP],
         ["sweep.zip must be null in a search", "hydra/sweeper=grid"]),
        (["hydra/sweeper=search", *THREE, "sweep.zip=[init]"], SHAPE),
    ],
)  # fmt: skip
def test_a_mistake_in_zipped_keys_is_refused(lab, capsys, typed, words):
    lab.refuses(capsys, words, "-m", *typed)


def test_zipped_keys_of_a_single_run_are_refused(lab, capsys):
    lab.refuses(capsys, [f"{ZIP} is for sweeps: add -m"], "init=he", "activation=relu", ZIP)
    lab.refuses(capsys, ["several values are a sweep: add -m"], "sweep.zip=init,activation")
    assert lab.run("sweep.zip=null", *QUIET) == 0
