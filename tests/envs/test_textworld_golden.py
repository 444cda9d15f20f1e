"""Official TextWorld plays, made by `tw-make`, replayed through the `prose` back end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl.envs.textworld import TextWorldEnv
from agentrl.envs.textworld.prose import clean

SWITCHES = {"open", "cook", "cut", "drop", "test"}


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


@pytest.mark.slow
def test_official_transcripts_replay_exactly(shared: Path):
    path = shared / "golden" / "environments" / "textworld.transcripts.json"
    if not path.exists():
        pytest.skip(f"no official transcripts at {path}")
    played = 0
    for transcript in json.loads(path.read_text())["transcripts"]:
        seed, options = options_of(transcript["tw_make_args"])
        env = TextWorldEnv(backend="prose", max_steps=1000, objective="full")
        observation, info = env.reset(seed=seed, options=options)
        assert clean(transcript["reset"]["feedback"]).endswith(observation)
        assert info["task"] == " ".join(transcript["objective"].split())
        assert info["admissible_actions"] == transcript["reset"]["admissible"]
        for number, step in enumerate(transcript["steps"]):
            where = f"{transcript['name']} step {number}"
            observation, _, terminated, _, info = env.step(step["action"])
            assert observation == clean(step["feedback"]), where
            assert info["admissible_actions"] == step["admissible"], where
            assert (info["raw_score"], terminated) == (step["score"], step["done"]), where
            assert (info["won"], info["lost"]) == (step["won"], step["lost"]), where
        env.close()
        played += 1
    assert played > 0
