r"""`agentrl/Math-v0`: a problem, one turn, a reward: the degenerate case of an environment.

Episodes, trees, masks and learner are those of every other environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from agentrl.envs.base import Info, Placement, TextEnv
from agentrl.envs.maths.judge import Judge, judge_named
from agentrl.envs.maths.panels import file_tasks, generated_tasks, written
from agentrl.envs.maths.prompt import PROMPTS
from agentrl.types import TaskPanel


class MathEnv(TextEnv):
    """One problem, one answer.

    Panel options: `count`, `digits`, `terms`, `operations` of generated arithmetic; or `file` and
    the others of `agentrl.envs.questions.panel_choice`; `judge`, a name in `judge.JUDGES`;
    `form_of_answer`, a name in `prompt.FORMS`; `unverified` (`refuse` or `drop` problems whose own
    answer is not accepted).

    Options of a task: `problem`, `answer`, `judge`, `form`, `guesses` (wrong answers for the erring
    player of a warm-up; no model is shown them).
    """

    prompts: ClassVar[Mapping[str, Any]] = PROMPTS
    prompt = PROMPTS["task"]
    placement = Placement(memory_mib=64)  # with a process for math-verify

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return the problems of a set or file, or generated ones, of which splits share none."""
        tasks = file_tasks if "file" in options else generated_tasks
        return TaskPanel.of(f"math-{split}", tasks(split, options))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Show the problem."""
        super().reset(seed=seed)
        self.options = {"judge": "boxed", **(options or {})}
        self.problem, self.gold = str(self.options["problem"]), str(self.options["answer"])
        self.judge: Judge = judge_named(self.options["judge"])
        self.steps = 0
        # The player whom a warm-up imitates errs as often as its noise says.
        right = written(self.options, self.gold)
        wrong = (written(self.options, guess) for guess in self.options.get("guesses", ()))
        possible = sorted({right, *wrong})
        listed = possible if len(possible) > 1 else None
        return self.problem, self._info({"expert_action": right, "admissible_actions": listed})

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Judge an answer."""
        self.steps += 1
        found = self.judge(action, self.gold)
        info = self._info(
            {
                "won": found.correct,
                "score": float(found.correct),
                "raw_score": found.reward,
                "final_answer": found.answer,
                "action_valid": found.answer is not None,
                "judged": found.reason,
            }
        )
        return "", found.reward, True, False, info

    def fork(self) -> TextEnv:
        """Return a copy."""
        copy = type(self)()
        copy.__dict__.update(self.__dict__)
        return copy

    def _info(self, more: Info) -> Info:
        form = self.options.get("form", "boxed")
        return {
            "task": self.problem, "step": self.steps, "anchor": self.problem, "form": form, **more
        }  # fmt: skip
