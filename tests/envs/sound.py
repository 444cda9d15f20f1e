"""A sound environment, and the list of its variants with one fault each."""

from __future__ import annotations

from typing import Any

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld import CompactPrompt
from agentrl.types import Task, TaskPanel


class Sound(TextEnv):
    """Walk along a line to its end; knows actions, expert and `fork`; eight steps at most."""

    prompt = CompactPrompt()
    path: list[int]

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        return TaskPanel.of(split, cls.tasks(split, options))

    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        first = 0 if split == "train" else 100
        return [cls.task(n, split, options) for n in range(first, first + 4)]

    @classmethod
    def task(cls, number: int, split: str, options: dict[str, Any]) -> Task:
        env_id = f"broken/{cls.__name__}-v0"
        return Task(id=f"{number}", env_id=env_id, seed=number, options=options, split=split)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.path = [int(self.np_random.integers(2, 5))]
        return self.look(), self.info("left")

    def step(self, action: str) -> Any:
        self.path.append(max(0, self.path[-1] + {"left": -1, "right": 1}.get(action, 0)))
        won = self.path[-1] == 0
        over = not won and len(self.path) > 8
        return self.look(), float(won), won, over, self.info(action)

    def fork(self) -> TextEnv:
        twin = type(self)()
        twin.path = list(self.path)
        return twin

    def look(self) -> str:
        return f"The end is {self.path[-1]} to the left."

    def info(self, action: str) -> dict[str, Any]:
        return {
            "task": "Walk to the end.",
            "admissible_actions": ["left", "right"],
            "action_valid": action in ("left", "right"),
            "won": self.path[-1] == 0,
            "score": float(self.path[-1] == 0),
            "step": len(self.path) - 1,
            "expert_action": "left",
        }


FAULTS: list[tuple[str, str, str]] = []
"""Check, what it says, and the environment that must fail it."""


def fault(check: str, message: str) -> Any:
    def add(cls: type) -> type:
        env_id = f"broken/{cls.__name__}-v0"
        FAULTS.append((check, message, env_id))
        register(env_id, f"{cls.__module__}:{cls.__name__}", description=message)
        return cls

    return add


register("broken/Sound-v0", f"{__name__}:Sound", description="Nothing is wrong with it.")
