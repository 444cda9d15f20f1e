"""Trees and run directories made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.storage import write_forest
from agentrl.tree import Forest, StopReason, Tree, Writer
from agentrl.types import Task


def tree_of(
    episodes: Sequence[tuple[Sequence[str], float]],
    *,
    answer: str | None = None,
    logprobs: Sequence[float] = (-0.5, -0.1),
    entropies: Sequence[float] = (0.6, 0.3),
    name: str = "0",
) -> Tree:
    """A group whose episodes take the given actions, two tokens each, and get the given reward."""
    tree = Tree(name, Task(id=f"task-{name}", env_id="tests/Env-v0", answer=answer))
    root = tree.add(None, Writer.ENVIRONMENT, [1, 2])
    for actions, reward in episodes:
        node = root
        for turn, action in enumerate(actions):
            node = tree.add(
                node.id,
                Writer.MODEL,
                [3, 4],
                turn=turn,
                logprobs=list(logprobs),
                entropies=list(entropies),
                info={"action": action, "text": action},
            )
        tree.add_episode(
            sequences=[node.id],
            stop=StopReason.TERMINATED,
            reward=reward,
            metrics={"success": float(reward > 0.5), "score": reward},
            turns=len(actions),
        )
    return tree


def write_run(
    folder: Path,
    metrics: Sequence[Mapping[str, Any]] = (),
    rollouts: Mapping[int, Sequence[Tree]] | None = None,
) -> Path:
    """A run directory with these lines of metrics and these trees by step."""
    run = folder / "run"
    run.mkdir()
    (run / "config.yaml").write_text(f"run_dir: {run}\n")
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    for step, trees in (rollouts or {}).items():
        path = run / "rollouts" / f"step-{step:06d}.jsonl"
        path.parent.mkdir(exist_ok=True)
        write_forest(Forest(list(trees)), path)
    return run
