"""Our results equal the official ones, and the comparison notices when they do not."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agentrl.errors import ConfigError, MissingExtraError
from tests.golden import runner, tools
from tests.golden.missing import Missing
from tests.golden.runner import (
    ADAPTERS,
    DATA,
    check,
    environment_of,
    files,
    folder,
    places,
    run,
    shared,
)

FILES = [path for path in files(folder(), lambda line: None) if environment_of(path) is None]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_result_equals_the_official_one(path: Path) -> None:
    assert check(path) == []


def test_every_adapter_is_exercised_by_our_own_files() -> None:
    from tests.golden.case import load

    used = {(case.method, case.function) for path in DATA.glob("*.json") for case in load(path)}
    assert set(ADAPTERS) == used


def _write(where: Path, name: str, **changes: object) -> None:
    data = json.loads((DATA / "kl.kl_penalty.k2.json").read_text())
    (where / name).write_text(json.dumps({**data, **changes}))


def test_a_changed_number_fails_and_the_last_line_counts(tmp_path: Path) -> None:
    data = json.loads((DATA / "kl.kl_penalty.k2.json").read_text())
    _write(tmp_path, "kl.kl_penalty.good.json")
    _write(tmp_path, "kl.kl_penalty.bad.json", outputs=data["outputs"] | {"loss": 1.0})
    lines: list[str] = []
    assert run(tmp_path, lines.append) == 1
    assert lines[0].startswith("FAILED kl.kl_penalty.bad.json: loss")
    assert lines[-1] == "1 passed, 1 failed"


def test_a_file_without_an_adapter_fails(tmp_path: Path) -> None:
    _write(tmp_path, "kl.kl_penalty.other.json", method="unheard-of")
    lines: list[str] = []
    assert run(tmp_path, lines.append) == 1
    assert "no adapter" in lines[0]


def test_an_output_nobody_computes_fails(tmp_path: Path) -> None:
    data = json.loads((DATA / "kl.kl_penalty.k2.json").read_text())
    _write(tmp_path, "kl.kl_penalty.more.json", outputs=data["outputs"] | {"extra": 1.0})
    lines: list[str] = []
    assert run(tmp_path, lines.append) == 1
    assert "extra" in lines[0]


def test_an_empty_folder_is_not_a_success(tmp_path: Path) -> None:
    lines: list[str] = []
    assert run(tmp_path, lines.append) == 1
    assert lines == ["0 passed, 0 failed"]


def test_the_command_exits_with_the_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTRL_GOLDEN", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["golden"])
    for name, changes in (("good", {}), ("other", {"method": "unheard-of"})):
        _write(tmp_path, f"kl.kl_penalty.{name}.json", **changes)
        with pytest.raises(SystemExit) as end:
            runpy.run_module("tests.golden", run_name="__main__")
        assert end.value.code == bool(changes)
        assert capsys.readouterr().out.splitlines()[-1] == f"1 passed, {len(changes)} failed"


@pytest.fixture
def transcripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Answers of the environments' adapters, by name; an exception is raised."""
    answers: dict[str, object] = {}

    def adapter(name: str) -> SimpleNamespace:
        def answer(path: Path, data: Path) -> object:
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return SimpleNamespace(check=answer)

    def find(module: str) -> object:
        name = module.rpartition("_")[2]
        return adapter(name) if name in answers else None

    monkeypatch.setattr(runner, "no_java", lambda: "")
    monkeypatch.setattr(runner.importlib.util, "find_spec", find)
    monkeypatch.setattr(runner.importlib, "import_module", find)
    return answers


def _make(where: Path, *names: str, **content: object) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    for name in names:
        (where / name).write_text(json.dumps(content))
    return where


def test_a_folder_of_folders_runs_algorithms_and_environments(tmp_path: Path, transcripts) -> None:
    (tmp_path / "algorithms").mkdir()
    _write(tmp_path / "algorithms", "kl.kl_penalty.good.json")
    _make(tmp_path / "environments", "textworld.transcripts.json", "scienceworld.tasks.json")
    _make(tmp_path / "others", "chat.json")
    transcripts |= {"textworld": [], "scienceworld": ["first: wrong"]}
    lines: list[str] = []
    assert run(tmp_path, lines.append) == 1
    assert lines == [
        "not run: 1 files of others/, which no adapter reads yet",
        "FAILED scienceworld.tasks.json: first: wrong",
        "2 passed, 1 failed",
    ]


