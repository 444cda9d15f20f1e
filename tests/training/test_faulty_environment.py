"""Training goes on beside an environment that fails in every way."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrl.config import load_config
from agentrl.storage import read_forest
from agentrl.training import train
from tests.training.runs import CORRIDOR, metrics, write_config

KINDS = {
    "env_error/raised",
    "env_error/died",
    "env_error/contract",
    "env_timeout/timeout",
}


def faulty_config(folder: Path, **options: object) -> Path:
    return write_config(
        folder,
        CORRIDOR,
        steps=1,
        environment={
            "id": "tests.envs.faulty:tests/Faulty-v0",
            "train": {"count": 48, **options},
            "heldout": {"count": 2, "rate": 0.0},
            "workers": 24,
            "call_timeout": 1.0,
        },
        rollout={
            **CORRIDOR["rollout"],
            "tasks_per_step": 48,
            "group_size": 2,
            "max_resamples": 1,
            "max_turns": 6,
        },
        evaluation={"every": 0},
    )


@pytest.mark.slow
def test_steps_complete_and_every_failure_is_recorded_by_kind(tmp_path: Path, quiet_console):
    config = load_config(faulty_config(tmp_path))
    train(config, quiet_console)
    steps = metrics(tmp_path / "run")[1:]
    assert [line["step"] for line in steps] == [1]
    for line in steps:
        forest = read_forest(tmp_path / "run" / "rollouts" / f"step-{line['step']:06d}.jsonl")
        stored = {f"failures/{kind}": float(n) for kind, n in forest.failures().items()}
        assert stored == {key: n for key, n in line.items() if key.startswith("failures/")}
        assert line["rollout/failed"] == sum(stored.values()) > 0
        assert line["rollout/episodes"] == line["learner/rows"] == len(forest.counted()) > 0
        assert line["rollout/reward"] == 1.0  # failures are no zeros
        for tree in forest:
            assert len(tree.counted()) == 2 or len(tree.episodes) == 2 + 1
            for episode in tree.episodes:
                assert episode.counts == (not episode.error_kind) == (not episode.error)
    assert {key.removeprefix("failures/") for line in steps for key in line} & KINDS == KINDS


def test_a_run_whose_every_episode_fails_stops_and_says_why(tmp_path: Path, run_agentrl):
    config = faulty_config(tmp_path, kinds=["types"], rate=1.0)
    status, _, error = run_agentrl("train", str(config))
    assert status == 2
    assert "Every episode of step 1 failed (env_error/contract: 144)" in error
    assert "tests/Faulty-v0" in error and "Traceback" not in error
