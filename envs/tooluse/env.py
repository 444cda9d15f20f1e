"""Environments in which a question is answered with tools.

A subclass says which tools there are; `panel` says which questions.  An environment of one's own:

    class MyEnv(ToolEnv):
        schemas = (schema_of(my_tool),)
        prompts = tool_prompts(schemas)
        prompt = prompts["hermes"]

        @classmethod
        def make_tools(cls, options): return [my_tool]
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar

from agentrl.envs.base import Info, TextEnv
from agentrl.envs.tooluse.action import Action
from agentrl.envs.tooluse.reward import Judged, Response, Reward, reward_named
from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.tools.base import JSON, Tool, ToolCall, ToolContext, ToolErrorKind, ToolResult
from agentrl.tools.dialects import DIALECTS
from agentrl.tools.dialects.reply import Schema
from agentrl.tools.toolbox import Toolbox

ATTACHMENT = "attachment"
_episodes = itertools.count()
_runner: asyncio.Runner | None = None
_tools: dict[str, Sequence[Tool]] = {}


class ToolEnv(TextEnv):
    """Answers a question with tools; the reward is that of the answer.

    Options of a task: `question`; `answers`, any of which is right; `reward`, a name in
    `agentrl.envs.tooluse.reward.REWARDS`; `max_calls`; `max_characters` of a result; `attachment`,
    the path of a file that belongs to the question; and what `make_tools` reads.

    Attributes:
        schemas: what the prompts say of the tools; of the class, as are the others.
        default_reward: for tasks that name none.
        max_calls: for tasks that name none; None for any number.
        max_characters: of a result, for tasks that name none.
    """

    schemas: ClassVar[tuple[Schema, ...]] = ()
    default_reward: ClassVar[str] = "em"
    max_calls: ClassVar[int | None] = None
    max_characters: ClassVar[int] = 4000

    @classmethod
    def make_tools(cls, options: Mapping[str, JSON]) -> Sequence[Tool]:
        """Return the tools of a task; those of equal options are made once in a process.

        Raises:
            ConfigError: the class does not define it.
        """
        raise ConfigError(f"{cls.__name__} has no tools; define `make_tools`.")

    @classmethod
    def tool_options(cls, options: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return the options that `make_tools` reads; by default none."""
        return {}

    @classmethod
    def reward_of(cls, options: Mapping[str, JSON]) -> Reward:
        """Return the reward of a task."""
        return reward_named(options.get("reward", cls.default_reward))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Start a task."""
        super().reset(seed=seed)
        self.options: dict[str, Any] = dict(options or {})
        self.question = asked(self.options)
        self.golds: list[str] = [str(answer) for answer in self.options["answers"]]
        self.rewarded = self.reward_of(self.options)
        self.context = context_of(self.options, seed or 0)
        self.toolbox = self._toolbox()
        self.response = Response(self.question)
        self.steps = 0
        self.judged: Judged | None = None
        return self.question, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Carry out a turn's calls, or end with its answer."""
        self.steps += 1
        found = Action.of(action, self.schemas)
        reply = found.reply
        if self.judged is not None:
            return "The episode is over.", 0.0, True, False, self._info(note="It is over.")
        if reply.final:
            self.response.said(found)
            self.judged = self.rewarded(reply.answer, self.golds, self.response)
            shown = "no answer" if reply.answer is None else f"answer: {reply.answer}"
            return shown, self.judged.reward, True, False, self._info(found)
        if not reply.calls:
            self.response.said(found)
            return reply.problem, 0.0, False, False, self._info(found, note=reply.problem)
        results = run(self.toolbox.run(reply.calls, self.context))
        self._check_service(results)
        self.response.said(found, results)
        text = "\n".join(result.text for result in results)
        return text, 0.0, False, False, self._info(found, results=results)

    def close(self) -> None:
        """Nothing to free: tools stay for the next episode of the process."""

    def fork(self) -> TextEnv:
        """Return a copy; tools that keep an episode's state are refused by `fork_tool`."""
        copy = type(self)()
        copy.__dict__.update(self.__dict__)
        copy.context = context_of(self.options, self.context.seed)
        copy.toolbox = self._toolbox()
        copy.toolbox.calls_made = self.toolbox.calls_made
        copy.toolbox.counts = deepcopy(self.toolbox.counts)
        copy.response = self.response.copy()
        for tool in self.toolbox.tools.values():
            fork_tool(tool, self.context.episode, copy.context.episode)
        return copy

    def _toolbox(self) -> Toolbox:
        return Toolbox(
            tools_of(type(self), self.options),
            max_calls=self.options.get("max_calls", self.max_calls),
            max_characters=int(self.options.get("max_characters", self.max_characters)),
            tags=DIALECT_TAGS,
        )

    def _check_service(self, results: Sequence[ToolResult]) -> None:
        """A service that is down teaches a model nothing: the episode is a failure, not a zero."""
        for result in results:
            if result.error == ToolErrorKind.UNAVAILABLE:
                raise EnvironmentFailure(f"A tool is out of service: {result.text}", "raised")

    def _info(
        self, action: Action | None = None, *, results: Sequence[ToolResult] = (), note: str = ""
    ) -> Info:
        calls = action.reply.calls if action is not None else ()
        names = [call.name if isinstance(call, ToolCall) else "" for call in calls]
        shown = [
            {"name": name, "text": result.text, "error": result.error and result.error.value}
            for name, result in zip(names, results, strict=False)
        ]
        judged = self.judged
        return {
            "task": self.question,
            "won": judged is not None and judged.correct,
            "score": judged.score if judged is not None else 0.0,
            "raw_score": judged.reward if judged is not None else 0.0,
            "reward_parts": judged.parts if judged is not None else {},
            "action_valid": not note and all(result.ok for result in results),
            "step": self.steps,
            "anchor": self.response.anchor,
            "final_answer": action.reply.answer if action is not None else None,
            "tool_results": shown,
            "tool_calls": self.toolbox.calls_made,
            "note": note,
            "metrics": self.toolbox.metrics(),
            "admissible_actions": None,
            **self.extra_info(),
        }

    def extra_info(self) -> Mapping[str, JSON]:
        """Return more for `info`, for example `expert_action`."""
        return {}


