"""Fixtures of tests that train: one finished run, the command line."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agentrl.cli import main

Command = Callable[..., tuple[int, str, str]]


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
def finished_run(game_cache: None, run_folder: Path) -> Path:
    """The directory of a tiny finished run; do not change it."""
    from agentrl.config import load_config
    from agentrl.training import train
    from tests.training.runs import write_config

    folder = run_folder / "finished"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process trains, the others wait for it
        if not (folder / "run" / "summary.json").is_file():
            with open(os.devnull, "w") as nowhere:
                train(load_config(write_config(folder, tensorboard=True)), Console(file=nowhere))
    return folder / "run"
