"""What docs/extending.md tells a newcomer to do works: it is done in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from initlab.config import PROJECT

PAGE = (PROJECT / "docs" / "extending.md").read_text()


def blocks():
    """Each block to be put somewhere: its text, and the last paragraph before it."""
    for before, language, block in re.findall(
        r"((?:^[^\n]+\n)+)\n```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    ):
        assert language in ("python", "yaml", "markdown")
        yield before, block


def put(block, before, project):
    """Put a block where the paragraph before it says: in a table of a file, or at its end."""
    path = re.search(r"`((?:src|conf|tests|docs)/[\w/]+\.\w+)`", before).group(1)
    file = project / path
    text = "" if path.startswith("conf/") else file.read_text()
    if table := re.search(r"`([A-Z]+)`", before):
        head = rf"^{table.group(1)} = {{\n"
    elif heading := re.search(r"`(## \w+)`", before):
        head = rf"^{heading.group(1)}\n(?:(?!\|).*\n)+(?:\|.*\n){{2}}"
    else:
        head = r"\Z"
        block = f"\n\n{block}" if text else block
    text, found = re.subn(head, lambda match: match.group() + block, text, flags=re.MULTILINE)
    assert found == 1
    file.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with all that the page adds."""
    copy = tmp_path_factory.mktemp("copy")
    for part in ("src", "conf", "tests"):
        shutil.copytree(PROJECT / part, copy / part, ignore=shutil.ignore_patterns("*.pyc"))
    (copy / "docs").mkdir()
    for file in ("pyproject.toml", "docs/catalogue.md"):
        shutil.copy(PROJECT / file, copy / file)
    for before, block in blocks():
        put(block, before, copy)
    return copy


def run(project, *arguments):
    """Return what Python prints in the project, which must succeed."""
    path = {"PYTHONPATH": str(project / "src")}  # before the installed initlab
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, cwd=project, env=os.environ | path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_option_added_trains(project):
    typed = ["init=kumar", "activation=sigmoid", "train.steps=20", "tracking.enabled=false"]
    run(project, "src/train.py", *typed)
    (folder,) = (project / "outputs").iterdir()
    assert "slope: 0.25\n" in (folder / "config.yaml").read_text()


def test_the_option_added_is_tested_at_once(project):
    files = [f"tests/test_{name}.py" for name in ("initializers", "config", "catalogue")]
    said = run(project, "-m", "pytest", "-q", *files, "-k", "kumar", "-p", "no:cacheprovider")
    assert int(re.search(r"(\d+) passed", said).group(1)) >= 10
    assert "skipped" not in said


def test_class_and_options_are_the_law_of_the_page(project):
    script = """
        import initlab
        from initlab.config import SCHEMAS, load_option as load
        print(initlab.__file__)
        laws = SCHEMAS["init"]["Kumar"](), load("init", "kumar"), load("init", "kumar_sigmoid")
        print(*(law.exact_std(100, 7) for law in laws))
    """
    file, stds = run(project, "-c", re.sub("^ +", "", script, flags=re.MULTILINE)).splitlines()
    assert file == str(project / "src" / "initlab" / "__init__.py")
    assert [float(std) for std in stds.split()] == pytest.approx([0.36] * 3, rel=0.01)
