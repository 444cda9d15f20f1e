"""Official ScienceWorld: the table of tasks and transcripts, replayed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentrl.envs.base import Info
from agentrl.envs.scienceworld import SIMPLIFICATIONS, TASKS, ScienceWorldEnv

_UNLISTED = "reset task"
_PROGRESS_CHARACTERS = 600
"""The files hold only the beginning of the table of sub-goals."""


def check(path: Path, data: Path) -> list[str]:
    """Return how our results differ from one file of recorded ones; empty if they agree.

    Args:
        path: `scienceworld.tasks.json`, `scienceworld.transcripts.json`, or files of their form.
        data: folder of official data; not needed here.
    """
    recorded = json.loads(path.read_text())
    if "tasks" in recorded:
        return list(_check_tasks(recorded))
    if "runs" in recorded:
        return [problem for run in recorded["runs"] for problem in _check_run(run)]
    return [f"neither `tasks` nor `runs` in {sorted(recorded)}"]


def _check_tasks(recorded: dict[str, Any]) -> Iterator[str]:
    if sorted(recorded["simplifications"]) != list(SIMPLIFICATIONS):
        yield f"simplifications {SIMPLIFICATIONS} instead of {recorded['simplifications']}"
    if len(recorded["tasks"]) != len(TASKS):
        yield f"{len(TASKS)} tasks instead of {len(recorded['tasks'])}"
    env = ScienceWorldEnv()
    for row in recorded["tasks"]:
        task = TASKS[row["name"]]
        _, info = env.reset(options={"task": task.name, "variation": 0})
        ours = {
            "index": task.index,
            "task_id": task.id,
            "topic": task.topic,
            "max_variations": task.variations,
            "description_v0": info["task"],
        }
        for split in ("train", "dev", "test"):
            variations = task.split(split)
            ours[split] = [variations[0], variations[-1], len(variations)]
        yield from _differences(task.name, ours, row)
    env.close()


def _check_run(run: dict[str, Any]) -> Iterator[str]:
    """Replay one run with the list of valid actions, as it was recorded, and without it."""
    name = f"{run['kind']} {run['task']} {run['variation']} {run['simplification']!r}"
    env = ScienceWorldEnv()
    observation, info = env.reset(
        options={
            "task": run["task"],
            "variation": run["variation"],
            "simplifications": run["simplification"],
            "native_step_limit": run["env_step_limit"],
            "max_steps": 1_000_000,
            "admissible": True,
        }
    )
    start = {
        **_seen(observation, info),
        "look": info["look"],
        "task_description": info["task"],
        "possible_actions": sorted([*info["action_templates"], _UNLISTED]),
    }
    recorded_start = {**run["reset"], **{k: v for k, v in run.items() if isinstance(v, str | list)}}
    yield from _differences(f"{name} reset", start, recorded_start)
    score = info["raw_score"]
    for number, step in enumerate(run["steps"], 1):
        observation, _, terminated, _, info = env.step(step["action"])
        seen = {**_seen(observation, info), "done": terminated, "reward": info["raw_score"] - score}
        score = info["raw_score"]
        yield from _differences(f"{name} step {number} {step['action']!r}", seen, step)
    progress = run.get("goal_progress")
    ours = env.goal_progress()
    if progress is not None and progress not in (ours, ours[:_PROGRESS_CHARACTERS]):
        yield f"{name}: goal progress {ours!r} instead of {progress!r}"
    env.close()


def _seen(observation: str, info: Info) -> dict[str, Any]:
    actions = info["admissible_actions"]
    valid = actions if info["ambiguous"] else sorted([*actions, _UNLISTED])
    digest = hashlib.sha256("\n".join(valid).encode()).hexdigest()[:16]
    return {
        "obs": observation,
        "score": info["raw_score"],
        "moves": info["moves"],
        "inv": info["inventory"],
        "valid": [len(valid), digest],
    }


def _differences(where: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    for key, value in ours.items():
        if key in theirs and theirs[key] != value:
            yield f"{where}: {key} is {value!r} instead of {theirs[key]!r}"
