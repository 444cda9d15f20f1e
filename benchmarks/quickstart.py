"""Train the quickstart, or another small configuration, with several seeds and keep the curves.

    python benchmarks/quickstart.py --seeds 0 1 2 --output benchmarks/results/NAME
    python benchmarks/quickstart.py --config configs/webshop.yaml --output benchmarks/results/NAME
    python benchmarks/quickstart.py --finished runs/webshop --output benchmarks/results/NAME

Each seed is a whole `agentrl train CONFIG`, set-up included; games are generated anew into an empty
cache, as on a fresh machine.  `--finished` takes runs that are already there.  Writes NAME.json
(every evaluation, every step's training success, minutes) and NAME.svg (success over steps).
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
from pathlib import Path
from typing import Any

import torch
import yaml

from agentrl import __version__
from agentrl.training.curves import Curve, plot
from agentrl.training.metrics import read_metrics

CONFIG = "configs/quickstart.yaml"
NUMBERS = (
    "train_success_warm",
    "train_success",
    "heldout_success_warm",
    "heldout_success",
    "minutes",
)


def train(config: str, seed: int, overrides: list[str]) -> dict[str, Any]:
    """Run one seed; returns its summary and its curves."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [sys.executable, "-m", "agentrl", "train", config, f"seed={seed}"]
        command += [f"run_dir={run_dir}", *overrides]
        environment = os.environ | {"AGENTRL_CACHE": str(Path(folder) / "cache")}
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
        return finished(run_dir)


def finished(run_dir: Path) -> dict[str, Any]:
    """Return summary and curves of a run that has ended."""
    summary = json.loads((run_dir / "summary.json").read_text())
    seed = yaml.safe_load((run_dir / "config.yaml").read_text()).get("seed", 0)
    lines = read_metrics(run_dir / "metrics.jsonl")
    return {"seed": seed, "summary": summary, "curves": curves(lines)}


def curves(lines: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return success over steps, of rollouts and of both panels."""
    keys = ("rollout/success", "eval/train_success", "eval/heldout_success")
    return {key: [(line["step"], line[key]) for line in lines if key in line] for key in keys}


def averaged(runs: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """Return the mean curve over the runs."""
    pairs = zip(*(run["curves"][key] for run in runs), strict=True)
    return [(float(p[0][0]), statistics.mean(value for _, value in p)) for p in pairs]


def figure(runs: list[dict[str, Any]]) -> str:
    """Draw the mean curves."""
    svg = plot(
        [
            Curve("training rollouts", averaged(runs, "rollout/success")),
            Curve("training panel", averaged(runs, "eval/train_success")),
            Curve("held-out panel", averaged(runs, "eval/heldout_success")),
        ]
    )
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def command(args: argparse.Namespace) -> str:
    """Return the command that gives these numbers, without the paths of this machine."""
    overrides = "".join(f" {override}" for override in args.overrides)
    seeds = " ".join(str(seed) for seed in args.seeds)
    return f"python benchmarks/quickstart.py --config {args.config} --seeds {seeds}{overrides}"


def main() -> None:
    """Run the seeds, print the table, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--finished", type=Path, nargs="+", default=[], metavar="RUN")
    parser.add_argument("--output", type=Path, help="path without ending")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    load_before = os.getloadavg()[0]
    runs = [finished(run_dir) for run_dir in args.finished] or [
        train(args.config, seed, args.overrides) for seed in args.seeds
    ]
    print("seed  " + "  ".join(f"{name:>20}" for name in NUMBERS))
    for run in runs:
        print(f"{run['seed']:4}  " + "  ".join(f"{run['summary'][n]:20.3f}" for n in NUMBERS))
    mean = {name: statistics.mean(run["summary"][name] for run in runs) for name in NUMBERS}
    print("mean  " + "  ".join(f"{mean[name]:20.3f}" for name in NUMBERS))
    if args.output is None:
        return
    result = {
        "command": command(args),
        "versions": {"agentrl": __version__, "torch": torch.__version__},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": [load_before, os.getloadavg()[0]],
        "mean": mean,
        "runs": runs,
    }
    args.output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    args.output.with_suffix(".svg").write_text(figure(runs) + "\n")


if __name__ == "__main__":
    main()
