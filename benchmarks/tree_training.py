"""Training on trajectory trees against the same episodes without sharing: speed and memory.

Claims: an optimiser step on a tree costs what its unique tokens cost, so the gain approaches the
sharing ratio (separate / unique tokens).

Every side makes the same optimiser step (GRPO without KL, clipping, AdamW, one thread) on the same
episodes.  `tree` is `Learner.update`.  `packed` is `Learner.update` on separate sequences: no
sharing, no padding.  `padded` runs batches of eight padded rows through the model's ordinary
forward pass, with the learner's head and loss.  The sides take turns in one process; times are
medians of CPU seconds.  *Speed-up* is a side's time over the tree's, *efficiency* the speed-up over
the sharing ratio.  Memory is the highest resident memory of a step above what the process had
before it, in a fresh process for each side; weights, gradients and optimiser states are there
before.

Cases
  group      8 members share a prompt of 720 tokens and have 500 tokens of their own each
  branches   16 leaves of 20 turns leave a trunk before turns 10 to 16
  wide       8 leaves of 10 turns, model width 768 instead of 256
  recorded   trees of a real run, from the file given with --rollouts (the 8 that share most)

`--attention all` also compares three ways to compute the tree's attention on a CPU: `blocks` (what
the learner does), `paths` (each run gathers the keys of its path) and `dense` (one call with an
ancestor mask).

Run:  OMP_NUM_THREADS=1 python benchmarks/tree_training.py [--repeats 5] [--only CASE ...]
          [--rollouts FILE.jsonl] [--attention all] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from tree_sides import ATTENTIONS, SIDES, make_step
from tree_workload import branches, build_model, group, recorded

from agentrl.tree import Forest

WIDTHS = {"group": 256, "branches": 256, "wide": 768, "recorded": 256}


def forest_of(case: str, rollouts: Path | None) -> Forest:
    if case == "group":
        return group()
    if case == "branches":
        return branches()
    if case == "wide":
        return branches(leaves=8, turns=10, forks=(6, 8))
    assert rollouts is not None
    return recorded(rollouts, most=8)


def compare(case: str, rollouts: Path | None, attention: str, repeats: int) -> dict[str, Any]:
    """Alternate the sides of one case."""
    model, forest = build_model(WIDTHS[case]), forest_of(case, rollouts)
    sides = ATTENTIONS if attention == "all" else SIDES
    steps = {
        side: make_step("tree", model, forest, side)
        if attention == "all"
        else make_step(side, model, forest)
        for side in sides
    }
    report = steps[sides[0]]()
    for step in list(steps.values())[1:]:
        step()  # warm up
    rounds = [{side: seconds(step) for side, step in steps.items()} for _ in range(repeats)]
    unique, apart = report["tokens/unique"], report["tokens/separate"]
    return {
        "case": case,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trees": len(forest.trees),
        "episodes": len(forest.counted()),
        "unique_tokens": unique,
        "separate_tokens": apart,
        "sharing": apart / unique,
        "seconds": {side: statistics.median(r[side] for r in rounds) for side in sides},
        "rounds": rounds,
    }


def seconds(step: Any) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def gains(result: dict[str, Any]) -> dict[str, Any]:
    """Speed-up and efficiency against each baseline, as medians over the rounds."""
    found: dict[str, Any] = {}
    for side in SIDES[1:]:
        ratio = statistics.median(r[side] / r["tree"] for r in result["rounds"])
        found[side] = {"speed_up": ratio, "efficiency": ratio / result["sharing"]}
    return found


def peak_memory(case: str, rollouts: Path | None, side: str) -> float:
    """MiB of one step, in a fresh process."""
    command = [sys.executable, __file__, "--memory", case, side]
    command += ["--rollouts", str(rollouts)] if rollouts else []
    out = subprocess.run(command, capture_output=True, check=True, text=True, timeout=600)
    return float(out.stdout)


def measure_memory(case: str, rollouts: Path | None, side: str) -> float:
    model = build_model(WIDTHS[case])
    make_step(side, model, group(members=1))()  # optimiser states and kernels of its own copy
    step = make_step(side, model, forest_of(case, rollouts))
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """A line of this process's memory in MiB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if field in line)) / 1024


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['case']}: {result['episodes']} episodes, {result['separate_tokens']:.0f} tokens "
        f"separately, {result['unique_tokens']:.0f} unique, sharing {result['sharing']:.2f}; "
        f"{result['parameters'] / 1e6:.1f} M parameters"
    )
    for side, value in result["seconds"].items():
        line = f"  {side:8} {value:8.2f} s"
        if side in result.get("memory_mib", {}):
            line += f" {result['memory_mib'][side]:8.0f} MiB"
        if side in result.get("gains", {}):
            gain = result["gains"][side]
            line += f"   tree {gain['speed_up']:.2f}x as fast, {gain['efficiency']:.0%} of ideal"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(WIDTHS), default=list(WIDTHS))
    parser.add_argument("--rollouts", type=Path)
    parser.add_argument("--attention", choices=["blocks", "all"], default="blocks")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory:
        print(measure_memory(arguments.memory[0], arguments.rollouts, arguments.memory[1]))
        return
    results: dict[str, Any] = {
        "hardware": cpu_name(),
        "threads": 1,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cases": [],
    }
    for case in arguments.only:
        if case == "recorded" and arguments.rollouts is None:
            print("recorded: left out; give a rollouts file of a run with --rollouts FILE.jsonl")
            continue
        result = compare(case, arguments.rollouts, arguments.attention, arguments.repeats)
        if arguments.attention == "blocks":
            result["gains"] = gains(result)
            result["memory_mib"] = {
                side: peak_memory(case, arguments.rollouts, side) for side in SIDES
            }
        results["cases"].append(result)
        show(result)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
