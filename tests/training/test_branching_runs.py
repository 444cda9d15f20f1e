"""Runs whose episodes branch, begin inside stored ones, or adapt their temperature."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from agentrl.storage import read_forest
from agentrl.training.tree_picture import picture
from tests.training.conftest import RunServer
from tests.training.runs import LINE, assert_same_run, metrics, write_config

FORWARD = "agentrl.engines.embedded.engine:EmbeddedEngine._step"
UPDATE = "agentrl.learner.learner:Learner.update"
GROUP_SIZE = 4
METHODS: dict[str, dict[str, Any]] = {
    "aepo": {},
    "cure": {"dynamic_sampling": False},
    "tree": {"rollout": {"name": "fixed", "turns": [0], "children": 2}},
    "drpo": {"reference": "expert"},
    "hapo": {"dynamic_sampling": False},
}


def algorithm(name: str) -> dict[str, Any]:
    return {"name": "dapo" if name == "tree" else name, "options": METHODS[name]}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in METHODS])
def test_a_run_that_was_killed_ends_like_one_that_was_not(
    server: RunServer, tmp_path: Path, name: str
) -> None:
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    config = write_config(tmp_path / "whole", LINE, algorithm=algorithm(name))
    output = tmp_path / "output"
    assert server.run(["train", str(config)], output) == 0, output.read_text()
    config = write_config(tmp_path / "killed", LINE, algorithm=algorithm(name))
    for moment in ((UPDATE, 2), (FORWARD, 30)):
        assert server.run(["train", str(config)], output, moment) == -signal.SIGKILL
    assert server.run(["train", str(config)], output) == 0, output.read_text()
    assert_same_run(tmp_path / "killed" / "run", tmp_path / "whole" / "run")
    if name in ("aepo", "cure", "tree"):
        _has_branches(tmp_path / "whole" / "run")


def _has_branches(run: Path) -> None:
    steps = [line for line in metrics(run) if line["step"]]
    assert all(line["rollout/branches"] > 0 for line in steps)
    assert all(line["rollout/episodes"] % GROUP_SIZE == 0 for line in steps)
    trees = [tree for path in (run / "rollouts").iterdir() for tree in read_forest(path)]
    for line, path in zip(steps, sorted((run / "rollouts").iterdir()), strict=True):
        spans = (n for tree in read_forest(path) for n in tree.nodes if n.writer == "model")
        assert line["rollout/tokens_sampled"] == sum(len(node.ids) for node in spans)
    report = (run / "report.html").read_text()
    assert "What branching sampled" in report
    assert sum(picture(tree) in report for tree in trees) >= 1
