"""Smoke matrix: every registered algorithm makes three real training steps.

The settings are the quickstart's; the environment is one whose processes start at once.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from rich.console import Console

from agentrl.algorithms import names
from agentrl.config import load_config
from agentrl.training import train
from tests.algorithms.small import SMALL
from tests.training.runs import metrics

ROOT = Path(__file__).parents[2]
QUICK = [
    "steps=3",
    "model.hidden_size=32",
    "model.layers=2",
    "model.max_context=2048",
    "environment.id=tests.envs.sound:broken/Sound-v0",
    "environment.train={}",
    "environment.heldout={}",
    "environment.workers=8",
    "rollout.tasks_per_step=5",
    "rollout.max_turns=3",
    "rollout.max_tokens_per_turn=6",
    "rollout.deterministic=false",
    "warmup.episodes=16",
    "warmup.steps=6",
    "evaluation.every=0",
    "checkpoint.every=0",
    "tensorboard=false",
]
GROUP_SIZES = {"ettrl": 5, "tree_grpo": 6}
"""Of methods whose trees do not fill a group of four."""


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_it_makes_three_steps(
    name: str, tmp_path: Path, game_cache: None, quiet_console: Console
) -> None:
    overrides = [*QUICK, f"run_dir={tmp_path / 'run'}", f"algorithm.name={name}"]
    overrides.append(f"rollout.group_size={GROUP_SIZES.get(name, 4)}")
    overrides += [f"algorithm.options.{key}={value}" for key, value in SMALL.get(name, {}).items()]
    train(load_config(ROOT / "configs" / "quickstart.yaml", overrides), quiet_console)
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    numbers = [value for line in lines for value in line.values() if isinstance(value, float)]
    assert all(map(math.isfinite, numbers))
    assert all("rollout/success" in line for line in lines[1:])
    assert not any(line.get("learner/skipped") for line in lines)
