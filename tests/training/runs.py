"""A tiny real run, where it is made, and what must be equal in two of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from agentrl.storage import read_forest

STEPS = 4
TINY: dict[str, Any] = {
    "steps": STEPS,
    "threads": 1,
    "tensorboard": False,
    "model": {
        "hidden_size": 32,
        "layers": 2,
        "heads": 4,
        "vocab_size": 320,
        "max_context": 256,
        "device": "cpu",
    },
    "environment": {
        "train": {"count": 4, "levels": [1, 2], "max_steps": 4},
        "heldout": {"count": 2, "levels": [1, 2], "max_steps": 4},
        "workers": 4,
    },
    "rollout": {
        "tasks_per_step": 2,
        "group_size": 4,
        "max_turns": 4,
        "max_tokens_per_turn": 6,
        "deterministic": True,
    },
    "learner": {"learning_rate": 1e-3, "microbatch_tokens": 2048},
    "warmup": {"episodes": 8, "steps": 12, "episodes_per_step": 4, "learning_rate": 1e-2},
    "evaluation": {"every": 2, "tasks_during_training": 2},
    "checkpoint": {"every": 1, "keep": 2, "rollouts_every": 1},
}

CORRIDOR: dict[str, Any] = {
    **TINY,
    "environment": {"id": "tests.envs.corridor:tests/Corridor-v0", "workers": 4},
    "warmup": {"episodes": 0},
}
"""The same on an environment that needs no preparation."""

LINE: dict[str, Any] = {
    **TINY,
    "environment": {"id": "tests.envs.sound:broken/Sound-v0", "workers": 4},
}
"""The same on one that has an expert, and whose processes start faster than TextWorld's."""


def write_config(folder: Path, settings: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a configuration whose run lies in `folder/run`; changes are whole sections."""
    path = folder / "config.yaml"
    data = {"run_dir": str(folder / "run"), **(settings or TINY), **changes}
    path.write_text(yaml.safe_dump(data))
    return path


def metrics(run: Path) -> list[dict[str, Any]]:
    """All logged values but durations."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not _is_duration(key)} for line in lines]


def _is_duration(key: str) -> bool:
    return key.startswith("time/") or key.endswith(("seconds", "busy_share"))


def summary(run: Path) -> dict[str, Any]:
    data = json.loads((run / "summary.json").read_text())
    data.pop("minutes")
    return data


def trees(path: Path) -> list[Any]:
    """Stored trees without durations."""
    forest = read_forest(path)
    for tree in forest.trees:
        for item in [*tree.nodes, *tree.episodes]:
            item.seconds = 0.0
    return sorted(forest.trees, key=lambda tree: tree.id)


def final_checkpoint(run: Path) -> Path:
    return sorted((run / "checkpoints").iterdir())[-1]


def assert_same_run(run: Path, reference: Path) -> None:
    """Metrics, summaries, trajectories, weights and optimizer state are equal bit for bit."""
    assert metrics(run) == metrics(reference)
    assert summary(run) == summary(reference)
    for folder in ("rollouts", "eval"):
        names = sorted(path.name for path in (reference / folder).glob("*.jsonl"))
        assert names == sorted(path.name for path in (run / folder).glob("*.jsonl"))
        for name in names:
            assert trees(run / folder / name) == trees(reference / folder / name), name
    ours, theirs = final_checkpoint(run), final_checkpoint(reference)
    assert ours.name == theirs.name
    weights = "model.safetensors"
    assert (ours / weights).read_bytes() == (theirs / weights).read_bytes()
    states = [torch.load(path / "trainer.pt", weights_only=False) for path in (ours, theirs)]
    for state in states:
        state.pop("seconds")
        state["config"].pop("run_dir")
    assert_equal(states[0], states[1])


def assert_equal(one: Any, other: Any) -> None:
    """Nested values are equal, tensors bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other
