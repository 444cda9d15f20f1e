"""Replays official ALFWorld plays; `check` is what `make golden` runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentrl.envs.alfworld import ALFWorldEnv


def check(path: Path, data: Path, engine: str = "compact") -> list[str]:
    """Replay every transcript of a file and return the differences; empty means it passes.

    Args:
        path: a file of the form of `alfworld.transcripts.json`.
        data: directory with the games, or the folder that holds it as `alfworld`.
        engine: which engine plays.
    """
    games = data / "alfworld" if (data / "alfworld").is_dir() else data
    env = ALFWorldEnv(data_dir=str(games), engine=engine, max_steps=10_000)
    transcripts = json.loads(path.read_text("utf-8"))["transcripts"]
    differences = [] if transcripts else [f"{path.name} holds no transcripts"]
    for transcript in transcripts:
        differences += _replay(env, transcript)
    env.close()
    return differences


def _replay(env: ALFWorldEnv, transcript: dict[str, Any]) -> list[str]:
    where = f"{transcript['id']} ({transcript['kind']})"
    options = {"game": transcript["id"], "split": transcript["split"]}
    observation, info = env.reset(options=options)
    first = transcript["reset"]
    found = [
        (info["task"].removesuffix("."), transcript["task"], "task"),
        (info["task_type"], transcript["task_type"], "task type"),
        (observation, first["obs"], "first observation"),
        (info["admissible_actions"], first["admissible"], "first admissible actions"),
    ]
    for number, step in enumerate(transcript["steps"], 1):
        observation, _, terminated, truncated, info = env.step(step["action"])
        for key, value in {
            "obs": observation,
            "admissible": info["admissible_actions"],
            "score": info["raw_score"],
            "done": terminated or truncated,
            "won": info["won"],
        }.items():
            found.append((value, step[key], f"step {number}, {step['action']!r}: {key}"))
    return [
        f"{where}: {what} is {got!r}, expected {want!r}" for got, want, what in found if got != want
    ]
