"""Imports tell the architecture: who may import what, read from the source."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parents[1]
SRC = PROJECT / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SRC.rglob("*.py")
}

# Each part may import the parts above it and, beside the standard library, the packages named.
PARTS = {
    "initlab": "",
    "initlab.checks": "",
    "initlab.process": "psutil",
    "initlab.folders": "hydra",
    "initlab.data": "numpy platformdirs pooch sklearn",
    "initlab.nn": "numpy scipy",
    "initlab.config": "hydra omegaconf yaml",
    "initlab.figures": "numpy matplotlib PIL",
    "initlab.tracking": "numpy mlflow alembic sqlalchemy PIL",
    "initlab.console": "rich",
    "initlab.failure": "hydra omegaconf",
    "initlab.run": "threadpoolctl",
    "initlab.reproduction": "mlflow",
    "initlab.report": "numpy scipy optuna matplotlib PIL rich jinja2 markupsafe",
    "initlab.notebook": "numpy pandas mlflow",
    "initlab.sweep": "hydra omegaconf rich joblib cloudpickle mlflow sqlalchemy ray submitit",
    "initlab.outlook": "hydra omegaconf numpy matplotlib rich",
    "initlab.search": "hydra omegaconf numpy optuna sqlalchemy",
    "hydra_plugins": "hydra omegaconf",
    "train": "hydra omegaconf",
    "compare": "mlflow",
    "reproduce": "rich threadpoolctl",
    "predict": "hydra",
}
# What the face of the whole hands out, and imports when it is asked for.
HANDED_OUT = {"initlab": {"initlab.notebook"}}
# What is slow to import, and not needed by every run, is imported where it is used.
LATER = {"scipy", "platformdirs", "pooch", "sklearn", "psutil", "joblib"}
# What numpy.random offers besides draws from its global generator.
OWN_GENERATORS = {"Generator", "RandomState", "SeedSequence", "default_rng"}
# What draws from a generator, splits one or makes one, less what other things are called as well.
RANDOM = (np.random, np.random.Generator, np.random.RandomState)
DRAWS = {name for place in RANDOM for name in dir(place) if not name.startswith("_")}
DRAWS = (DRAWS | {"rvs"}) - {"SeedSequence", "power", "seed", "test"}


def parse(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(tree):
    """The dotted names that a tree imports; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_module_level(tree):
    """The tree without the bodies of its functions."""

    class Hollow(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return None

        visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    return Hollow().visit(tree)


def longest(name, names):
    """The longest of some dotted names that a dotted name is, or lies below."""
    return max((each for each in names if f"{name}.".startswith(f"{each}.")), key=len, default="")


def own(module):
    """The modules of the project that a module imports."""
    found = {longest(name, MODULES) for name in imports(parse(module))}
    return found - {"", module}


def foreign(names):
    """The imported packages that are neither the project's nor of the standard library."""
    roots = {name.partition(".")[0] for name in names}
    return roots - sys.stdlib_module_names - {name.partition(".")[0] for name in MODULES}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_part_imports_the_parts_above_it_and_the_packages_of_its_line(module):
    part = longest(module, PARTS)
    assert part, "the table has no line for it"
    assert foreign(imports(parse(module))) <= {*PARTS[part].split()}
    order = [*PARTS]
    above = {*order[: order.index(part) + 1]} | HANDED_OUT.get(module, set())
    assert {longest(name, PARTS) for name in own(module)} <= above


@pytest.mark.parametrize("part", PARTS)
def test_every_package_of_a_line_is_imported(part):
    modules = [module for module in MODULES if longest(module, PARTS) == part]
    used = {name for module in modules for name in foreign(imports(parse(module)))}
    assert modules
    assert used == {*PARTS[part].split()}


def test_no_module_imports_itself_in_a_circle():
    faces = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    TopologicalSorter({module: own(module) - faces for module in {*MODULES} - faces}).prepare()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_is_slow_is_imported_where_it_is_used(module):
    assert not foreign(imports(at_module_level(parse(module)))) & LATER


@pytest.mark.parametrize("module", sorted(MODULES))
def test_randomness_is_an_argument(module):
    tree = parse(module)
    drawn = {name for name in imports(tree) if name.startswith("numpy.random.")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            drawn.add(ast.unparse(node).replace("np.", "numpy.", 1))
    used = {name.split(".")[2] for name in drawn if re.fullmatch(r"numpy\.random\.\w+", name)}
    assert used <= OWN_GENERATORS
    assert "random" not in {name.partition(".")[0] for name in imports(tree)}


def test_one_module_touches_the_tables_of_mlflow():
    users = {module for module in MODULES if "sqlite3" in {*imports(parse(module))}}
    assert users == {"initlab.tracking.sqlite"}
    for module in {*MODULES} - users:
        calls = [node for node in ast.walk(parse(module)) if isinstance(node, ast.Attribute)]
        assert not {call.attr for call in calls} & {"execute", "executemany", "executescript"}


def draws(tree):
    """What a tree has of the names of draws, be they called there or handed on."""
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) != "np.random"
    }
    imported = {name.rpartition(".")[2] for name in imports(tree)}
    return (attributes | imported) & DRAWS


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_what_the_fingerprint_covers_draws(module):
    if longest(module, PARTS) not in ("initlab.data", "initlab.nn"):
        assert not draws(parse(module))


@pytest.mark.parametrize(
    "code",
    [
        "np.random.default_rng(0).normal()",
        "rng.spawn(2)",
        "draw = rng.laplace",
        "from numpy.random import default_rng",
        "from numpy.random import PCG64 as bits",
        "from numpy import random as anything",
        "def draw(rng: np.random.Generator): ...",
        "scipy.stats.norm.rvs(3)",
    ],
)
def test_a_draw_is_noticed(code):
    assert draws(ast.parse(code))


def test_config_is_data_and_names_no_code():
    files = [*(PROJECT / "conf").rglob("*.yaml")]
    ours = [file for file in files if file.relative_to(PROJECT / "conf").parts[0] != "hydra"]
    assert len(ours) > 20
    assert not [str(file) for file in ours if "_target_" in file.read_text(encoding="utf-8")]
