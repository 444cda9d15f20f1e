"""What the rollout scheduler costs, and how busy it keeps the generator.

Every claim is measured with its counterpart beside it, in one run, on the corridor of
`scheduling_env.py`, whose steps take about a microsecond unless they are told to sleep.

  busy      Steps sleep 4 ms, 5 % of them 200 ms (`--step-ms`).  The embedded engine samples 12
            tokens a turn from a random model of some million parameters.  `busy` is the time inside
            forward passes and sampling over the wall time of the rollout: for the scheduler as it
            is, and for `deterministic`, which lets all episodes take their turns together.  Three
            times as many episodes are played as are in play at a time.  The model is large enough
            for a forward pass to take as long as one on a GPU (ten to thirty milliseconds for
            dozens of episodes), so that the generator is what there is to keep busy: with too few
            episodes for that the share falls, which the first rows show.
  cost      One step of an episode, less the environment and the engine: in process, where an object
            stands for the pool, and through worker processes.  Answers are prepared.  `new` renders
            and encodes observations never seen before, `seen` those of the rollout before, which
            the renderer remembers, `none` puts ids in the place of chat template and tokenizer and
            so leaves the scheduler, the transcript and the tree.  `bare exchange` is what two
            processes take to send each other messages of the same lengths: the operating system's
            part of a worker's step.
  crowd     Episodes that are all in play at once, a process each (`--crowd`), with the embedded
            engine and a tiny model: start, memory (PSS), steps per second, failures.
  branch    What the scheduler and the transcript take to start a branch at a turn, beyond the
            branch's steps and the restoring of its environment.

    OMP_NUM_THREADS=1 python benchmarks/rollout_scheduling.py [--only CASE ...] [--output FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from scheduling_env import ENV_ID, ROOM, CorridorEnv
from scheduling_parts import (
    BranchAt,
    InProcessPool,
    PreparedPolicy,
    PreparedRenderer,
    bare_exchange,
)
from scheduling_runs import Took, all_started, rolled_out, settings

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.envs import env_class
from agentrl.models.tiny import build_model, build_tokenizer
from agentrl.rollout.policy import ModelPolicy
from agentrl.rollout.scheduler import RolloutLimits, RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import Renderer
from agentrl.types import Task

Row = dict[str, Any]
TURNS = 20
TEXTS = [f"{ROOM.format(note=note)} Find the last room. go north" for note in range(0, 99999, 97)]


# -- busy --------------------------------------------------------------------------------------


async def busy(tokenizer: Any, arguments: argparse.Namespace) -> list[Row]:
    model = build_model(tokenizer, hidden_size=256, layers=4, heads=4, kv_heads=2).eval()
    rows = []
    for at_once in arguments.at_once:
        async with EnvPool(at_once, env_ids=[ENV_ID]) as pool:
            await all_started(pool, CorridorEnv.panel("train", count=1)[0])
            for step_ms in arguments.step_ms:
                tail = {"seconds": step_ms / 1000, "tail_share": 0.05, "tail_factor": 50.0}
                tasks = list(CorridorEnv.panel("train", count=3 * at_once, turns=8, **tail))
                for together in (False, True):
                    scheduler = RolloutScheduler(
                        pool,
                        settings(Renderer(tokenizer), CorridorEnv.prompt),
                        deterministic=together,
                    )
                    row = await one_busy(scheduler, EmbeddedEngine(model), tasks)
                    side = "lock-step" if together else "free-running"
                    rows.append({"in play": at_once, "step ms": step_ms, "side": side, **row})
    return rows


async def one_busy(scheduler: RolloutScheduler, engine: EmbeddedEngine, tasks: list[Task]) -> Row:
    policy = ModelPolicy(engine, SamplingParams(max_tokens=12), seed=0)
    took = await rolled_out(scheduler, tasks, policy)
    await engine.close()
    stats = engine.stats
    return {
        "busy %": 100 * stats.busy_seconds / took.wall,
        "tokens/s": took.tokens / took.wall,
        "wall s": took.wall,
        "ms a pass": 1000 * stats.busy_seconds / stats.steps,
        "tokens a pass": took.tokens / stats.steps,
        "failures": took.failures,
    }


# -- cost --------------------------------------------------------------------------------------


async def cost(tokenizer: Any, arguments: argparse.Namespace) -> list[Row]:
    tasks = list(CorridorEnv.panel("train", count=32, turns=TURNS))  # fewer steps than remembered
    rows = []
    for name, at_once in (("in process", 32), ("worker process", 32), ("worker process", 1)):
        if name == "in process":
            found = await step_costs(InProcessPool(at_once), tokenizer, tasks, arguments.repeats)
        else:
            async with EnvPool(at_once, env_ids=[ENV_ID]) as pool:
                await all_started(pool, tasks[0])
                found = await step_costs(pool, tokenizer, tasks, arguments.repeats)
        rows += [{"where": name, "in play": at_once, **row} for row in found]
    exchange = statistics.median(bare_exchange(40, 480, 2000) for _ in range(arguments.repeats))
    return [*rows, {"where": "bare exchange", "in play": 1, "wall us": 1e6 * exchange}]


async def step_costs(pool: Any, tokenizer: Any, tasks: list[Task], repeats: int) -> list[Row]:
    """Measure rollouts of the three kinds in turns; returns medians per step."""
    taken: dict[str, list[Took]] = {"none": [], "seen": [], "new": []}
    for _ in range(repeats):
        prepared, real = PreparedRenderer(tokenizer), Renderer(tokenizer)
        for kind, renderer in (("none", prepared), ("new", real), ("seen", real)):
            scheduler = RolloutScheduler(pool, settings(renderer, CorridorEnv.prompt))
            taken[kind].append(await rolled_out(scheduler, tasks, PreparedPolicy(renderer)))
    return [
        {
            "text": kind,
            "wall us": statistics.median(1e6 * took.wall / took.steps for took in runs),
            "least wall us": min(1e6 * took.wall / took.steps for took in runs),
            "cpu us, this process": statistics.median(1e6 * took.cpu / took.steps for took in runs),
        }
        for kind, runs in taken.items()
    ]


# -- crowd -------------------------------------------------------------------------------------


async def crowd(tokenizer: Any, arguments: argparse.Namespace) -> list[Row]:
    model = build_model(tokenizer, hidden_size=32, layers=2, heads=2, kv_heads=2).eval()
    rows = []
    for env_id, options in ((ENV_ID, {"turns": 10}), ("agentrl/TextWorld-v0", {"levels": [103]})):
        cls = env_class(env_id)
        panel = cls.panel("train", count=16, **options)
        cls.prepare(panel)
        async with EnvPool(arguments.crowd, env_ids=[env_id]) as pool:
            started, memory = await all_started(pool, panel[0])
            engine = EmbeddedEngine(model)
            policy = ModelPolicy(engine, SamplingParams(max_tokens=4), seed=0)
            shared = settings(Renderer(tokenizer), cls.prompt, max_turns=10)
            scheduler = RolloutScheduler(pool, shared, RolloutLimits(max_resamples=0))
            tasks = [panel[number % len(panel)] for number in range(pool.size)]
            took = await rolled_out(scheduler, tasks, policy)
            await engine.close()
        rows.append(
            {
                "environment": env_id,
                "in play": pool.size,
                "start s": started,
                "PSS MiB": memory,
                "MiB each": memory / pool.size,
                "steps": took.steps,
                "steps/s": took.steps / took.wall,
                "busy %": 100 * engine.stats.busy_seconds / took.wall,
                "failures": took.failures,
            }
        )
    return rows


# -- branch ------------------------------------------------------------------------------------


async def branch(tokenizer: Any, arguments: argparse.Namespace) -> list[Row]:
    renderer = PreparedRenderer(tokenizer)
    rows = []
    for turn in (1, 10, 19):
        costs, steps = [], []
        for _ in range(arguments.repeats):
            alone, restored = await branched(renderer, turn, 0)
            many, restored = await branched(renderer, turn, 64)
            step = alone.wall / alone.steps
            steps.append(1e6 * step)
            costs.append(1e6 * ((many.wall - restored - alone.wall) / 64 - step))
        rows.append(
            {
                "branch at turn": turn,
                "us a branch": statistics.median(costs),
                "us a step": statistics.median(steps),
            }
        )
    return rows


async def branched(renderer: Renderer, turn: int, branches: int) -> tuple[Took, float]:
    """Play ten episodes one turn beyond the branches of each; per episode, and per restoring."""
    pool = InProcessPool(100)
    scheduler = RolloutScheduler(pool, settings(renderer, CorridorEnv.prompt, turn + 1))
    tasks = list(CorridorEnv.panel("train", count=10, turns=TURNS + 1))
    took = await rolled_out(
        scheduler,
        tasks,
        PreparedPolicy(renderer),
        plan_of=lambda tree, task: BranchAt(turn, branches),
    )
    one = Took(took.wall / 10, took.cpu / 10, took.steps // 10, took.tokens // 10, took.failures)
    return one, pool.restoring / 10


# -- report ------------------------------------------------------------------------------------

CASES = {"busy": busy, "cost": cost, "crowd": crowd, "branch": branch}


def machine() -> Row:
    return {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }


def show(case: str, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print(f"\n{case}")
    table = [columns, *([text(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(columns))]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=7, help="of cost and branch; medians")
    parser.add_argument("--at-once", type=int, nargs="+", default=[2, 8, 32], help="of busy")
    parser.add_argument("--step-ms", type=float, nargs="+", default=[4.0, 20.0], help="of busy")
    parser.add_argument("--crowd", type=int, default=1000, help="episodes in play of crowd")
    parser.add_argument("--output", type=Path, help="write the numbers to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = build_tokenizer(TEXTS, vocab_size=600)
    report: Row = {"benchmark": "rollout_scheduling", "machine": machine()}
    for case in arguments.only:
        report[case] = asyncio.run(CASES[case](tokenizer, arguments))
        show(case, report[case])
    print(json.dumps(report, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
