"""The version of the numerics changes with every formula in `data` and `nn`, not with words."""

import ast
import functools
import shutil
from pathlib import Path

import pytest

from initlab.tracking import provenance

FOLDERS = [Path(package.__path__[0]) for package in provenance.NUMERICS]
FILES = [
    file.relative_to(folder.parent) for folder in FOLDERS for file in sorted(folder.rglob("*.py"))
]
OTHER_OPERATOR = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Return copies of the packages that the version covers."""
    place = tmp_path_factory.mktemp("initlab")
    return [Path(shutil.copytree(folder, place / folder.name)) for folder in FOLDERS]


@pytest.fixture(scope="module", autouse=True)
def parsed_once():
    """Keep the syntax of texts that are read again: each test changes one file of twenty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "syntax", functools.cache(provenance.syntax))
        yield


@pytest.fixture
def edit(copied):
    """Return a function that gives a file another text, until the test ends."""
    before = {}

    def edit(name, text):
        file = copied[0].parent / name
        before.setdefault(file, file.read_text("utf-8") if file.exists() else None)
        file.write_text(text, "utf-8") if text is not None else file.unlink()

    yield edit
    for file, text in before.items():
        file.unlink() if text is None else file.write_text(text, "utf-8")


def text_of(name):
    return (FOLDERS[0].parent / name).read_text("utf-8")


def formulas(tree):
    """The nodes of a tree that a formula is made of: numbers and operators."""
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        compares = isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER_OPERATOR
        if number or compares or type(getattr(node, "op", None)) in OTHER_OPERATOR:
            yield node


def change(node):
    """Make another number of a number, another operator of an operator."""
    if isinstance(node, ast.Constant):
        node.value += 1
    elif isinstance(node, ast.Compare):
        node.ops[0] = OTHER_OPERATOR[type(node.ops[0])]()
    else:
        node.op = OTHER_OPERATOR[type(node.op)]()


def redocumented(code):
    """Some code with other docstrings, another layout and no comments but a new one."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node):
            node.body[0].value.value = "Other words."
    return f"# a comment\n{ast.unparse(tree)}\n"


def test_the_version_is_the_hash_of_both_packages_wherever_they_lie(copied):
    assert len(FILES) > 15
    assert {file.parts[0] for file in FILES} == {"data", "nn"}
    assert provenance.code_hash(copied) == provenance.numerics()


@pytest.mark.parametrize("name", FILES, ids=str)
def test_a_statement_more_changes_the_version(name, copied, edit):
    edit(name, f"{text_of(name)}\nscale = 2\n")
    assert provenance.code_hash(copied) != provenance.numerics()


COUNTS = {name: len([*formulas(ast.parse(text_of(name)))]) for name in FILES}


@pytest.mark.parametrize("name", [name for name, count in COUNTS.items() if count], ids=str)
def test_another_number_or_operator_changes_the_version(name, copied, edit):
    changed = set()
    chosen = {0, COUNTS[name] // 2, COUNTS[name] - 1}
    for index in chosen:
        tree = ast.parse(text_of(name))
        change([*formulas(tree)][index])
        edit(name, ast.unparse(tree))
        changed.add(provenance.code_hash(copied))
    assert len(changed - {provenance.numerics()}) == len(chosen)


@pytest.mark.parametrize("name", FILES, ids=str)
def test_words_and_layout_do_not_change_the_version(name, copied, edit):
    other = redocumented(text_of(name))
    assert other != text_of(name)
    edit(name, other)
    assert provenance.code_hash(copied) == provenance.numerics()


def test_files_without_formulas_are_few():
    assert {str(name) for name, count in COUNTS.items() if not count} <= {
        "data/__init__.py", "data/arrays.py", "nn/__init__.py", "nn/metrics.py"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["nn/added.py", "nn/part/added.py"])
def test_a_new_file_changes_the_version(name, copied, edit):
    (copied[0].parent / name).parent.mkdir(exist_ok=True)
    edit(name, "")
    assert provenance.code_hash(copied) != provenance.numerics()


@pytest.mark.parametrize("other", ["nn/loss.py", "data/losses.py"])
def test_a_file_of_another_name_or_place_changes_the_version(other, copied, edit):
    edit(other, text_of("nn/losses.py"))
    edit("nn/losses.py", None)
    assert provenance.code_hash(copied) != provenance.numerics()


def test_a_file_that_is_gone_changes_the_version(copied, edit):
    edit("nn/schedules.py", None)
    assert provenance.code_hash(copied) != provenance.numerics()
