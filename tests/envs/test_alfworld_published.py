"""The published ALFWorld games, where at hand: official plays, both engines, the expert."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from agentrl.envs.alfworld import TASK_TYPES, ALFWorldEnv
from agentrl.types import Task
from tests.golden.environments_alfworld import check

pytest.importorskip("fast_downward", reason="the extra `alfworld` is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def games(shared: Path) -> Path:
    path = shared / "data" / "alfworld"
    if not path.is_dir():
        pytest.skip(f"no ALFWorld games at {path}")
    return path


def test_official_transcripts_replay_exactly(shared: Path, games: Path):
    path = shared / "golden" / "environments" / "alfworld.transcripts.json"
    if not path.exists():
        pytest.skip(f"no official transcripts at {path}")
    assert check(path, games) == []


def sample(games: Path, split: str, each: int) -> list[Task]:
    """Return `each` tasks of every type."""
    return [
        task
        for kind in TASK_TYPES
        for task in ALFWorldEnv.panel(
            split, data_dir=str(games), task_types=[kind], seed=0, count=each
        )
    ]


def test_our_engine_says_what_textworld_says(games: Path):
    for task in sample(games, "valid_seen", 1):
        ours, theirs = ALFWorldEnv(max_steps=1000), ALFWorldEnv(max_steps=1000, engine="textworld")
        steps = [list(env.reset(options=dict(task.options))) for env in (ours, theirs)]
        rng = random.Random(task.id)
        for _ in range(10):
            for entry in steps:
                entry[-1].pop("anchor")
            assert steps[0] == steps[1], task.id
            actions = steps[0][-1]["admissible_actions"]
            handling = [a for a in actions if not a.startswith("go to ")]
            command = rng.choice([*(handling if rng.random() < 0.6 else actions), "dance"])
            steps = [list(env.step(command)) for env in (ours, theirs)]
        theirs.close()


def test_a_process_that_used_textworlds_engine_ends_well():
    code = (
        "from agentrl.envs.alfworld import ALFWorldEnv\n"
        "for seed in range(2):\n"
        "    env = ALFWorldEnv(engine='textworld')\n"
        "    env.reset(seed=seed)\n"
        "    env.fork().close()\n"
        "    env.close()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_the_expert_wins_published_games_after_random_detours(games: Path):
    for task in sample(games, "valid_unseen", 3):
        env = ALFWorldEnv()
        _, info = env.reset(options={**task.options, "expert": True})
        rng = random.Random(task.id)
        for number in range(50):
            detour = number < 5 or rng.random() < 0.3
            pool = info["admissible_actions"] if detour else [info["expert_action"]]
            _, _, terminated, truncated, info = env.step(rng.choice(pool))
            if terminated or truncated:
                break
        assert info["won"], task.id


def test_train_and_held_out_games_are_disjoint(games: Path):
    panels = [
        {task.id for task in ALFWorldEnv.panel(split, data_dir=str(games))}
        for split in ("train", "heldout", "valid_seen", "valid_train")
    ]
    assert len(set.union(*panels)) == sum(map(len, panels))
