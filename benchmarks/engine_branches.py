"""Branches that leave ended episodes, as `engines.py` measures them."""

from __future__ import annotations

import argparse
import asyncio
import random
from typing import Any

from engine_sides import EngineSide
from engine_workload import SAMPLED, Episode, plan, random_ids, spread


async def measure_branches(
    engines: list[EngineSide], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Let branches leave ended episodes, and time their first token with and without a cache."""
    parents = plan(arguments.parents, arguments.turns)
    runs: dict[str, list[dict[str, float]]] = {side.name: [] for side in engines}
    for _ in range(arguments.repeats):
        for side in engines:
            runs[side.name].append(await branch(side, parents, arguments))
            await asyncio.sleep(side.rest)
    rows = []
    for name, run in runs.items():
        row = {"side": name, "branches": run[0]["branches"], "shared_tokens": run[0]["shared"]}
        row |= {"found_tokens": run[-1]["found"]}
        row["found_share"] = round(run[-1]["found"] / run[-1]["shared"], 4)
        for key in ("cached_ms", "not_cached_ms"):
            row[f"{key}_per_branch"] = spread([each[key] for each in run])
        row["times"] = spread([each["not_cached_ms"] / each["cached_ms"] for each in run])
        rows.append(row)
        print(
            f"{name:<10}{row['branches']:>9}{row['shared_tokens']:>9}{row['found_tokens']:>9}"
            f"{row['found_share']:>8.1%}{row['cached_ms_per_branch'][1]:>15.2f}"
            f"{row['not_cached_ms_per_branch'][1]:>15.2f}{row['times'][1]:>8.1f}x"
        )
    return rows


async def branch(
    side: EngineSide, parents: list[Episode], arguments: argparse.Namespace
) -> dict[str, float]:
    await side.forget()
    played = await asyncio.gather(*(side.episode(parent) for parent in parents))
    prompts = []
    for turns in played:
        for turn in arguments.branch_turns:
            prompt, completion = turns[turn - 1]
            halves = ([], completion.ids[: SAMPLED // 2])
            prompts += [prompt + halves[k % 2] for k in range(arguments.branches)]
    cached, found = await side.first_tokens(prompts)
    for parent in parents:
        side.engine.release(str(parent.number))
    await side.forget()
    draw = random.Random(len(prompts))
    seconds, stray = await side.first_tokens([random_ids(draw, len(ids)) for ids in prompts])
    assert not stray, "random prompts have no beginning in common"
    return {
        "branches": len(prompts),
        "shared": sum(map(len, prompts)),
        "found": found,
        "cached_ms": 1000 * cached / len(prompts),
        "not_cached_ms": 1000 * seconds / len(prompts),
    }
