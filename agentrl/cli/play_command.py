"""`agentrl play ENV_ID`: a person takes the place of the model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrl.types import Task

QUIT = {"/quit", "/exit"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("env_id", help="for example agentrl/TextWorld-v0, or just TextWorld")
    parser.add_argument("--split", default="train")
    parser.add_argument("--task", type=int, default=0, help="position in the panel (default 0)")
    parser.add_argument(
        "--panel",
        nargs="*",
        default=[],
        metavar="key=value",
        help="options of the panel, for example count=4",
    )
    parser.add_argument(
        "--web",
        type=int,
        nargs="?",
        const=8000,
        metavar="PORT",
        help="WebShop only: play in the browser, beside what the agent reads (default port 8000)",
    )
    parser.epilog = "While playing: /actions lists what is accepted, /quit leaves."


def run(args: argparse.Namespace) -> int:
    """Play one task in the terminal."""
    from agentrl import envs
    from agentrl.cli.names import environment_id
    from agentrl.config.load import parse_overrides
    from agentrl.config.panels import build_panel
    from agentrl.errors import ConfigError

    env_id = environment_id(args.env_id)
    env_class = envs.env_class(env_id)
    panel = build_panel(env_class, args.split, parse_overrides(args.panel), "--panel")
    if not 0 <= args.task < len(panel):
        raise ConfigError(f"`--task` is {args.task}; the panel has tasks 0 to {len(panel) - 1}.")
    task = panel[args.task]
    if args.web is not None:
        return _serve(env_id, task, args.web)
    env = envs.make(task.env_id)
    place = f"number {args.task} of {len(panel)} in panel {panel.name}, hash {panel.hash}"
    print(f"task {task.id} ({place})")
    try:
        observation, info = _guarded(env.reset, seed=task.seed, options=dict(task.options))
        print(f"{info.get('task', '')}\n")
        _play(env, observation, info)
    finally:
        env.close()
    return 0


def _serve(env_id: str, task: Task, port: int) -> int:
    """Show the shop in a browser until Ctrl-C."""
    from agentrl.errors import ConfigError

    if env_id != "agentrl/WebShop-v0":
        raise ConfigError(f"`--web` shows agentrl/WebShop-v0 only; got {env_id!r}. Drop `--web`.")
    from agentrl.envs.webshop.web import serve

    try:
        serve(task, port)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"Port {port} cannot be used ({error}). Name another: `--web PORT`."
        ) from error
    return 0


def _guarded(call: Any, *arguments: Any, **keywords: Any) -> Any:
    """Call the environment; whatever it raises becomes one clear error."""
    from agentrl.errors import AgentRLError, EnvironmentFailure

    try:
        return call(*arguments, **keywords)
    except AgentRLError:
        raise
    except Exception as error:
        raise EnvironmentFailure(
            f"`{call.__name__}` of the environment: {type(error).__name__}: {error}"
        ) from error


def _play(env: Any, observation: str, info: dict[str, Any]) -> None:
    total, steps, ended = 0.0, 0, False
    while not ended:
        print(observation)
        action = _ask(info)
        if action is None:
            break
        observation, reward, terminated, truncated, info = _guarded(env.step, action)
        total += float(reward)
        steps += 1
        ended = terminated or truncated
        if not ended:
            print(_status(info, reward, steps))
    won = "won" if info.get("won") else "not won"
    score = f", score {info['score']:g}" if "score" in info else ""
    if ended:
        print(observation)
    print(f"{won}: reward {total:g}{score}, {steps} steps")


def _status(info: dict[str, Any], reward: float, steps: int) -> str:
    """Return a line such as `[step 3, score 0.5, reward 0.25]`."""
    parts = [f"step {steps}"]
    if "score" in info:
        parts.append(f"score {info['score']:g}")
    if reward:
        parts.append(f"reward {reward:g}")
    if not info.get("action_valid", True):
        parts.append("not accepted")
    return f"[{', '.join(parts)}]"


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
