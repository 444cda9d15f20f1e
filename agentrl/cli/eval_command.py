"""`agentrl eval CHECKPOINT`: score a model directory on a panel."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", help="a run directory, a checkpoint, or any model directory")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to change")
    parser.add_argument("--config", help="YAML file; by default the run's own config.yaml")
    parser.add_argument("--split", choices=["train", "heldout"], default="heldout")
    parser.add_argument("--output", help="directory for scores and trajectories")


def run(args: argparse.Namespace) -> int:
    """Score and print the result as JSON."""
    from agentrl.config import load_config
    from agentrl.evaluation.checkpoint import evaluate_checkpoint, locate

    model, config_path = locate(Path(args.model))
    chosen = args.config or config_path
    config = load_config(chosen, [*args.overrides, f"model.path={model}"])
    output = Path(args.output) if args.output else Path(config.run_dir) / "eval"
    score = evaluate_checkpoint(config, args.split, output)
    print(json.dumps(score.to_json(), indent=1))
    return 0
