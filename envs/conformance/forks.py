"""The check of `fork`."""

from __future__ import annotations

import random

from agentrl.envs.conformance.episode import Episode, difference, replayed
from agentrl.envs.conformance.results import NotApplicable, Violation
from agentrl.envs.conformance.subject import Subject


def fork(subject: Subject) -> str:
    """Fork and original go on like two fresh runs, whatever the other one does.

    After a random prefix, fork and original act in turns, each at random; both are then compared
    with fresh runs of their actions.  The original is closed before the fork's last actions.
    """
    can_fork = getattr(subject.env_class, "can_fork", lambda: False)
    if not can_fork():
        raise NotApplicable("`fork` is not defined")
    for number in range(subject.limits.forks):
        _diverge(subject, number)
    return f"{subject.limits.forks} forks, each against 2 fresh runs"


def _diverge(subject: Subject, number: int) -> None:
    rng = random.Random(f"fork {number}")
    task = subject.tasks[number % len(subject.tasks)]
    original = _prefix(subject, number, rng.randrange(subject.limits.steps))
    place = len(original.actions)
    twin = original.fork()
    for _ in range(subject.limits.steps):
        for episode in (original, twin):
            if not episode.over:
                episode.step(episode.draw(rng))
    original.close()
    for _ in range(2):
        if not twin.over:
            twin.step(twin.draw(rng))
    twin.close()
    for name, episode in (("fork", twin), ("original", original)):
        changed = difference(episode.turns, replayed(subject, task, episode.actions))
        if changed is not None:
            raise Violation(
                f"Task {task.id!r}, forked after {place} actions: the {name} differs from a fresh "
                f"run with the same actions {changed}.",
                "copy everything that changes in an episode, or fork by "
                "`agentrl.envs.replay.replay`",
            )


def _prefix(subject: Subject, number: int, steps: int) -> Episode:
    """Return an episode after up to `steps` random actions that has not ended."""
    task = subject.tasks[number % len(subject.tasks)]
    episode = Episode(subject, task)
    episode.play(f"prefix {number}", steps)
    if not episode.over:
        return episode
    episode.close()
    actions = episode.actions[:-1]
    episode = Episode(subject, task)
    for action in actions:
        episode.step(action)
    return episode
