"""What the environments cost, in process and in worker processes, beside the original packages.

    python benchmarks/environments.py [--only NAME ...] [--repeats N] [--out FILE]
        [--peers-python PYTHON] [--webshop-original CLONE PYTHON]

Prints a table and JSON.  Times are wall-clock medians in milliseconds, measured one after the other
in one run, ours and the original's in turns with the same actions.

* start: a fresh interpreter imports AgentRL's environments and does the first reset (games made and
  translated before).
* reset, step: in process; `worker`: what a worker process adds to a step.
* original: the package driven directly (see `environments_raw.py`); `overhead` is our step minus
  its step.
* peers: with the two last options, the packages as other frameworks drive them, and the original
  WebShop, with the same games and actions; see `environments_peers.py`.
* fork after 10 steps: in process (`fork`), into another process by replay and by `os.fork`.
* memory: per worker while all play, its own (private) and its share of everything (PSS), MiB.
* steps/s of random play, resets included, with 1, 8 and 64 environments at a time (`--counts`).
  Counting begins when all have been reset, and ends `--seconds` later, or when each environment has
  made a step if that is later.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import environments_peers as peers
from environments_raw import Raw, RawPddl, RawScienceWorld, RawTextWorld

from agentrl.envs import TextEnv, env_class, make
from agentrl.envs.process import children_of, own_memory_mib
from agentrl.errors import EnvironmentFailure
from agentrl.rollout import handle as handle_module
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.types import Task, TaskPanel

ACTIONS = ("look around", "inventory", "wait1", "open door to kitchen", "go to kitchen", "task")
QUERIES = ("search[soft red shirt]", "search[wooden table]", "search[gift]")
_FORK_MILLISECONDS = 1000.0
"""Enough time for forks in one place; where each starts a Java process, one fork is."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One environment and how to play it.

    Attributes:
        env_id: registered environment.
        options: of its panel.
        originals: the package driven directly, by name.
        most: most environments at a time (memory).
        steps: how many to time, for every repeat.
    """

    env_id: str
    options: Mapping[str, Any]
    originals: Mapping[str, Callable[[Task], Raw]] = field(default_factory=dict)
    most: int = 64
    steps: int = 100


CASES: dict[str, Case] = {
    "textworld-facts": Case("agentrl/TextWorld-v0", {"levels": [105]}),
    "textworld-prose": Case(
        "agentrl/TextWorld-v0",
        {"levels": [105], "backend": "prose"},
        {"textworld": RawTextWorld},
    ),
    "alfworld": Case("agentrl/ALFWorld-v0", {"generated": True}, {"PddlEnv": RawPddl}),
    "webshop": Case("agentrl/WebShop-v0", {"catalogue": "generated"}),
    "scienceworld": Case(
        "agentrl/ScienceWorld-v0",
        {"task_types": ["boil"]},
        {
            "server.step": partial(RawScienceWorld, whole=False),
            "step": partial(RawScienceWorld, whole=True),
        },
        most=8,
        steps=40,
    ),
}


def milliseconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


def choose(info: Mapping[str, Any], rng: random.Random) -> str:
    """Return an action that something happens on."""
    actions = [a for a in info["admissible_actions"] or ACTIONS if not a.startswith("search[")]
    if not actions or (info["admissible_actions"] and len(actions) < 3):
        return rng.choice(QUERIES if "clickables" in info else actions)
    return rng.choice(actions)


def start_up(task: Task) -> float:
    """Time a fresh interpreter up to the first observation."""
    code = (
        "import json, sys, agentrl.envs as envs; from agentrl.types import Task; "
        "task = Task.from_json(json.loads(sys.argv[1])); env = envs.make(task.env_id); "
        "env.reset(seed=task.seed, options=task.options); env.close()"
    )
    command = [sys.executable, "-c", code, json.dumps(task.to_json())]
    return milliseconds(lambda: subprocess.run(command, check=True, capture_output=True))


def in_process(panel: TaskPanel, steps: int) -> Row:
    """Time reset, step and fork in this process."""
    env = make(panel[0].env_id)
    assert isinstance(env, TextEnv)
    resets, times, forks = [], [], []
    rng = random.Random(0)
    for number in range(steps // 10):
        task = panel[number % len(panel)]
        started = time.perf_counter()
        _, info = env.reset(seed=task.seed, options=task.options)
        resets.append(1000 * (time.perf_counter() - started))
        for _ in range(10):
            action = choose(info, rng)
            started = time.perf_counter()
            _, _, terminated, truncated, info = env.step(action)
            times.append(1000 * (time.perf_counter() - started))
            if terminated or truncated:
                break
        else:
            forks.append(milliseconds(lambda: env.fork().close()))
    env.close()
    return {
        "reset": statistics.median(resets),
        "step": statistics.median(times),
        "fork": statistics.median(forks) if forks else None,
    }


def beside(task: Task, original: Callable[[Task], Raw], steps: int) -> Row:
    """Time our steps and the original's with the same actions, each first in turns."""
    env, raw = make(task.env_id), original(task)
    rng = random.Random(1)
    wall: dict[str, list[float]] = {"ours": [], "theirs": []}
    cpu: dict[str, list[float]] = {"ours": [], "theirs": []}
    resets = [milliseconds(raw.reset)]
    _, info = env.reset(seed=task.seed, options=task.options)
    result: Any = None
    for number in range(steps):
        action = choose(info, rng)
        turns = [("ours", env.step), ("theirs", raw.step)]
        for name, step in turns if number % 2 else reversed(turns):
            started, used = time.perf_counter(), time.process_time()
            answer = step(action)
            cpu[name].append(1000 * (time.process_time() - used))
            wall[name].append(1000 * (time.perf_counter() - started))
            result = answer if name == "ours" else result
        _, _, terminated, truncated, info = result
        if terminated or truncated:
            resets.append(milliseconds(raw.reset))
            _, info = env.reset(seed=task.seed, options=task.options)
    env.close()
    raw.close()
    ours, theirs = (statistics.median(wall[name]) for name in ("ours", "theirs"))
    return {
        "reset": statistics.median(resets),
        "step": theirs,
        "our_step": ours,
        "overhead_us": 1000 * (ours - theirs),
        "overhead_cpu_us": 1000
        * (statistics.median(cpu["ours"]) - statistics.median(cpu["theirs"])),
        "times_faster": theirs / ours,
    }


