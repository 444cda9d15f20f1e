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
    parser.add_argument(
        "--output",
        help="directory for score and trajectories; by default eval/standalone of the run, or "
        "./evaluations",
    )


def run(args: argparse.Namespace) -> int:
    """Score and print the result as JSON."""
    from agentrl.config import load_config
    from agentrl.errors import ConfigError
    from agentrl.evaluation.checkpoint import evaluate_model, locate

    model, run_dir = locate(Path(args.model))
    config_path, output = args.config, args.output
    if run_dir is not None:
        config_path = config_path or run_dir / "config.yaml"
        output = output or run_dir / "eval" / "standalone"
    if config_path is None:
        raise ConfigError(
            f"{str(model)!r} is no checkpoint of a run, so its environment is not known; name a "
            "configuration with `--config`."
        )
    config = load_config(config_path, args.overrides)
    score = evaluate_model(config, model, args.split, Path(output or "evaluations"))
    print(json.dumps(score.to_json(), indent=1))
    return 0
