"""The `scienceworld` package's side of `environments_peers.py`.

    PYTHON benchmarks/peers_scienceworld.py WORKLOAD.json RESULT.json

The package is driven by its own interface, which wrappers such as EPO's and AgentGym's use: one
`ScienceWorldEnv`, `load` and `reset` for an episode, and `step`, which lists all valid actions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from peers_clock import Stopwatch
from scienceworld import ScienceWorldEnv

STEP_LIMIT = 100


def play(env: ScienceWorldEnv, episodes: dict[str, Any], clock: Stopwatch) -> dict[str, Any]:
    """Play the episodes; returns their pages."""
    pages = {}
    for name, episode in episodes.items():
        with clock.timed("reset"):
            env.load(episode["task"], episode["variation"], episode["simplifications"])
            observation, info = env.reset()
        pages[name] = [[observation, sorted(info["valid"])]]
        for action in episode["actions"]:
            with clock.timed("step"):
                observation, _, _, info = env.step(action)
            pages[name].append([observation, sorted(info["valid"])])
    return pages


def main() -> None:
    workload_path, result_path = map(Path, sys.argv[1:])
    episodes = json.loads(workload_path.read_text())["episodes"]
    env = ScienceWorldEnv("", envStepLimit=STEP_LIMIT)
    play(env, episodes, Stopwatch())  # Java translates what runs often
    clock = Stopwatch()
    pages = play(env, episodes, clock)
    env.close()
    result_path.write_text(json.dumps({"times": clock.results(), "pages": pages}))


if __name__ == "__main__":
    main()