async def in_workers(panel: TaskPanel, count: int, seconds: float) -> Row:
    """Play at random in `count` processes; measure steps per second and memory."""
    task = panel[0]
    steps = [0] * count

    async def play(number: int, until: float, handle: EnvHandle) -> None:
        rng = random.Random(number)
        while time.perf_counter() < until or not steps[number]:
            _, info = await handle.reset(panel[rng.randrange(len(panel))])
            over = False
            while not over and (time.perf_counter() < until or not steps[number]):
                _, _, terminated, truncated, info = await handle.step(choose(info, rng))
                over = terminated or truncated
                steps[number] += 1

    started = time.perf_counter()
    async with EnvPool(count, env_ids=[task.env_id]) as pool:
        count = min(count, pool.size)  # the memory may not suffice for all
        handles = await asyncio.gather(*(pool.acquire(task) for _ in range(count)))
        await asyncio.gather(*(handle.reset(task) for handle in handles))
        ready = time.perf_counter() - started
        started = time.perf_counter()
        results = await asyncio.gather(
            *(play(n, started + seconds, handle) for n, handle in enumerate(handles)),
            return_exceptions=True,
        )
        elapsed = time.perf_counter() - started
        failed = [result for result in results if result is not None]
        for error in failed:
            if not isinstance(error, EnvironmentFailure):
                raise error
        pids = [handle.pid for handle in handles if handle.pid is not None]
        memory = [own_memory_mib(pid) or 0.0 for pid in pids]
        share = [proportional_mib(pid) for pid in pids]
        await asyncio.gather(*(handle.close() for handle in handles))
    return {
        "environments": len(handles),
        "steps": sum(steps),
        "steps_per_second": sum(steps) / elapsed,
        "all_ready_seconds": ready,
        "failures": len(failed),
        "own_mib": statistics.mean(memory),
        "own_mib_most": max(memory),
        "pss_mib": statistics.mean(share),
    }


async def one_worker(panel: TaskPanel, steps: int) -> Row:
    """Time what a worker process adds to a step, and forks into other processes."""
    task = panel[0]
    env = make(task.env_id)
    _, info = env.reset(seed=task.seed, options=task.options)
    rng = random.Random(2)
    local, remote, replays, forks = [], [], [], []
    async with EnvPool(3, env_ids=[task.env_id]) as pool:
        handle = await pool.acquire(task)
        await handle.reset(task)
        for number in range(steps):
            action = choose(info, rng)
            started = time.perf_counter()
            _, _, terminated, truncated, info = env.step(action)
            between = time.perf_counter()
            await handle.step(action)
            remote.append(1000 * (time.perf_counter() - between))
            local.append(1000 * (between - started))
            if number % 40 == 9:
                replays += await timed_forks(handle, float("inf"))
                if env_class(task.env_id).placement.fork_process:
                    forks += await timed_forks(handle, 0.0)
            if number % 40 == 39 or terminated or truncated:
                _, info = env.reset(seed=task.seed, options=task.options)
                await handle.reset(task)
        await handle.close()
    env.close()
    return {
        "step_in_worker": statistics.median(remote),
        "worker_adds_us": 1000 * (statistics.median(remote) - statistics.median(local)),
        "fork_by_replay": statistics.median(replays) if replays else None,
        "fork_by_process": statistics.median(forks) if forks else None,
    }


