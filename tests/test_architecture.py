"""Imports tell the architecture: who may import what, read from the source."""

import ast
import re
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SRC = PROJECT / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts): path for path in SRC.rglob("*.py")
}

NUMERICS = {
    "checks",
    "arrays",
    "initializers",
    "activations",
    "layers",
    "losses",
    "network",
    "models",
    "quadratic",
    "schedules",
    "optimizers",
    "batches",
    "training",
    "diagnostics",
    "verdict",
}
HYDRA = {
    "train",
    "initlab.composer",
    "initlab.config",
    "initlab.grid",
    "initlab.job",
    "initlab.launch",
    "initlab.search",
    "initlab.space",
    "initlab.sweep",
    "hydra_plugins.*",
}
# package → the modules that alone may import it, anywhere in their source
OWNERS = {
    "matplotlib": {"initlab.figures", "initlab.charts.*"},
    "mlflow": {
        "initlab.store",
        "initlab.tracking",
        "initlab.preload",
        "initlab.runs",
        "initlab.reproduction",
        "compare",
    },
    "hydra": HYDRA,
    "omegaconf": HYDRA,
    "optuna": {"initlab.journal", "initlab.reporter", "initlab.study"},
    "sklearn": {"initlab.data"},
    "platformdirs": {"initlab.cache"},
    "pooch": {"initlab.idx"},
    "scipy": {"initlab.activations"},
}
# What a module of the numerics may import beside NumPy: gelu needs the normal distribution.
BESIDE_NUMPY = {"activations": {"scipy"}}
# What numpy.random offers besides draws from its global generator.
OWN_GENERATORS = {
    "BitGenerator",
    "Generator",
    "PCG64",
    "RandomState",
    "SeedSequence",
    "default_rng",
}


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


def parse(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def package(name):
    return name.partition(".")[0]


def foreign(names):
    """The imported packages that are not of the standard library."""
    return {package(name) for name in names} - sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(NUMERICS))
def test_numerics_import_numpy_and_each_other_alone(name):
    names = [*imports(parse(f"initlab.{name}"))]
    assert foreign(names) <= {"numpy", "initlab"} | BESIDE_NUMPY.get(name, set())
    own = {dotted.split(".")[1] for dotted in names if package(dotted) == "initlab"}
    assert own <= NUMERICS | {"data"}


def test_scipy_is_imported_when_it_is_needed_and_not_at_start_up():
    for module in MODULES:
        assert "scipy" not in map(package, imports(at_module_level(parse(module))))


@pytest.mark.parametrize("name", ["data", "idx", "cache"])
def test_reading_data_imports_numpy_alone_until_it_is_needed(name):
    names = [*imports(at_module_level(parse(f"initlab.{name}")))]
    assert foreign(names) <= {"numpy", "initlab"}
    own = {dotted.split(".")[1] for dotted in names if package(dotted) == "initlab"}
    assert own <= {"checks", "arrays", "idx", "cache"}


@pytest.mark.parametrize(("library", "owners"), OWNERS.items(), ids=OWNERS)
def test_each_library_is_imported_by_its_owners_alone(library, owners):
    users = {module for module in MODULES if library in map(package, imports(parse(module)))}
    strangers = {
        module for module in users if not {module, f"{module.rpartition('.')[0]}.*"} & owners
    }
    assert users, "the table names a library that nobody imports"
    assert not strangers


@pytest.mark.parametrize("module", sorted(MODULES))
def test_randomness_is_an_argument(module):
    tree = parse(module)
    drawn = {name for name in imports(tree) if name.startswith("numpy.random.")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            drawn.add(ast.unparse(node).replace("np.", "numpy.", 1))
    used = {name.split(".")[2] for name in drawn if re.fullmatch(r"numpy\.random\.\w+", name)}
    assert used <= OWN_GENERATORS
    assert "random" not in map(package, imports(tree))


def test_config_is_data_and_names_no_code():
    files = [*(PROJECT / "conf").rglob("*.yaml")]
    ours = [file for file in files if file.relative_to(PROJECT / "conf").parts[0] != "hydra"]
    assert len(ours) > 20
    assert not [str(file) for file in ours if "_target_" in file.read_text(encoding="utf-8")]
