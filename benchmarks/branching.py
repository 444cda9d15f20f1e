"""Branching against independent sampling at equal numbers of sampled tokens, on the quickstart.

    python benchmarks/branching.py --seeds 0 1 2 --output benchmarks/results/NAME

Each seed is trained twice with `configs/quickstart.yaml`: as it is (`aepo`: half of a group starts
from the prompt, the rest branches), and with `algorithm.options.rollout=independent`.  Everything
else is equal, the number of episodes per group too; since branches share the turns before they
part, a branching step samples fewer tokens.  The comparison is by tokens, not by steps: success on
panels of tasks over the tokens sampled for training so far, interpolated between evaluations, up
to the fewest tokens that a run has sampled.

Runs of different seeds go side by side, `--parallel` at a time.  Writes NAME.json (every run's
evaluations over tokens, and the differences at the same tokens) and NAME.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from agentrl import __version__
from agentrl.training.curves import Curve, Plot, document
from agentrl.training.metrics import read_metrics

ARMS = {"branching": [], "independent": ["algorithm.options.rollout=independent"]}
PANELS = {"eval/train_success": "training", "eval/heldout_success": "held-out"}
COMMON = [
    "evaluation.every=5",
    "evaluation.tasks_during_training=128",
    "checkpoint={every: 0, rollouts_every: 0}",
    "tensorboard=false",
]
GRID = 60
"""Places at which curves over tokens are compared."""


def train(arm: str, seed: int, overrides: list[str]) -> dict[str, Any]:
    """Train one run, and return its success over sampled tokens."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [sys.executable, "-m", "agentrl", "train", "configs/quickstart.yaml"]
        command += [f"seed={seed}", f"run_dir={run_dir}", *COMMON, *ARMS[arm], *overrides]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = read_metrics(run_dir / "metrics.jsonl")
        summary = json.loads((run_dir / "summary.json").read_text())
    return {"arm": arm, "seed": seed, "minutes": summary["minutes"], **over_tokens(lines)}


def over_tokens(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return (tokens sampled so far, success) at every evaluation, and the tokens of a step."""
    tokens, curves = 0.0, {key: [] for key in PANELS}
    steps = []
    for line in lines:
        if "rollout/tokens_sampled" in line:
            steps.append(line["rollout/tokens_sampled"])
            tokens += steps[-1]
        for key, curve in curves.items():
            if key in line:
                curve.append((tokens, line[key]))
    return {"tokens": tokens, "tokens_per_step": statistics.mean(steps), "curves": curves}


def at(curve: list[tuple[float, float]], tokens: float) -> float:
    """Return success at a number of tokens, on the line between two evaluations."""
    for (low, before), (high, after) in pairwise(curve):
        if low <= tokens <= high:
            return before + (after - before) * (tokens - low) / max(high - low, 1.0)
    return curve[-1][1]


def grid(runs: list[dict[str, Any]]) -> list[float]:
    """Return the numbers of tokens at which the runs are compared."""
    most = min(run["tokens"] for run in runs)
    return [most * place / GRID for place in range(GRID + 1)]


def mean_and_spread(
    runs: list[dict[str, Any]], arm: str, key: str, places: list[float]
) -> list[tuple[float, float, float]]:
    """Return (tokens, mean, standard deviation over the seeds)."""
    curves = [run["curves"][key] for run in runs if run["arm"] == arm]
    found = []
    for tokens in places:
        values = [at(curve, tokens) for curve in curves]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        found.append((tokens, statistics.mean(values), spread))
    return found


def differences(runs: list[dict[str, Any]], places: list[float]) -> dict[str, Any]:
    """Return branching minus independent at equal tokens, seed by seed: whole curve, and end."""
    result = {}
    for key, name in PANELS.items():
        by_seed: dict[int, dict[str, list[float]]] = {}
        for run in runs:
            values = [at(run["curves"][key], tokens) for tokens in places]
            by_seed.setdefault(run["seed"], {})[run["arm"]] = values
        whole, end = [], []
        for arms in by_seed.values():
            gaps = [b - i for b, i in zip(arms["branching"], arms["independent"], strict=True)]
            whole.append(statistics.mean(gaps))
            end.append(gaps[-1])
        result[name] = {
            kind: {"by_seed": values, "mean": statistics.mean(values)}
            for kind, values in (("whole curve", whole), ("at the end", end))
        }
    return result


def figure(runs: list[dict[str, Any]], places: list[float]) -> str:
    """Draw success over tokens on both panels, with one standard deviation of the seeds."""
    plots = []
    for key, name in PANELS.items():
        curves = []
        for arm in ARMS:
            found = mean_and_spread(runs, arm, key, places)
            points = [(tokens / 1000, mean) for tokens, mean, _ in found]
            band = [(tokens / 1000, mean - std, mean + std) for tokens, mean, std in found]
            curves.append(Curve(arm, points, band))
        plots.append(
            Plot(
                curves=curves,
                title=f"{name} panel",
                x_label="tokens sampled for training, in thousands",
                y_label="success rate",
                bounds=(0.0, 1.0),
            )
        )
    return document(plots)


def show(runs: list[dict[str, Any]], places: list[float], gaps: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'arm':<12} {'seed':>4} {'tokens':>9} {'a step':>7} {'training':>9} {'held-out':>9}")
    for run in runs:
        ends = [run["curves"][key][-1][1] for key in PANELS]
        name, a_step = f"{run['arm']:<12} {run['seed']:>4}", f"{run['tokens_per_step']:>7.0f}"
        print(f"{name} {run['tokens']:>9.0f} {a_step} {ends[0]:>9.3f} {ends[1]:>9.3f}")
    print(f"at equal tokens, up to {places[-1]:.0f}; branching minus independent:")
    for name, kinds in gaps.items():
        for kind, values in kinds.items():
            seeds = " ".join(f"{value:+.3f}" for value in values["by_seed"])
            print(f"  {name}, {kind}: {values['mean']:+.3f}  (seeds {seeds})")


def main() -> None:
    """Train all runs, compare them, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--output", type=Path, help="path without ending")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    jobs = [(arm, seed) for seed in args.seeds for arm in ARMS]
    with ThreadPoolExecutor(args.parallel) as pool:
        runs = list(pool.map(lambda job: train(*job, args.overrides), jobs))
    places = grid(runs)
    gaps = differences(runs, places)
    show(runs, places, gaps)
    if args.output is None:
        return
    seeds = " ".join(map(str, args.seeds))
    result = {
        "command": " ".join([f"python benchmarks/branching.py --seeds {seeds}", *args.overrides]),
        "versions": {"agentrl": __version__, "torch": torch.__version__},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "branching_minus_independent": gaps,
        "runs": runs,
    }
    args.output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    args.output.with_suffix(".svg").write_text(figure(runs, places) + "\n")


if __name__ == "__main__":
    main()
