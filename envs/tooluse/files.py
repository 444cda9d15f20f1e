"""Tasks from files of questions, for every tool environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrl.envs.options import check_integer, check_name
from agentrl.envs.questions.panel_choice import PanelChoice, split_options
from agentrl.envs.questions.question import Question, QuestionSet
from agentrl.envs.tooluse.env import ATTACHMENT
from agentrl.envs.tooluse.reward import reward_named
from agentrl.errors import ConfigError
from agentrl.tools.base import JSON
from agentrl.types import Task

SPLITS = ("train", "heldout", "test")


def chosen_questions(
    environment: str, split: str, options: Mapping[str, Any], more: Sequence[str], form: str
) -> tuple[QuestionSet, dict[str, Any]]:
    """Return the questions of a panel, and those of its options that do not choose questions.

    Args:
        environment: its name, for messages.
        split: of the panel.
        options: of the panel.
        more: names of options besides those of `PanelChoice`.
        form: of files that name none.

    Raises:
        UnknownNameError: there is no such option.
        ConfigError: an option is wrong.
        DataError: the file is missing or damaged.
    """
    chosen, rest = split_options(options)
    for name in rest:
        check_name(environment, name, [*PanelChoice.__dataclass_fields__, *more])
    return PanelChoice(**{"form": form} | chosen).load(split), rest


def question_task(env_id: str, split: str, question: Question, options: Mapping[str, JSON]) -> Task:
    """Return the task that asks a question."""
    attached = {ATTACHMENT: question.file} if question.file else {}
    return Task(
        id=question.id,
        env_id=env_id,
        split=split,
        task_type=question.category or question.level,
        answer=question.answers[0],
        options={
            "question": question.question,
            "answers": list(question.answers),
            **attached,
            **options,
        },
    )


def limits(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, JSON]:
    """Return those of a panel's options that its tasks carry on, having looked at their values.

    Raises:
        UnknownNameError: there is no such reward.
        ConfigError: a number is none.
    """
    found = {name: options[name] for name in names if name in options}
    for name, value in found.items():
        if name == "reward":
            reward_named(value)
        elif name in ("max_calls", "max_characters", "topk", "characters"):
            check_integer(name, value, optional=name == "max_calls")
    return found


def without_file(environment: str, options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse options that need a `file`, and unknown ones.

    Raises:
        UnknownNameError: there is no such option.
        ConfigError: an option needs a file.
    """
    for name in options:
        check_name(environment, name, [*PanelChoice.__dataclass_fields__, *names])
        if name in PanelChoice.__dataclass_fields__ and name != "count":
            raise ConfigError(f"`{name}` goes with `file`, a set or file of questions.")
