"""The built wheel holds the whole package and no other top-level module."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("agentrl", "algorithms", "configs", "envs", "tools")


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    # A copy, because setuptools leaves build folders behind in the tree it builds.
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (REPOSITORY / name).exists():
            shutil.copy(REPOSITORY / name, source)
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    run = subprocess.run(
        [*build, "--disable-pip-version-check", "--wheel-dir", str(target), str(source)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (wheel,) = target.glob("agentrl-*.whl")
    return zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_a_wheel_installs_no_top_level_module_but_agentrl(wheel_files):
    tops = {name.split("/")[0] for name in wheel_files}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"agentrl"}


@pytest.mark.slow
def test_a_wheel_holds_every_source_file_and_configuration(wheel_files):
    expected = {"agentrl/py.typed"}
    for folder in FOLDERS:
        root = REPOSITORY / folder
        prefix = "" if folder == "agentrl" else "agentrl/"
        suffixes = ("*.py", "*.yaml") if folder == "configs" else ("*.py",)
        for pattern in suffixes:
            expected |= {prefix + str(p.relative_to(REPOSITORY)) for p in root.rglob(pattern)}
    assert sorted(expected - set(wheel_files)) == []
