"""Checks of single episodes: info, actions, seeding, determinism, ends, the expert."""

from __future__ import annotations

import random
from typing import Any

from agentrl.envs.base import INFO_KEYS
from agentrl.envs.conformance.elsewhere import in_another_process
from agentrl.envs.conformance.episode import Episode, Turn, difference
from agentrl.envs.conformance.results import NotApplicable, Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.errors import AgentRLError

_TYPES: dict[str, type] = {
    **dict.fromkeys(("task", "task_id", "split", "task_type", "anchor"), str),
    **dict.fromkeys(("won", "action_valid"), bool),
}


def info(subject: Subject) -> str:
    """`info` holds what `INFO_KEYS` describes, at the start and after every action."""
    for task in subject.tasks:
        episode = Episode(subject, task)
        _check_first(episode.last)
        for number, turn in enumerate(episode.play("info", subject.limits.steps)):
            _check_turn(turn, number)
        episode.close()
    return f"{len(INFO_KEYS)} keys"


def _check_first(turn: Turn) -> None:
    if not turn.info["task"]:
        raise Violation('info["task"] is empty.', "put the goal, as the model shall read it, there")
    for key, expected in (("won", False), ("action_valid", True)):
        if turn.info[key] is not expected:
            raise Violation(
                f'info["{key}"] is {turn.info[key]!r} after reset.', f"it starts as {expected}"
            )


def _check_turn(turn: Turn, number: int) -> None:
    where = f"after action {number}" if number else "after reset"
    for key, kind in _TYPES.items():
        if type(turn.info[key]) is not kind:
            raise Violation(
                f'info["{key}"] is {turn.info[key]!r} {where}.', f"give a {kind.__name__}"
            )
    for key in ("score", "raw_score"):
        if isinstance(turn.info[key], bool) or not isinstance(turn.info[key], int | float):
            raise Violation(f'info["{key}"] is {turn.info[key]!r} {where}.', "give a number")
    if not 0.0 <= turn.info["score"] <= 1.0:
        raise Violation(
            f'info["score"] is {turn.info["score"]!r} {where}.',
            'scale it to [0, 1]; your own scale goes into info["raw_score"]',
        )
    if turn.info["step"] != number:
        raise Violation(
            f'info["step"] is {turn.info["step"]!r} {where}.',
            "count the agent's actions since reset, or leave the key out",
        )


