"""Official TextWorld plays, made by `tw-make`, replayed through the `prose` back end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentrl.envs.textworld import TextWorldEnv
from agentrl.envs.textworld.prose import clean

SWITCHES = {"open", "cook", "cut", "drop", "test"}


def check(path: Path, data: Path) -> list[str]:
    """Replay every play of a file; return the first difference of each, none if all agree.

    Args:
        path: a file of transcripts with the `tw-make` arguments of their games.
        data: not needed: the games are generated.
    """
    plays = json.loads(path.read_text())["transcripts"]
    problems = [f"{play['name']}: {first}" for play in plays if (first := _first_difference(play))]
    return problems if plays else ["the file holds no transcripts"]


def options_of(arguments: list[str]) -> tuple[int, dict[str, Any]]:
    """Turn `tw-make` arguments into a seed and our options."""
    options: dict[str, Any] = {"kind": arguments[0].removeprefix("tw-").replace("-", "_")}
    seed = 0
    rest = iter(arguments[1:])
    for flag in rest:
        name = flag.removeprefix("--").replace("-", "_")
        if name in SWITCHES:
            options[name] = True
            continue
        value = next(rest)
        if name == "seed":
            seed = int(value)
        elif name == "split":
            options["food_split"] = value
        else:
            options[name] = int(value) if value.isdigit() else value
    return seed, options


def _first_difference(play: Mapping[str, Any]) -> str:
    seed, options = options_of(play["tw_make_args"])
    env = TextWorldEnv(backend="prose", max_steps=1000, objective="full")
    try:
        return next(_differences(env, seed, options, play), "")
    finally:
        env.close()


def _differences(
    env: TextWorldEnv, seed: int, options: dict[str, Any], play: Mapping[str, Any]
) -> Iterator[str]:
    observation, info = env.reset(seed=seed, options=options)
    start = play["reset"]
    if not clean(start["feedback"]).endswith(observation):
        yield f"reset: observation {observation!r} does not end {clean(start['feedback'])!r}"
    yield from _unequal("reset", "task", info["task"], " ".join(play["objective"].split()))
    yield from _unequal("reset", "admissible", info["admissible_actions"], start["admissible"])
    for number, step in enumerate(play["steps"]):
        where = f"step {number}"
        observation, _, terminated, _, info = env.step(step["action"])
        yield from _unequal(where, "observation", observation, clean(step["feedback"]))
        yield from _unequal(where, "admissible", info["admissible_actions"], step["admissible"])
        ours = (info["raw_score"], terminated, info["won"], info["lost"])
        wanted = (step["score"], step["done"], step["won"], step["lost"])
        yield from _unequal(where, "score, done, won, lost", ours, wanted)


def _unequal(where: str, name: str, ours: Any, wanted: Any) -> Iterator[str]:
    if ours != wanted:
        yield f"{where}: {name} is {ours!r} instead of {wanted!r}"
