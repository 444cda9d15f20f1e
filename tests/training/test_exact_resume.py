"""Killed at any moment and started again, a run ends as if it had never been killed."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.conftest import RunServer
from tests.training.runs import LINE, assert_same_run, metrics, write_config

UPDATE = "agentrl.learner.learner:Learner.update"
FORWARD = "agentrl.engines.embedded.engine:EmbeddedEngine._step"
WRITE_TREE = "agentrl.storage:ForestWriter.write"
MOMENTS = {
    "preparation": ("agentrl.rollout.workers:EnvPool.__aenter__", 1),
    "warm-up": ("agentrl.learner.learner:Learner.supervised", 7),
    "first evaluation": ("agentrl.evaluation.panel:score_forest", 2),
    "first checkpoint": ("torch:save", 1),
    "first rollout": (FORWARD, 9),
    "first update": (UPDATE, 1),
    "writing a rollout": (WRITE_TREE, 4),
    "backward pass": ("torch:Tensor.backward", 1),
    "writing metrics": ("agentrl.training.metrics:MetricsLog.write", 2),
    "weights of a checkpoint": ("agentrl.checkpoint:save_model", 1),
    "naming a checkpoint": ("agentrl.checkpoint:os.replace", 1),
    "deleting a checkpoint": ("agentrl.checkpoint:shutil.rmtree", 2),
    "evaluation while training": ("agentrl.training.evaluations:score_panel", 2),
    "report": ("agentrl.training.summary:write_report", 1),
    "summary": ("agentrl.training.run_directory:RunDirectory.write_summary", 1),
}


@pytest.fixture(scope="module")
def reference(server: RunServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("reference")
    config = write_config(folder, LINE)
    assert server.run(["train", str(config)], folder / "output") == 0, (
        folder / "output"
    ).read_text()
    return folder / "run"


def test_the_reference_run_learns_something(reference: Path):
    """Equal runs would prove little if nothing ever changed."""
    assert sum(line.get("learner/grad_norm", 0.0) > 1e-3 for line in metrics(reference)) >= 3


def test_a_run_killed_at_every_kind_of_moment_ends_like_one_that_was_not(
    server: RunServer, reference: Path, tmp_path: Path
):
    arguments, output = ["train", str(write_config(tmp_path, LINE))], tmp_path / "output"
    killed = [
        name
        for name, moment in MOMENTS.items()
        if server.run(arguments, output, moment) == -signal.SIGKILL
    ]
    assert server.leftovers() == []
    assert set(killed) == set(MOMENTS), output.read_text()
    assert server.run(arguments, output) == 0, output.read_text()
    assert_same_run(tmp_path / "run", reference)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_run_killed_at_random_times_ends_like_one_that_was_not(
    server: RunServer, reference: Path, tmp_path: Path, seed: int
):
    chance = random.Random(seed)
    arguments, output = ["train", str(write_config(tmp_path, LINE))], tmp_path / "output"
    for _ in range(4):
        pid = server.start(arguments, output)
        time.sleep(chance.uniform(0.1, 1.5))
        with suppress(ProcessLookupError):  # it was faster
            os.kill(pid, signal.SIGKILL)
        if server.wait() == 0:
            break
    assert server.leftovers() == []
    if not (tmp_path / "run" / "summary.json").exists():
        assert server.run(arguments, output) == 0, output.read_text()
    assert_same_run(tmp_path / "run", reference)
