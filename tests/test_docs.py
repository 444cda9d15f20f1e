"""Pages that are generated, and links and paths that pages name."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from agentrl.config import RunConfig
from agentrl.config.describe import attributes, describe

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
FOLDERS = ("agentrl", "algorithms", "benchmarks", "configs", "docs", "envs", "tests", "tools")
ENV_ID = r"-v[\dN]+$"


def page_name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_the_page_of_settings_is_what_the_script_writes():
    page = (REPOSITORY / "docs" / "configuration.md").read_text()
    assert page == describe(), "run: python -m agentrl.config.describe > docs/configuration.md"


def test_the_docstring_of_settings_describes_every_field():
    defaults = RunConfig()
    sections = [getattr(defaults, item.name) for item in dataclasses.fields(defaults)]
    for section in filter(dataclasses.is_dataclass, sections):
        described = set(attributes(type(section)))
        assert described == {item.name for item in dataclasses.fields(section)}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files_that_exist(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_paths_that_pages_name_exist(page):
    pattern = rf"`(?:\w+ )?((?:{'|'.join(FOLDERS)})/[\w./-]*\w/?)`"
    named = [path for path in re.findall(pattern, page.read_text()) if not re.search(ENV_ID, path)]
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_settings_that_pages_name_exist(page):
    defaults = RunConfig()
    sections = {
        item.name: getattr(defaults, item.name)
        for item in dataclasses.fields(defaults)
        if dataclasses.is_dataclass(getattr(defaults, item.name))
    }
    names = re.findall(rf"\b({'|'.join(sections)})\.(\w+)(?=[`=])", page.read_text())
    # `section.key` is the general form, `.py` ends a file, `algorithm.requires` is an attribute.
    wrong = [
        f"{section}.{key}"
        for section, key in names
        if key not in ("py", "key", "requires") and not hasattr(sections[section], key)
    ]
    assert wrong == []
