"""What TextWorld costs: making a game, reset, step, fork, and the way to a worker process.

    python benchmarks/textworld_env.py [--out FILE]

Prints a table and JSON.  `first_game` includes the start of a generating process.  Fork is compared
with its alternative: TextWorld's own copy for `prose`, replaying the commands for `facts`.  Times
are wall-clock medians in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

from agentrl.envs import make
from agentrl.envs.textworld import Options, TextWorldEnv, prepare_panel
from agentrl.envs.textworld.store import ensure
from agentrl.rollout.workers import EnvPool
from agentrl.types import Task

ENV_ID = "agentrl/TextWorld-v0"
CASES: dict[str, dict[str, Any]] = {
    "coin_collector-105 facts": {"levels": [105]},
    "treasure_hunter-5 facts": {"kind": "treasure_hunter", "levels": [5]},
    "cooking (6 rooms) facts": {"kind": "cooking", "go": 6, "open": True, "cut": True},
    "simple facts": {"kind": "simple"},
    "coin_collector-105 prose": {"levels": [105], "backend": "prose"},
    "simple prose": {"kind": "simple", "backend": "prose"},
}
Row = dict[str, float]


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


def measure(options: dict[str, Any], games: int, steps: int) -> Row:
    """Time everything that happens in one process, over `games` games."""
    panel = TextWorldEnv.panel("test", count=games, max_steps=steps, **options)
    started = time.perf_counter()
    prepare_panel(panel[:1], workers=1, quiet=True)
    first = time.perf_counter() - started
    made = []
    for task in panel[1:]:
        chosen = Options.read(task.options)
        made.append(timed(partial(ensure, chosen.spec(task.seed), chosen.backend)))
    env = TextWorldEnv()
    resets, step_times, forks, alternatives = [], [], [], []
    for task in panel:
        env.reset(seed=task.seed, options=task.options)
    for task in panel:
        resets.append(timed(lambda task=task: env.reset(seed=task.seed, options=task.options)))
        actions = play(env, steps, step_times)
        forks += [timed(lambda: env.fork().close()) for _ in range(3)]
        alternatives.append(alternative_fork(env, task, actions))
    return {
        "first_game": 1000 * first,
        "game": statistics.median(made),
        "reset": statistics.median(resets),
        "step": statistics.median(step_times),
        "fork": statistics.median(forks),
        "alternative_fork": statistics.median(alternatives),
        "steps_before_fork": float(steps),
    }


def play(env: TextWorldEnv, steps: int, times: list[float]) -> list[str]:
    """Play random moves that do not end the game; return them."""
    rng = random.Random(0)
    actions: list[str] = []
    info = env.step("look")[4]
    for _ in range(steps - 1):
        safe = [a for a in info["admissible_actions"] if a.startswith(("go", "look", "examine"))]
        actions.append(rng.choice(safe))
        started = time.perf_counter()
        info = env.step(actions[-1])[4]
        times.append(1000 * (time.perf_counter() - started))
    return actions


def alternative_fork(env: TextWorldEnv, task: Task, actions: list[str]) -> float:
    """Time TextWorld's own copy where there is an interpreter, else a replay."""
    game = getattr(env._player, "_game", None)
    if hasattr(game, "copy"):
        return timed(lambda: game.copy().close())

    def replay() -> None:
        twin = TextWorldEnv()
        twin.reset(seed=task.seed, options=task.options)
        for action in ["look", *actions]:
            twin.step(action)

    return timed(replay)


async def measure_workers(processes: int, steps: int) -> Row:
    """Time the pool: start, fork of all workers, memory, and the round trip above a local step."""
    task = TextWorldEnv.panel("test", levels=[105], count=1, max_steps=10**6)[0]
    env = make(ENV_ID)
    env.reset(seed=task.seed, options=task.options)
    started = time.perf_counter()
    async with EnvPool(processes, env_ids=[ENV_ID]) as pool:
        start = time.perf_counter() - started
        started = time.perf_counter()
        handles = [await pool.acquire(task) for _ in range(processes)]
        forks = time.perf_counter() - started
        await asyncio.gather(*(handle.reset(task) for handle in handles))
        memory = [proportional_megabytes(handle._worker.pid) for handle in handles]
        local, remote = [], []
        for _ in range(steps):
            local.append(timed(lambda: env.step("look")))
            started = time.perf_counter()
            await handles[0].step("look")
            remote.append(1000 * (time.perf_counter() - started))
        await asyncio.gather(*(handle.close() for handle in handles))
    return {
        "pool_start": 1000 * start,
        "fork_per_worker": 1000 * forks / processes,
        "memory_per_worker_mb": statistics.mean(memory),
        "step_in_process": statistics.median(local),
        "step_in_worker": statistics.median(remote),
        "round_trip": statistics.median(remote) - statistics.median(local),
    }


def proportional_megabytes(pid: int) -> float:
    """Return the process's share of physical memory (PSS; Linux)."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        sizes = (line.split() for line in lines if line.startswith("Pss:"))
        return int(next(sizes)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="write the JSON here, too")
    parser.add_argument("--games", type=int, default=6)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--workers", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["AGENTRL_CACHE"] = cache
        rows = {
            name: measure(options, arguments.games, arguments.steps)
            for name, options in CASES.items()
        }
        pool = asyncio.run(measure_workers(arguments.workers, 300))
    result = {
        "benchmark": "textworld_env",
        "unit": "milliseconds (median), memory in MB",
        "python": sys.version.split()[0],
        "textworld": version("textworld"),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "games": rows,
        "workers": {"processes": float(arguments.workers), **pool},
    }
    columns = ["first_game", "game", "reset", "step", "fork", "alternative_fork"]
    print(f"{'':28}" + "".join(f"{column:>18}" for column in columns))
    for name, row in rows.items():
        print(f"{name:28}" + "".join(f"{row[column]:18.2f}" for column in columns))
    print("  ".join(f"{name} {value:.2f}" for name, value in pool.items()))
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        with open(arguments.out, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
