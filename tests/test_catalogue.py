"""The pages say what the code does: the catalogue row by row, and every link."""

import re
from typing import NamedTuple

import pytest
from conftest import composed_with
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from initlab.config import GROUPS, PROJECT, load_option, options, register
from initlab.nn import theory

CATALOGUE = PROJECT / "docs" / "catalogue.md"
README = PROJECT / "README.md"
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])

# What no table could hold: the addresses and hashes of downloads.
LEFT_OUT = {"mirrors", "sha256"}


class Table(NamedTuple):
    """The cells of a Markdown table, without its line of dashes."""

    heading: list[str]
    rows: list[list[str]]

    def column(self, name):
        return [row[self.heading.index(name)] for row in self.rows]


def unfenced(text):
    """A Markdown text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def tables(text):
    """The tables of a Markdown text, in order."""
    for block in re.findall(r"(?:^\|.*\n)+", unfenced(text), re.MULTILINE):
        heading, dashes, *rows = (
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            for line in block.splitlines()
        )
        assert len(dashes) == len(heading)
        assert all(re.fullmatch("-+:?", cell) for cell in dashes)  # numbers stand to the right
        yield Table(heading, rows)


def section(title):
    """The part of the catalogue under a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", CATALOGUE.read_text(), re.M | re.S)
    assert found, f"there is no heading {title}"
    return found.group(1)


def options_of(group):
    """The table of a group, and its rows by option."""
    table = next(tables(section(group)))
    return table, dict(zip((name.strip("`") for name in table.column("option")), table.rows))


def typed(cell):
    """The settings that the code spans of a cell would make on the command line."""
    spans = re.findall(r"`(\w+=[^`]*)`", cell)
    assert "=" not in re.sub(r"`[^`]*`", "", cell)
    overrides = OverridesParser.create().parse_overrides(spans)
    assert len({override.key_or_group for override in overrides}) == len(spans)
    return {override.key_or_group: override.value() for override in overrides}


@pytest.fixture(autouse=True, scope="module")
def hydra():
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        yield


def settings_of(group, option):
    """The settings that an option has."""
    config = composed_with(group, option)
    settings = OmegaConf.to_container(config[group], resolve=True)
    return {key: value for key, value in settings.items() if key not in LEFT_OUT}


@pytest.mark.parametrize("group", GROUPS)
def test_the_catalogue_has_a_row_for_each_option_and_no_other(group):
    table, rows = options_of(group)
    assert sorted(rows) == options(group)
    assert len(table.rows) == len(rows)


@pytest.mark.parametrize(("group", "option"), [(g, o) for g in GROUPS for o in options(g)])
def test_the_settings_of_a_row_are_those_of_the_option(group, option):
    table, rows = options_of(group)
    cell = rows[option][table.heading.index("settings and defaults")]
    if "[switches](#switches)" in cell:
        (switches,) = tables(section("switches"))
        cell += " ".join(switches.column("setting and default"))
    settings = settings_of(group, option)
    assert typed(cell) == settings
    assert (cell == "none") == (not settings)


def test_the_gains_shown_are_those_of_the_code():
    (gains,) = tables(section("gain=auto and critical"))
    shown = dict(zip(gains.column("activation"), gains.column("gain")))
    assert {name.strip("`") for name in shown} == {*options("activation")}
    for name, gain in shown.items():
        activation = load_option("activation", name.strip("`"))
        assert gain == f"{theory.gain(activation):.4f}"


def test_the_critical_gains_shown_are_those_of_the_code():
    (gains,) = tables(section("gain=auto and critical"))
    for bias_std, title in [(0.0, "critical"), (0.05**0.5, "critical, `bias_std=0.2236`")]:
        for name, shown in zip(gains.column("activation"), gains.column(title)):
            edge = theory.edge_of_chaos(load_option("activation", name.strip("`")), bias_std**2)
            assert shown == (f"{edge.weight_variance**0.5:.4f}" if edge and edge.stable else "none")


@pytest.mark.parametrize("group", GROUPS)
def test_the_readme_names_each_option_and_no_other(group):
    groups = next(table for table in tables(README.read_text()) if table.heading[0] == "group")
    row = groups.column("group").index(f"`{group}`")
    assert sorted(re.findall(r"`(\w+)`", groups.column("options")[row])) == options(group)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_full(page):
    for table in tables(page.read_text()):
        for row in table.rows:
            assert len(row) == len(table.heading), row
            assert all(row), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", unfenced(page.read_text())):
        path, _, heading = target.partition("#")
        if re.match(r"https?:", path):
            continue
        file = page.parent / path if path else page
        assert file.exists(), target
        if heading:
            assert heading in anchors(file.read_text()), target


def test_the_table_of_changes_names_files_that_exist():
    page = (PROJECT / "docs" / "extending.md").read_text()
    (changes,) = (table for table in tables(page) if table.heading == ["change", "files"])
    assert len(changes.rows) >= 10
    for files in changes.column("files"):
        paths = re.findall(r"`((?:\w+/|README)[^`]*)`", files)
        assert paths
        for path in paths:
            assert (PROJECT / path).exists(), path


def anchors(text):
    """The names that GitHub gives to the headings of a page."""
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
