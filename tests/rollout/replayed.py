"""What an episode must have been, from its answers alone: a plain loop in a fresh environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentrl.envs import Info, PastStep
from agentrl.envs.base import ParsedAction, Prompt
from agentrl.envs.prompts import is_step_prompt
from agentrl.rollout.episode import NOTHING_DONE, EpisodeSettings
from agentrl.rollout.workers import EnvHandle
from agentrl.tokens import Conversation
from agentrl.tree import Episode, Node, StopReason, Tree, Writer
from agentrl.types import Task


@dataclass
class Record:
    """What is known of an episode.

    Attributes:
        sequences: ids of each.
        turns: of each turn that was acted on: observation and anchor before it, text, action,
            whether that was valid, reward.
        stop: why it ended.
        reward: its return.
        metrics: `Episode.metrics`.
    """

    sequences: list[list[int]]
    turns: list[tuple[Any, ...]] = field(default_factory=list)
    stop: StopReason | None = None
    reward: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)


def spans_of(tree: Tree, episode: Episode) -> list[list[Node]]:
    """Return the spans of each answer of an episode, in order; given ones are answers, too."""
    turns: dict[int, list[Node]] = {}
    for last in episode.sequences:
        for node in tree.path(last):
            if node.writer is Writer.MODEL or node.info.get("given"):
                turns.setdefault(node.turn, []).append(node)
    return [turns[turn] for turn in sorted(turns)]


def answers_of(tree: Tree, episode: Episode) -> list[list[int]]:
    """Return the ids of each answer of an episode."""
    return [[i for span in spans for i in span.ids] for spans in spans_of(tree, episode)]


def recorded(tree: Tree, episode: Episode) -> Record:
    """Return what the tree says of an episode."""
    ends = [spans[-1] for spans in spans_of(tree, episode)]
    acted = [end for end in ends if "action" in end.info]
    assert len(acted) == episode.turns and ends[: len(acted)] == acted
    keys = ("observation", "anchor", "text", "action", "action_valid")
    return Record(
        sequences=[tree.ids(last) for last in episode.sequences],
        turns=[(*(end.info[key] for key in keys), end.reward) for end in acted],
        stop=episode.stop,
        reward=episode.reward,
        metrics=episode.metrics,
    )


async def played_again(
    handle: EnvHandle, task: Task, answers: Sequence[Sequence[int]], settings: EpisodeSettings
) -> Record:
    """Play an episode with given answers."""
    prompt, parse = settings.prompt, settings.renderer.parse
    conversation = Conversation(settings.renderer, settings.context)
    observation, info = await handle.reset(task)
    past: list[PastStep] = []
    start = conversation.start(prompt.system(info), shown(prompt, observation, info, past))
    record = Record([start], stop=StopReason.TRUNCATED_TOKENS)
    for ids in answers:
        room = settings.max_context - len(record.sequences[-1])
        record.sequences[-1] = [*record.sequences[-1], *ids]
        if len(ids) == room < settings.max_tokens_per_turn and not parse(ids).ended:
            break  # half an action
        text = parse(ids).text
        parsed = prompt.parse(text, info)
        before = observation, info["anchor"], text, parsed.action
        reward, terminated, truncated = 0.0, False, False
        if parsed.action is not None:
            past.append(PastStep(observation, parsed.action))
            observation, reward, terminated, truncated, new = await handle.step(parsed.action)
            info = {**new, "task": new["task"] or info["task"]}
        reward -= 0.0 if parsed.valid else settings.invalid_action_penalty
        record.turns.append((*before, parsed.valid and info["action_valid"], reward))
        record.reward += reward
        if terminated or truncated or len(record.turns) == settings.max_turns:
            record.stop = StopReason.TERMINATED if terminated else StopReason.TRUNCATED_TURNS
            break
        message = shown(prompt, observation, info, past, parsed)
        extension = conversation.extend(ids, message)
        if extension.restart:
            record.sequences.append(extension.ids)
        else:
            record.sequences[-1] += [*extension.closing, *extension.ids]
    record.metrics = {"success": float(info["won"]), "score": float(info["score"])}
    return record


def shown(
    prompt: Prompt,
    observation: str,
    info: Info,
    past: list[PastStep],
    parsed: ParsedAction | None = None,
) -> str:
    """Return the user message that shows an observation."""
    if is_step_prompt(prompt):
        message = prompt.message(observation, info, past)
    else:
        message = prompt.observe(observation, info)
    if parsed is not None and parsed.action is None:
        message = f"{NOTHING_DONE.format(reason=parsed.reason)}\n{message}"
    return message
