"""`agentrl data`: where data are expected, how to get them, whether they are right."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agentrl.cli.data_command import PACKAGED, SETS
from agentrl.errors import DataError


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data set in place of WebShop's; it is one file. Returns its directory."""
    module = ModuleType("agentrl.envs.webshop.data")

    def check(path: Path) -> list[str]:
        if not (path / "goods.txt").is_file():
            raise DataError(f"{str(path)!r} has no goods.txt.")
        return [f"{len((path / 'goods.txt').read_text())} goods"]

    def prepare(source: Path, target: Path) -> list[str]:
        target.mkdir(parents=True)
        (target / "goods.txt").write_text((source / "raw.txt").read_text())
        return ["wrote goods.txt"]

    module.__dict__.update(check=check, prepare=prepare, instructions=lambda: "Ask the grocer.")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "webshop"


def test_missing_data_tell_where_they_belong_and_how_to_get_them(run_agentrl, shop: Path):
    status, output, error = run_agentrl("data", "webshop")
    assert status == 1
    assert error.strip() == f"agentrl: There is no webshop data in {str(shop)!r}."
    assert output == "Ask the grocer.\n"


def test_wrong_data_say_what_is_wrong(run_agentrl, shop: Path):
    shop.mkdir(parents=True)
    status, output, error = run_agentrl("data", "webshop")
    assert status == 1 and "has no goods.txt" in error and "grocer" in output


def test_data_that_are_there_are_described(run_agentrl, shop: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "goods.txt").write_text("abc")
    status, output, _ = run_agentrl("data", "webshop", "--path", str(tmp_path / "mine"))
    assert status == 0
    assert output.splitlines() == [f"webshop is usable, in {tmp_path / 'mine'}", "  3 goods"]


def test_data_are_made_from_published_files(run_agentrl, shop: Path, tmp_path: Path):
    (tmp_path / "raw.txt").write_text("abcd")
    status, output, _ = run_agentrl("data", "webshop", "--from", str(tmp_path))
    assert status == 0
    assert output.splitlines() == [
        "  wrote goods.txt",
        f"webshop is usable, in {shop}",
        "  4 goods",
    ]
    status, _, error = run_agentrl("data", "webshop", "--from", str(tmp_path / "none"))
    assert status == 2 and "to make the data from" in error


def test_all_sets_are_listed_with_their_state(run_agentrl, shop: Path):
    status, output, _ = run_agentrl("data")
    (line,) = [line for line in output.splitlines() if line.startswith("webshop")]
    assert status == 0 and line.endswith(f"missing, in {shop}")
    assert {line.split()[0] for line in output.splitlines()[: len(SETS)]} == set(SETS)


def test_an_unknown_set_is_named_with_the_nearest(run_agentrl):
    status, _, error = run_agentrl("data", "webshp")
    assert status == 2 and "Did you mean 'webshop'?" in error
    status, _, error = run_agentrl("data", "--path", "x")
    assert status == 2 and "Name the data set" in error


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_the_three_functions(name: str):
    module = importlib.import_module(f"agentrl.envs.{name}.data")
    assert len(module.instructions()) > 100
    assert list(inspect.signature(module.check).parameters) == ["path"]
    assert list(inspect.signature(module.prepare).parameters) == ["source", "target"]


@pytest.mark.parametrize("name", sorted(set(SETS) - PACKAGED))
def test_nothing_is_found_in_an_empty_directory(run_agentrl, tmp_path: Path, name: str):
    status, output, error = run_agentrl("data", name, "--path", str(tmp_path))
    assert status == 1 and error.startswith("agentrl: ") and len(output) > 100