def test_what_cannot_run_here_is_skipped_and_counted(
    tmp_path: Path, transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRL_SHARED", str(tmp_path / "nowhere"))
    names = ("alfworld.transcripts.json", "scienceworld.tasks.json", "textworld.transcripts.json")
    _make(tmp_path / "environments", *names)
    transcripts |= {"scienceworld": MissingExtraError("needs Java"), "textworld": []}
    lines: list[str] = []
    assert run(tmp_path, lines.append) == 0
    assert lines[0].startswith("skipped alfworld.transcripts.json: no alfworld data at")
    assert lines[1] == "skipped scienceworld.tasks.json: needs Java"
    assert lines[-1] == "1 passed, 0 failed, 2 skipped"


def test_skips_alone_are_no_success(tmp_path: Path, transcripts) -> None:
    transcripts["scienceworld"] = MissingExtraError("needs Java")
    lines: list[str] = []
    assert run(_make(tmp_path, "scienceworld.tasks.json"), lines.append) == 1
    assert lines[-1] == "0 passed, 0 failed, 1 skipped"


def test_without_java_scienceworld_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise ConfigError("needs Java, and none can be used")

    monkeypatch.setattr(runner, "find_java", none)
    lines: list[str] = []
    run(_make(tmp_path, "scienceworld.tasks.json"), lines.append)
    assert lines[0] == "skipped scienceworld.tasks.json: needs Java, and none can be used"


def test_an_adapter_that_raises_or_is_missing_fails(tmp_path: Path, transcripts) -> None:
    transcripts["textworld"] = KeyError("feedback")
    lines: list[str] = []
    where = _make(tmp_path, "scienceworld.tasks.json", "textworld.transcripts.json")
    assert run(where, lines.append) == 1
    assert "no adapter for environment 'scienceworld'" in lines[0]
    assert "KeyError: 'feedback'" in lines[1]


@pytest.mark.parametrize(
    ("name", "meta", "environment"),
    [
        ("webshop.search.json", {}, "webshop"),
        ("second.json", {"package": "scienceworld 1.2.3 (PyPI), Java 17"}, "scienceworld"),
        ("b.json", {"packages": "textworld 1.7.0 [pddl], alfworld 0.4.2"}, "alfworld"),
        ("kl.kl_penalty.k2.json", {}, None),
    ],
)
def test_a_file_is_known_by_its_name_or_what_it_says(
    tmp_path: Path, name: str, meta: dict[str, str], environment: str | None
) -> None:
    assert environment_of(_make(tmp_path, name, meta=meta) / name) == environment


def test_by_default_ours_and_the_official_transcripts_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTRL_GOLDEN", raising=False)
    monkeypatch.setenv("AGENTRL_SHARED", str(tmp_path))
    lines: list[str] = []
    assert places([], lines.append) == [DATA]
    assert "no official data of environments" in lines[0]
    assert "no official data of tools" in lines[1]
    official = [
        _make(tmp_path / "golden" / "environments", "webshop.goals.json"),
        _make(tmp_path / "golden" / "tools", "gaia.scorer.json"),
    ]
    assert places([]) == [DATA, *official]
    assert places([str(official[0])]) == official[:1]


def test_a_path_that_is_not_there_fails(tmp_path: Path) -> None:
    lines: list[str] = []
    assert run(tmp_path / "none", lines.append) == 1
    assert "no such file or folder" in lines[0]


LEFT_TO_THE_COMMAND = {"math.math_verify"}
"""Takes most of a minute; `make golden` runs it."""


@pytest.mark.parametrize("name", sorted(tools.FUNCTIONS.keys() - LEFT_TO_THE_COMMAND))
def test_a_function_of_tools_gives_the_official_results(name: str) -> None:
    found = sorted((shared() / "golden" / "tools").glob(f"{name}.*json"))
    if not found:
        pytest.skip(f"no official data {name}.json; set AGENTRL_SHARED")
    try:
        assert [tools.check(path) for path in found] == [[]] * len(found)
    except (Missing, MissingExtraError) as error:
        pytest.skip(str(error))


def _tools_file(where: Path, name: str, expected: object) -> Path:
    content = {"official": True, "config": {}, "cases": [{"id": 0, "inputs": {}}]}
    content["cases"][0]["expected"] = expected
    return _make(where, name, **content) / name


@pytest.mark.parametrize(
    ("ours", "expected", "problem"),
    [
        ({"a": [1.0, "x"], "more": 2}, {"a": [1.0000001, "x"]}, ""),
        ({"a": [1.0]}, {"a": [1.1]}, "case 0.a[0]: 1.0 instead of 1.1"),
        ({}, {"a": None}, "case 0.a: missing"),
        ([1], [1, 2], "case 0: 1 elements instead of 2"),
        (True, False, "case 0: True instead of False"),
    ],
)
def test_results_of_tools_are_compared_value_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: object, expected: object, problem: str
) -> None:
    monkeypatch.setitem(tools.FUNCTIONS, "some.function", lambda inputs, config: ours)
    path = _tools_file(tmp_path, "some.function.second.json", expected)
    assert tools.is_of_tools(path)
    assert [text.partition(" (")[0] for text in check(path)] == ([problem] if problem else [])
    unknown = _tools_file(tmp_path, "other.function.json", expected)
    assert check(unknown) == ["no function for 'other.function'"]