def admissible(subject: Subject) -> str:
    """Admissible actions are sorted, unique, and really accepted, at the start and later on."""
    tried = 0
    for task in subject.tasks:
        episode = Episode(subject, task)
        for turn in episode.play("admissible", subject.limits.steps):
            _check_list(turn.info["admissible_actions"])
        episode.close()
        for place in {0, (len(episode.actions) - 1) // 2}:
            tried += _try(episode, place)
    if not tried:
        raise NotApplicable('info["admissible_actions"] is None')
    return f"{tried} tried"


def _try(episode: Episode, place: int) -> int:
    """Try some of the actions that were admissible after `place` actions; returns how many."""
    actions = episode.turns[place].info["admissible_actions"]
    if actions is None:
        return 0
    if not actions:
        raise Violation(
            'info["admissible_actions"] is an empty list before the end.',
            "list what is accepted, or give None where that is not known",
        )
    count = min(len(actions), episode.subject.limits.steps // 2)
    for action in random.Random(0).sample(actions, count):
        twin = Episode(episode.subject, episode.task)
        for earlier in episode.actions[:place]:
            twin.step(earlier)
        _accepted(twin, action)
    return count


def _check_list(actions: Any) -> None:
    if actions is None:
        return
    if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
        raise Violation(
            f'info["admissible_actions"] is {actions!r:.80}.', "give a list of str, or None"
        )
    if actions != sorted(set(actions)):
        raise Violation(
            f'info["admissible_actions"] is not sorted, or has duplicates: {actions!r:.80}.',
            "give `sorted(set(actions))`",
        )


def _accepted(episode: Episode, action: str) -> None:
    turn = episode.step(action)
    episode.close()
    if turn.info["action_valid"] is not True:
        raise Violation(
            f'{action!r} is admissible, but info["action_valid"] is {turn.info["action_valid"]} '
            f"after it; the observation is {turn.observation!r:.80}.",
            "list only what the environment accepts; set `action_valid` to True for it",
        )


def seeding(subject: Subject) -> str:
    """A reset depends on seed and options alone, not on what the object did before."""
    for task in subject.tasks:
        episode = Episode(subject, task)
        first = episode.last
        episode.play("seeding", 3)
        episode.reset(subject.tasks[-1])
        changed = difference([first], [episode.reset(task)])
        episode.close()
        if changed is not None:
            raise Violation(
                f"Task {task.id!r} starts differently when the same object is reset to it again: "
                f"{changed}.",
                "`reset` calls `super().reset(seed=seed)`, draws from `self.np_random` only, and "
                "sets every attribute anew",
            )
    return f"{len(subject.tasks)} tasks"


def determinism(subject: Subject) -> str:
    """The same task and actions give the same episode, in this process and in another."""
    plays = []
    for number in range(subject.limits.sequences):
        task = subject.tasks[number % len(subject.tasks)]
        turns = []
        for _ in range(2):
            episode = Episode(subject, task)
            turns.append(episode.play(f"determinism {number}", subject.limits.steps))
            episode.close()
        _same(turns[0], turns[1], task.id, "in the same process")
        plays.append((number % len(subject.tasks), episode.actions, turns[0]))
    other = in_another_process(subject, [(index, actions) for index, actions, _ in plays])
    for (index, _, turns_here), turns_there in zip(plays, other.episodes, strict=True):
        _same(turns_here, turns_there, subject.tasks[index].id, "in another process")
    return f"{len(plays)} episodes, in 2 processes"


def _same(left: list[Turn], right: list[Turn], task_id: str, where: str) -> None:
    changed = difference(left, right)
    if changed is not None:
        raise Violation(
            f"Task {task_id!r} played twice with the same actions {where} differs {changed}.",
            "draw from `self.np_random` only; sort sets and folder listings; use no clock, `id` "
            "or `hash`",
        )


def ends(subject: Subject) -> str:
    """Episodes end in one way, and no action after the end crashes."""
    ended = None
    for number, task in enumerate(subject.tasks):
        episode = Episode(subject, task)
        episode.play(f"ends {number}", subject.limits.end_steps)
        for turn in episode.turns:
            if turn.terminated and turn.truncated:
                raise Violation(
                    "A step returned terminated and truncated, both True.",
                    "`truncated` is for a step limit, where the task has not ended by itself",
                )
        if episode.over:
            ended = len(episode.actions)
            _beyond(episode)
        episode.close()
    if ended is None:
        return (
            f"no end within {subject.limits.end_steps} random actions; `rollout.max_turns` sets it"
        )
    return f"after {ended} actions, and 3 more"


def _beyond(episode: Episode) -> None:
    """Act after the end; an error of gymnasium's or AgentRL's kind is as good as an answer."""
    from gymnasium.error import Error

    for action in ("look", "x", ""):
        try:
            episode.env.step(action)
        except (AgentRLError, Error):
            continue
        except BaseException as error:
            raise Violation(
                f"`step` after the end of the episode raised {type(error).__name__}: {error}",
                "answer with the final observation again",
            ) from error


def close(subject: Subject) -> str:
    """`close` may be called at any time, also twice."""
    episode = Episode(subject, subject.tasks[0])
    episode.close()
    episode.close()
    episode.reset(subject.tasks[0])
    episode.close()
    return "twice, and before another reset"


def expert(subject: Subject) -> str:
    """The expert, where there is one, wins at least once."""
    won = 0
    for task in subject.tasks:
        try:
            episode = Episode(subject, task, {"expert": True})
        except Violation as error:
            raise NotApplicable("no reset option `expert`") from error
        if episode.last.info.get("expert_action") is None:
            raise NotApplicable('no info["expert_action"]')
        _follow(episode)
        won += episode.last.info["won"]
        episode.close()
    if not won:
        raise Violation(
            f'Following info["expert_action"] wins none of {len(subject.tasks)} tasks.',
            "give the next action towards the goal, or None where it is not known",
        )
    return f"wins {won} of {len(subject.tasks)}"


def _follow(episode: Episode) -> None:
    for _ in range(episode.subject.limits.end_steps):
        action = episode.last.info.get("expert_action")
        if episode.over or action is None:
            return
        if not isinstance(action, str):
            raise Violation(f'info["expert_action"] is {action!r}.', "give a str or None")
        episode.step(action)
