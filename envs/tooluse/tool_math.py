"""`agentrl/ToolMath-v0`: problems of mathematics, answered with programs, in ARPO's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from agentrl.envs.base import Placement
from agentrl.envs.maths.judge import judge_named
from agentrl.envs.maths.panels import ARITHMETIC, FIRST_SEED, arithmetic, judged_questions
from agentrl.envs.options import check_choice
from agentrl.envs.tooluse.action import answer_text, call_text
from agentrl.envs.tooluse.env import ToolEnv
from agentrl.envs.tooluse.files import limits, question_task, without_file
from agentrl.envs.tooluse.prompt import tool_prompts
from agentrl.envs.tooluse.python_tool import (
    PYTHON_SCHEMA,
    check_level,
    prepare_sandbox,
    python_tool,
)
from agentrl.envs.tooluse.reward import Judged, Response, Reward
from agentrl.errors import ConfigError
from agentrl.scoring.boxed import last_boxed
from agentrl.tools.base import JSON, Tool
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/ToolMath-v0"
_LIMITS = ("max_calls", "max_characters")
_SHARED = ("judge", "level", *_LIMITS)
_HARD = {"count": 64, "digits": 5, "terms": 3, "operations": "*+-"}
_PROGRAM = "program"
"""Option of generated tasks: what an expert runs."""


class ToolMathEnv(ToolEnv):
    """Generated arithmetic, hard by heart and easy by program, or a set or file of problems.

    Panel options: `count`, `digits`, `terms`, `operations` of generated arithmetic, or `file` and
    the others of `agentrl.envs.questions.panel_choice`; `judge`, `exact` or one that reads boxes;
    `unverified` (see `MathEnv`); `level` of the sandbox; `max_calls`; `max_characters`.
    """

    schemas = (PYTHON_SCHEMA,)
    prompts: ClassVar[Mapping[str, Any]] = tool_prompts(schemas)
    prompt = prompts["arpo"]
    placement = Placement(memory_mib=96, call_timeout=120.0)
    max_calls = 6

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return the problems of a set or file, or generated ones, of which splits share none."""
        check_choice("ToolMath", "split", split, FIRST_SEED)
        tasks = _file_tasks if "file" in options else _generated
        return TaskPanel.of(f"toolmath-{split}", tasks(split, options))

    @classmethod
    def prepare(cls, panel: TaskPanel) -> None:
        """Test the sandbox."""
        for level in sorted({str(task.options["level"]) for task in panel}):
            prepare_sandbox(level)

    @classmethod
    def tool_options(cls, options: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return the level of the sandbox."""
        return {"level": options["level"]}

    @classmethod
    def make_tools(cls, options: Mapping[str, JSON]) -> Sequence[Tool]:
        """Return the tool."""
        return [python_tool(options["level"])]

    @classmethod
    def reward_of(cls, options: Mapping[str, JSON]) -> Reward:
        """Return the reward of the task's judge."""
        return _reward(options["judge"])

    def extra_info(self) -> Mapping[str, JSON]:
        """Return the expert's action: run the program, then answer what it printed."""
        if _PROGRAM not in self.options:
            return {}
        run, answer = call_text("python", self.options[_PROGRAM]), answer_text(self.golds[0])
        ran = any(self.golds[0] in r.text for _, found in self.response.turns for r in found)
        action = answer if ran or self.toolbox.calls_left == 0 else run
        wrong = [answer_text(str(int(self.golds[0]) + step)) for step in (-10, -1, 1, 10)]
        return {"expert_action": action, "admissible_actions": sorted({run, answer, *wrong})}


def _reward(name: str) -> Reward:
    judge = judge_named(name)

    def reward(answer: str | None, golds: Sequence[str], response: Response) -> Judged:
        text = answer or ""
        boxed = text if last_boxed(text) is not None or not text else f"\\boxed{{{text}}}"
        found = judge(boxed, golds[0])
        return Judged(reward=found.reward, score=float(found.correct), correct=found.correct)

    return reward


def _generated(split: str, options: Mapping[str, Any]) -> Iterator[Task]:
    without_file("ToolMath", options, (*ARITHMETIC, *_SHARED))
    shared = _carried(options, "exact")
    for seed, text, answer in arithmetic("ToolMath", split, options, _HARD):
        yield Task(
            id=text,
            env_id=ENV_ID,
            seed=seed,
            split=split,
            answer=answer,
            options={
                "question": f"Compute {text}.",
                "answers": [answer],
                _PROGRAM: f"print({text})",
                **shared,
            },
        )


def _file_tasks(split: str, options: Mapping[str, Any]) -> Iterator[Task]:
    judge = options.get("judge", "boxed")
    names = (*_SHARED, "unverified")
    questions, _ = judged_questions("ToolMath", split, {**options, "judge": judge}, names)
    shared = _carried(options, judge)
    for question in questions:
        yield question_task(ENV_ID, split, question, shared)


def _carried(options: Mapping[str, Any], judge: str) -> dict[str, JSON]:
    """Return what every task of a panel carries."""
    judge, level = options.get("judge", judge), options.get("level", "bwrap")
    check_level("ToolMath", level)
    if judge not in ("exact", "boxed", "math"):
        judge_named(judge)
        raise ConfigError(
            f"Answers are given in boxes here, which the judge {judge!r} does not read; accepted "
            "are exact, boxed and math."
        )
    return {"judge": judge, "level": level, **limits(options, _LIMITS)}
