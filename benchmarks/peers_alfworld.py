"""The `alfworld` package's side of `environments_peers.py`.

    PYTHON benchmarks/peers_alfworld.py WORKLOAD.json RESULT.json

PYTHON is an interpreter that has `alfworld` and `textworld[pddl]`.  The calls are those of a worker
of verl-agent (xlan156/verl-agent:agent_system/environments/env_package/alfworld/envs.py): one
`AlfredTWEnv` over the folder, `init_env(batch_size=1)`, then `reset()` and `step([action])`, and
the first entry of every value of `infos`.  Ray, which runs those workers, is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from alfworld.agents.environment import get_environment
from peers_clock import Stopwatch

NO_EXPERT = "eval_out_of_distribution"


def configuration(folder: str) -> dict[str, Any]:
    """Return what `AlfredTWEnv` reads of the published `config_tw.yaml`."""
    return {
        "dataset": {"eval_ood_data_path": folder, "num_eval_games": -1},
        "env": {
            "goal_desc_human_anns_prob": 0.0,
            "task_types": [1, 2, 3, 4, 5, 6],
            "domain_randomization": False,
            "expert_type": "handcoded",
        },
        "general": {"training_method": "dagger"},
        "dagger": {"training": {"max_nb_steps_per_episode": 50}},
    }


def page(observation: Any, infos: dict[str, Any]) -> list[Any]:
    """Return what is compared: text and admissible commands."""
    info = {key: values[0] for key, values in infos.items()}
    return [observation[0], info["admissible_commands"]]


def main() -> None:
    workload_path, result_path = map(Path, sys.argv[1:])  # the planner writes to `sys.argv`
    workload = json.loads(workload_path.read_text())
    kind = get_environment("AlfredTWEnv")
    env = kind(configuration(workload["folder"]), train_eval=NO_EXPERT).init_env(batch_size=1)
    env.seed(0)
    clock, pages = Stopwatch(), {}
    for _ in workload["episodes"]:
        with clock.timed("reset"):
            observation, infos = env.reset()
            first = page(observation, infos)
        game = str(Path(infos["extra.gamefile"][0]).parent.relative_to(workload["folder"]))
        pages[game] = [first]
        for action in workload["episodes"][game]:
            with clock.timed("step"):
                observation, _, _, infos = env.step([action])
                shown = page(observation, infos)
            pages[game].append(shown)
    result_path.write_text(json.dumps({"times": clock.results(), "pages": pages}))


if __name__ == "__main__":
    main()
