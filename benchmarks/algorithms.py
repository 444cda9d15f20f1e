"""Train the quickstart with several algorithms and seeds, and compare their curves.

    python benchmarks/algorithms.py --runs runs/study --output benchmarks/results/NAME
    python benchmarks/algorithms.py --runs runs/study --output benchmarks/results/NAME --only epo

Every run is a whole `agentrl train configs/quickstart.yaml` that differs in the seed, the algorithm
and the options in `METHODS`, and shares everything else, the imitation before it included.  A run
that is in `--runs` already is not repeated.  Writes NAME.json (every curve), NAME.md (the table)
and NAME.svg (success and entropy, mean over the seeds, with their range as a band).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agentrl import __version__
from agentrl.training.curves import Curve, Plot, document
from agentrl.training.metrics import read_metrics

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo": ("grpo", {}),
    "dapo": ("dapo", {}),
    "gspo": ("gspo", {}),
    "gigpo": ("gigpo", {}),
    "epo": ("epo", {}),
    "empg": ("empg", {}),
    "aepo": ("aepo", {"rollout": "independent"}),  # its loss; see benchmarks/branching.py
    "spear": (
        "spear",
        {
            "buffer_rows": 64,
            "baseline_groups": 160,
            "toolcall_steps": 40,
            "replay_warmup_steps": 40,
        },
    ),
    "clip_cov": ("clip_cov", {}),
    "aepo_arbitrary": ("aepo_arbitrary", {"entropy_target": 0.4, "control_episodes": 8}),
}
"""Names in the study, the algorithm behind each, and options that its small scale asks for."""

SHARED = {
    "steps": 40,
    "tensorboard": "false",
    "checkpoint.every": 0,
    "checkpoint.rollouts_every": 0,
    "evaluation.every": 10,
    "evaluation.tasks_during_training": 64,
    "environment.workers": 64,
}
KEYS = {
    "success": "rollout/success",
    "held-out success": "eval/heldout_success",
    "entropy": "learner/entropy",
}
LATE = 10
"""Steps at the end whose mean stands for a run in the table."""


def train(runs: Path, name: str, seed: int) -> list[dict[str, Any]]:
    """Train one method with one seed, unless that is done, and return its metrics."""
    algorithm, options = METHODS[name]
    folder = runs / f"{name}-{seed}"
    if not (folder / "summary.json").exists():
        settings = {**SHARED, "seed": seed, "run_dir": folder, "algorithm.name": algorithm}
        settings["algorithm.options"] = json.dumps(options)
        command = [sys.executable, "-m", "agentrl", "train", "configs/quickstart.yaml"]
        command += [f"{key}={value}" for key, value in settings.items()]
        log = folder.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(command, check=True, stdout=output, stderr=output, env=environment)
    return read_metrics(folder / "metrics.jsonl")


def curve(metrics: list[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    """Return a metric over steps, where it was measured."""
    return [(line["step"], line[key]) for line in metrics if key in line]


def late(points: list[tuple[int, float]]) -> float:
    """Return the mean over the last steps."""
    return statistics.mean(value for _, value in points[-LATE:])


def smooth(points: list[tuple[int, float]], width: int = 5) -> list[tuple[float, float]]:
    """Return means over the last `width` points."""
    values = [value for _, value in points]
    return [
        (float(step), statistics.mean(values[max(0, index - width + 1) : index + 1]))
        for index, (step, _) in enumerate(points)
    ]


def band(label: str, seeds: list[list[tuple[int, float]]], width: int = 5) -> Curve:
    """Return the mean over the seeds with their range."""
    lines = [smooth(points, width) for points in seeds]
    at = [step for step, _ in lines[0]]
    columns = [[line[index][1] for line in lines] for index in range(len(at))]
    return Curve(
        label,
        [(x, statistics.mean(values)) for x, values in zip(at, columns, strict=True)],
        band=[(x, min(values), max(values)) for x, values in zip(at, columns, strict=True)],
    )


Seeds = Mapping[str, dict[str, list[tuple[int, float]]]]
"""The curves of a method by seed."""


def row(name: str, seeds: Seeds, base: Seeds) -> str:
    """Return a line of the table: mean and standard error over the seeds.

    The last column is the difference to `base`, seed by seed, of the mean success of the whole run.
    """

    def cell(values: list[float]) -> str:
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        return f"{statistics.mean(values):.3f} ± {error:.3f}"

    last = [[curves["held-out success"][-1][1] for curves in seeds.values()]]
    rollouts = [late(curves["success"]) for curves in seeds.values()]
    area = [whole(curves) for curves in seeds.values()]
    ahead = [whole(curves) - whole(base[seed]) for seed, curves in seeds.items()]
    entropy = [late(curves["entropy"]) for curves in seeds.values()]
    cells = [name, *map(cell, [area, rollouts, *last, entropy]), cell(ahead)]
    return "| " + " | ".join(cells) + " |"


def whole(curves: dict[str, list[tuple[int, float]]]) -> float:
    """Return the mean success of a run's training rollouts."""
    return statistics.mean(value for _, value in curves["success"])


def figure(found: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    """Draw success and entropy of each method beside those of the first one."""
    base = next(iter(found))
    plots = []
    for name, seeds in found.items():
        for key, bounds in (("success", (0.0, 1.0)), ("entropy", (0.0, 1.0))):
            shown = [band(name, [curves[key] for curves in seeds.values()])]
            if name != base:
                shown.append(band(base, [curves[key] for curves in found[base].values()]))
            plots.append(
                Plot(
                    curves=shown,
                    title=f"{name}: {key}" + (" (nats)" if key == "entropy" else ""),
                    x_label="step",
                    bounds=bounds,
                    width=320,
                    height=200,
                )
            )
    return document(plots, columns=4)


def main() -> None:
    """Run what is missing and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(METHODS))
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    pairs = [(name, seed) for seed in args.seeds for name in args.only]
    with ThreadPoolExecutor(args.parallel) as pool:
        metrics = list(pool.map(lambda pair: train(args.runs, *pair), pairs))
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in args.only}
    for (name, seed), lines in zip(pairs, metrics, strict=True):
        found[name][str(seed)] = {label: curve(lines, key) for label, key in KEYS.items()}
    head = ["algorithm", "success, whole run", f"success, last {LATE} steps"]
    head += [
        "held-out success",
        f"entropy, last {LATE} steps",
        f"whole run, ahead of {args.only[0]}",
    ]
    table = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    table += [row(name, seeds, found[args.only[0]]) for name, seeds in found.items()]
    print("\n".join(table))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"version": __version__, "shared": SHARED, "methods": METHODS, "curves": found}
    args.output.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
    args.output.with_suffix(".md").write_text("\n".join(table) + "\n")
    args.output.with_suffix(".svg").write_text(figure(found) + "\n")


if __name__ == "__main__":
    main()
