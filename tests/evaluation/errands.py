"""An environment with task types, an expert that may give up, and faults at chosen tasks."""

from __future__ import annotations

from typing import Any

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld import CompactPrompt
from agentrl.errors import unknown_name
from agentrl.types import Task, TaskPanel

ENV_ID = "tests/Errands-v0"
SPLITS = {"train": 0, "heldout": 100, "near": 200, "far": 300}


class ErrandsEnv(TextEnv):
    """Say `go` as often as the task wants; `sit` is accepted, anything else is not.

    Every second task is of type `long` and wants two steps instead of one.  Seeds in `broken`
    raise at reset, the expert gives up on seeds in `lost`.
    """

    prompt = CompactPrompt()

    @classmethod
    def panel(
        cls,
        split: str,
        count: int = 6,
        broken: tuple[int, ...] = (),
        lost: tuple[int, ...] = (),
        max_steps: int = 4,
    ) -> TaskPanel:
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        options = {"broken": list(broken), "lost": list(lost), "max_steps": max_steps}
        tasks = (
            Task(
                id=f"{split}-{number}",
                env_id=ENV_ID,
                seed=SPLITS[split] + number,
                split=split,
                options=options,
                task_type="long" if number % 2 else "short",
            )
            for number in range(count)
        )
        return TaskPanel.of(f"errands-{split}", tasks)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        assert seed is not None
        self.options, self.seed, self.steps = dict(options), seed, 0
        if seed % 100 in self.options["broken"]:
            raise RuntimeError("the errand is broken")
        self.left = 2 if seed % 2 else 1
        return "Go!", self._info(True)

    def step(self, action: str) -> Any:
        self.steps += 1
        self.left -= action == "go"
        won = self.left == 0
        late = not won and self.steps >= self.options["max_steps"]
        return "Gone." if won else "Go!", float(won), won, late, self._info(action in ("go", "sit"))

    def _info(self, valid: bool) -> dict[str, Any]:
        info: dict[str, Any] = {
            "task": "Go.",
            "admissible_actions": ["go", "sit"],
            "won": self.left == 0,
            "score": 1 / (1 + self.left),
            "action_valid": valid,
        }
        if self.options.get("expert"):
            info["expert_action"] = None if self.seed % 100 in self.options["lost"] else "go"
        return info


register(ENV_ID, "tests.evaluation.errands:ErrandsEnv", description="Say go.")
