"""Expert play, for supervised warm-up."""

from __future__ import annotations

from agentrl.envs.textworld.env import TextWorldEnv
from agentrl.errors import DataError
from agentrl.types import Task

_LONGEST = 500


def expert_actions(task: Task) -> list[str]:
    """Return commands that win the task's game.

    The generator's walkthrough without the commands the game refuses, if that wins (it may hold
    commands that only read, such as `examine cookbook`); else TextWorld's policy to the end.

    Raises:
        DataError: neither wins, for example because a game file has no `.json` beside it.
    """
    env = TextWorldEnv()
    try:
        env.reset(seed=task.seed, options=task.options)
        commands = _play_walkthrough(env)
        if commands is None:
            env.reset(seed=task.seed, options=task.options)
            commands = _play_policy(env)
    finally:
        env.close()
    if commands is None:
        raise DataError(
            f"TextWorld knows no winning commands for task {task.id!r}; a game file needs the "
            "`.json` of its generator beside it."
        )
    return commands


def _play_walkthrough(env: TextWorldEnv) -> list[str] | None:
    played = []
    for command in env.walkthrough():
        _, _, terminated, _, info = env.step(command)
        if info["action_valid"]:
            played.append(command)
        if terminated:
            return played if info["won"] else None
    return None


def _play_policy(env: TextWorldEnv) -> list[str] | None:
    played: list[str] = []
    while len(played) < _LONGEST:
        commands = env.expert_commands()
        if not commands:
            return None
        played.append(commands[0])
        _, _, terminated, _, info = env.step(commands[0])
        if terminated:
            return played if info["won"] else None
    return None
