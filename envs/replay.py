"""Forking by repeating what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from agentrl.envs.base import TextEnv
from agentrl.errors import ReplayMismatch

Env = TypeVar("Env", bound=TextEnv)


def replay(
    env: Env,
    *,
    seed: int | None,
    options: Mapping[str, Any] | None,
    actions: Sequence[str],
    expected: str,
) -> Env:
    """Bring a new environment into the state that `actions` lead to, and return it.

    Args:
        env: a new environment.
        seed: of the reset to repeat.
        options: of the reset to repeat.
        actions: the steps to repeat.
        expected: the observation after the last of them.

    Raises:
        ReplayMismatch: the replay ended with another observation; the environment is not
            deterministic.
    """
    observation, _ = env.reset(seed=seed, options=dict(options or {}))
    for action in actions:
        observation = env.step(action)[0]
    if observation != expected:
        env.close()
        raise ReplayMismatch(
            f"{type(env).__name__} gave another observation when its {len(actions)} actions were "
            f"repeated: {observation[:200]!r} instead of {expected[:200]!r}. Only deterministic "
            "environments can be forked by replay."
        )
    return env
