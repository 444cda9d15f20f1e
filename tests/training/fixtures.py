"""Fixtures of all tests that train: games made once, one finished run, the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agentrl.cli import main
from agentrl.config import load_config
from agentrl.training import train
from tests.training.runs import write_config

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session", autouse=True)
def game_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("AGENTRL_CACHE")
    os.environ["AGENTRL_CACHE"] = str(tmp_path_factory.mktemp("agentrl-cache"))
    yield
    if before is None:
        del os.environ["AGENTRL_CACHE"]
    else:
        os.environ["AGENTRL_CACHE"] = before


@pytest.fixture
def quiet_console() -> Iterator[Console]:
    """A console without terminal whose output nobody reads."""
    with open(os.devnull, "w") as nowhere:
        yield Console(file=nowhere)


@pytest.fixture
def run_agentrl(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `agentrl` in this process; returns exit status, standard output and error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def finished_run(game_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny finished run; do not change it."""
    folder = tmp_path_factory.mktemp("finished")
    with open(os.devnull, "w") as nowhere:
        train(load_config(write_config(folder, tensorboard=True)), Console(file=nowhere))
    return folder / "run"
