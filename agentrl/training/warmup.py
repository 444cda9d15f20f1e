"""Supervised warm-up: texts for a tokenizer, expert episodes, imitation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agentrl.config.schema import WarmupConfig
from agentrl.envs.base import Prompt
from agentrl.envs.prompts import written_answer
from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.learner import Learner
from agentrl.rollout.policy import ExpertPolicy, seed_of
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.training.progress import Progress
from agentrl.training.rollout_metrics import require_episodes
from agentrl.tree import Forest, Writer
from agentrl.types import Task, shown_text

EXPERT_OPTION = "expert"
"""Reset option that asks an environment to put `expert_action` into every `info`."""

TEXT_TASKS = 48
TEXT_TURNS = 12


def with_expert(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with the expert switched on."""
    return [replace(task, options={**task.options, EXPERT_OPTION: True}) for task in tasks]


async def collect_texts(
    pool: EnvPool, tasks: Sequence[Task], prompt: Prompt, *, expert: bool = False
) -> list[str]:
    """Return texts that a model of this environment reads and writes, to train a tokenizer on.

    Plays the first tasks with random admissible actions and notes what is shown and done.  A
    failure ends its own episode.

    Args:
        pool: where they are played.
        tasks: what is played.
        prompt: how it is shown.
        expert: let the expert play where an environment lists no admissible actions.

    Raises:
        EnvironmentFailure: no episode showed anything.
    """
    texts: list[str] = []
    failure: EnvironmentFailure | None = None
    for number, task in enumerate(tasks[:TEXT_TASKS]):
        rng = random.Random(seed_of("texts", number))
        try:
            async with pool.lease() as handle:
                listed = await _play(handle, task, prompt, rng, texts)
                if expert and not listed:
                    await _play(handle, with_expert([task])[0], prompt, rng, texts)
        except EnvironmentFailure as error:
            failure = error
    if not texts and failure is not None:
        raise failure
    return texts


async def _play(
    handle: EnvHandle, task: Task, prompt: Prompt, rng: random.Random, texts: list[str]
) -> bool:
    """Add what one episode shows and accepts to `texts`; False if it said no action at all."""
    observation, info = await handle.reset(task)
    texts.append(prompt.system(info) or "")
    for turn in range(TEXT_TURNS):
        expert = info.get("expert_action")
        actions = info.get("admissible_actions") or ([expert] if expert else [])
        answers = (written_answer(prompt, action) for action in actions)
        texts += [shown_text(prompt.observe(observation, info)), *answers]
        if not actions:
            return turn > 0
        observation, _, terminated, truncated, info = await handle.step(rng.choice(actions))
        if terminated or truncated:
            break
    return True


async def warm_up(
    learner: Learner,
    scheduler: RolloutScheduler,
    tokenizer: Any,
    tasks: Sequence[Task],
    settings: WarmupConfig,
    seed: int,
    progress: Progress,
) -> None:
    """Play expert episodes and imitate them.

    Args:
        learner: what is trained.
        scheduler: plays the episodes.
        tokenizer: writes the expert's actions.
        tasks: what is played, in order, round and round.
        settings: how much and how.
        seed: of the noise in the episodes and of the mini-batches.
        progress: told how far it is.
    """
    policy = expert_policy(
        scheduler, tokenizer, seed, settings.noise, imitate_noise=settings.imitate_noise
    )
    with progress.phase(f"Playing {settings.episodes} expert episodes"):
        forest = await expert_forest(scheduler, tasks, policy, settings.episodes)
    with progress.phase(f"Imitating them for {settings.steps} steps") as tell:
        metrics = await imitate(learner, forest, settings, seed, tell)
    first, last = metrics[0]["loss"], metrics[-1]["loss"]
    progress.say(f"Imitation loss: {first:.3f} -> {last:.3f} nats per token")


def expert_policy(
    scheduler: RolloutScheduler,
    tokenizer: Any,
    seed: int,
    noise: float = 0.0,
    *,
    imitate_noise: bool = False,
) -> ExpertPolicy:
    """Return the environment's expert as a policy that writes what the prompt asks for."""
    prompt = scheduler.settings.prompt

    def encode(text: str) -> list[int]:
        answer = written_answer(prompt, text)
        ids: list[int] = tokenizer.encode(answer, add_special_tokens=False)
        # Where sampling stops inside the turn, results continue it.
        return ids if answer.endswith(inside) else [*ids, end]

    inside = prompt.stop_strings if getattr(prompt, "continues", False) else ()
    end = scheduler.settings.renderer.end_of_turn_id
    return ExpertPolicy(encode, noise, seed, imitate_noise=imitate_noise)


async def expert_forest(
    scheduler: RolloutScheduler, tasks: Sequence[Task], policy: ExpertPolicy, episodes: int
) -> Forest:
    """Play `episodes` expert episodes over the tasks in order, round and round.

    Random actions that are not to be imitated become context.

    Raises:
        ConfigError: an expert action is longer than `rollout.max_tokens_per_turn`.
        EnvironmentFailure: every episode failed.
    """
    chosen = [tasks[number % len(tasks)] for number in range(episodes)]
    forest = await scheduler.collect(
        with_expert(chosen), policy, group_size=1, tree_prefix="expert-"
    )
    require_episodes(forest, "the expert")
    for tree in forest.trees:
        for node in tree.nodes:
            if node.info.get("stop") == "length" and "action" in node.info:
                raise ConfigError(
                    f"An action of the expert is longer than `rollout.max_tokens_per_turn` = "
                    f"{scheduler.settings.max_tokens_per_turn} tokens (it was cut to "
                    f"{node.info['action']!r}); raise that setting."
                )
            if node.versions and node.versions[0][0] == ExpertPolicy.RANDOM_VERSION:
                node.writer, node.logprobs, node.versions = Writer.TEMPLATE, [], []
    return Forest([tree for tree in forest.trees if tree.counted()])


async def imitate(
    learner: Learner,
    forest: Forest,
    settings: WarmupConfig,
    seed: int,
    on_step: Callable[[str], None],
) -> list[dict[str, float]]:
    """Train on random mini-batches of expert episodes.

    Args:
        learner: what is trained.
        forest: what is imitated.
        settings: how.
        seed: of the mini-batches.
        on_step: told how far it is.

    Returns:
        The metrics of each step.
    """
    rng = random.Random(seed_of(seed, "imitate"))
    metrics = []
    for step in range(settings.steps):
        rate = settings.learning_rate * _ramp(step, settings.steps)
        size = min(settings.episodes_per_step, len(forest.trees))
        batch = Forest(rng.sample(forest.trees, size))
        metrics.append(learner.supervised(batch, learning_rate=rate))
        on_step(f"step {step + 1}/{settings.steps}, loss {metrics[-1]['loss']:.3f}")
        await asyncio.sleep(0)  # here Ctrl-C gets through
    return metrics


def _ramp(step: int, steps: int) -> float:
    """A short linear rise, then a linear fall to a tenth."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 1.0 - 0.9 * (step - rise) / max(1, steps - rise)