def asked(options: Mapping[str, JSON]) -> str:
    """Return the question of a task, and where its file lies if it has one."""
    question, attached = str(options["question"]), options.get(ATTACHMENT)
    return f"{question}\n\nThe attached file is at {attached}" if attached else question


def context_of(options: Mapping[str, JSON], seed: int) -> ToolContext:
    """Return what tools are told of a new episode; `python` may read the task's file."""
    told = {**options, "file": options.get(ATTACHMENT, "")}
    return ToolContext(episode=f"{next(_episodes)}", seed=seed, options=told)


def fork_tool(tool: Tool, source: str, target: str) -> None:
    """Copy what a tool keeps of an episode.

    Raises:
        EnvironmentFailure: it keeps something and cannot copy it.
    """
    fork = getattr(tool, "fork", None)
    if fork is not None:
        fork(source, target)
    elif getattr(tool, "stateful", False):
        raise EnvironmentFailure(f"The tool {tool.name} keeps a state that cannot be copied.")


def tools_of(cls: type[ToolEnv], options: Mapping[str, JSON]) -> Sequence[Tool]:
    """Return an environment's tools, made once in this process for equal options."""
    key = (
        f"{cls.__module__}.{cls.__qualname__} {json.dumps(cls.tool_options(options), default=str)}"
    )
    if key not in _tools:
        _tools[key] = cls.make_tools(options)
    return _tools[key]


def run(work: Any) -> Any:
    """Run a coroutine on the loop of this process, which its tools share."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    return _runner.run(work)


DIALECT_TAGS = tuple(dict.fromkeys(tag for found in DIALECTS.values() for tag in found.tags))
"""The tags of all dialects: no result holds one, whichever the prompt uses."""
