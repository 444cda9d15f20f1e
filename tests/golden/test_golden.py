"""Our results equal the official ones, and the comparison notices when they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.runner import ADAPTERS, DATA, check, folder, run

FILES = sorted(folder().glob("*.json"))


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


def test_the_command_exits_with_the_outcome(tmp_path: Path) -> None:
    _write(tmp_path, "kl.kl_penalty.good.json")
    environment = {**os.environ, "AGENTRL_GOLDEN": str(tmp_path)}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden"],
        cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed"
