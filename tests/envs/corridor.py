"""The smallest useful environment: what a user has to write."""

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld import CompactPrompt
from agentrl.types import Task, TaskPanel


class Corridor(TextEnv):
    prompt = CompactPrompt()

    @classmethod
    def panel(cls, split, count=4):
        numbers = range(count) if split == "train" else range(100, 100 + count)
        tasks = [Task(id=f"{n}", env_id="tests/Corridor-v0", seed=n, split=split) for n in numbers]
        return TaskPanel.of("corridor", tasks)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 1 + (seed or 0) % 3
        return f"{self.left} steps to go.", {"task": "Walk on."}

    def step(self, action):
        self.left -= action == "walk"
        won = self.left == 0
        return f"{self.left} steps to go.", float(won), won, False, {"won": won}


register("tests/Corridor-v0", "tests.envs.corridor:Corridor", description="Walk to the end.")
