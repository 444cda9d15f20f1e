"""`agentrl play ENV_ID`: a person takes the place of the model."""

from __future__ import annotations

import argparse
from typing import Any

QUIT = {"/quit", "/exit"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("env_id", help="for example agentrl/TextWorld-v0")
    parser.add_argument("--split", default="train")
    parser.add_argument("--task", type=int, default=0, help="position in the panel (default 0)")
    parser.add_argument(
        "--panel",
        nargs="*",
        default=[],
        metavar="key=value",
        help="options of the panel, for example count=4",
    )
    parser.epilog = "While playing: /actions lists what is accepted, /quit leaves."


def run(args: argparse.Namespace) -> int:
    """Play one task in the terminal."""
    from agentrl import envs
    from agentrl.config.load import parse_overrides
    from agentrl.config.panels import build_panel
    from agentrl.errors import ConfigError

    env_class = envs.env_class(args.env_id)
    panel = build_panel(env_class, args.split, parse_overrides(args.panel), "--panel")
    if not 0 <= args.task < len(panel):
        raise ConfigError(f"`--task` is {args.task}; the panel has tasks 0 to {len(panel) - 1}.")
    task = panel[args.task]
    env = envs.make(task.env_id)
    print(f"task {task.id} (panel {panel.name}, hash {panel.hash})")
    observation, info = env.reset(seed=task.seed, options=dict(task.options))
    print(f"{info.get('task', '')}\n")
    try:
        _play(env, observation, info)
    finally:
        env.close()
    return 0


def _play(env: Any, observation: str, info: dict[str, Any]) -> None:
    total, steps, ended = 0.0, 0, False
    while not ended:
        print(observation)
        action = _ask(info)
        if action is None:
            break
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        steps += 1
        ended = terminated or truncated
    won = "won" if info.get("won") else "not won"
    print(f"{observation}\n{won}: reward {total:g}, {steps} steps")


def _ask(info: dict[str, Any]) -> str | None:
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return None
        if text in QUIT:
            return None
        if text != "/actions":
            return text
        print("\n".join(info.get("admissible_actions") or ["(anything)"]))