async def timed_forks(handle: EnvHandle, factor: float) -> list[float]:
    """Fork up to three times, by process if `factor` is 0, else by replay."""
    usual, handle_module._FORK_FACTOR = handle_module._FORK_FACTOR, factor
    times: list[float] = []
    while len(times) < 3 and sum(times) < _FORK_MILLISECONDS:
        started = time.perf_counter()
        fork = await handle.fork()
        times.append(1000 * (time.perf_counter() - started))
        await fork.close()
    handle_module._FORK_FACTOR = usual
    return times


def proportional_mib(pid: int) -> float:
    """Return the share of physical memory of a process and its children (PSS; Linux)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return own + sum(proportional_mib(child) for child in children_of(pid))


def measure(case: Case, repeats: int, seconds: float, counts: Sequence[int]) -> Row:
    """Measure everything about one environment."""
    cls = env_class(case.env_id)
    panel = cls.panel("train", count=4, max_steps=10**6, **case.options)
    cls.prepare(panel)
    row: Row = {"options": dict(case.options)}
    row["start"] = min(start_up(panel[0]) for _ in range(repeats))
    row |= in_process(panel, case.steps * repeats)
    row["originals"] = {
        name: beside(panel[0], original, 15 * repeats) for name, original in case.originals.items()
    }
    row |= asyncio.run(one_worker(panel, case.steps * repeats))
    allowed = [count for count in counts if count <= case.most]
    row["concurrent"] = [asyncio.run(in_workers(panel, count, seconds)) for count in allowed]
    return row


def table(rows: Mapping[str, Row]) -> str:
    names = (
        "start",
        "reset",
        "step",
        "step_in_worker",
        "fork",
        "fork_by_replay",
        "fork_by_process",
    )
    lines = [f"{'milliseconds':18}" + "".join(f"{name:>16}" for name in names)]
    for case, row in rows.items():
        cells = "".join(_cell(row[name]) for name in names)
        lines.append(f"{case:18}{cells}")
    lines.append("")
    for case, row in rows.items():
        for name, original in row["originals"].items():
            lines.append(
                f"{case}: {name} of the package {original['step']:.2f} ms a step, ours "
                f"{original['our_step']:.2f} ms (difference {original['overhead_us']:.0f} us, "
                f"of this process's CPU {original['overhead_cpu_us']:.0f} us); "
                f"its reset {original['reset']:.1f} ms"
            )
        lines.append(f"{case}: a worker process adds {row['worker_adds_us']:.0f} us to a step")
        for run in row["concurrent"]:
            lines.append(
                f"{case}: {run['environments']:3d} environments {run['steps_per_second']:7.0f} "
                f"steps/s, ready in {run['all_ready_seconds']:.1f} s, own memory "
                f"{run['own_mib']:.0f} (most {run['own_mib_most']:.0f}), PSS "
                f"{run['pss_mib']:.0f} MiB, {run['failures']} failures"
            )
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>16}" if value is None else f"{value:16.2f}"


def versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=2, help="more for steadier medians")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run of random play")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--peers-python", type=Path, help="see `environments_peers.py`")
    parser.add_argument("--webshop-original", nargs=2, type=Path, metavar=("CLONE", "PYTHON"))
    parser.add_argument("--out", help="write the JSON here, too")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["AGENTRL_CACHE"] = cache
        rows: dict[str, Row] = {}
        for name in arguments.only:
            started = time.perf_counter()
            case, counts = CASES[name], arguments.counts
            rows[name] = measure(case, arguments.repeats, arguments.seconds, counts)
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        beside_peers = peers.measure(arguments.peers_python, arguments.webshop_original)
    result = {
        "benchmark": "environments",
        "unit": "milliseconds (medians), MiB",
        "python": sys.version.split()[0],
        "versions": versions(("textworld", "scienceworld", "fast-downward-textworld")),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": load,
        "environments": rows,
        "peers": beside_peers,
    }
    print(table(rows))
    print(peers.table(beside_peers))
    text = json.dumps(result, indent=1)
    if arguments.out:
        Path(arguments.out).write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
