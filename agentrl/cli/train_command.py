"""`agentrl train CONFIG [key=value ...]`."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", help="YAML file, for example configs/quickstart.yaml")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="for example algorithm.name=dr_grpo"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="show the effective configuration and stop"
    )
    parser.epilog = (
        "An unfinished run in `run_dir` is gone on with; a finished one is moved aside.\n"
        "Every setting and its meaning: docs/configuration.md."
    )


def run(args: argparse.Namespace) -> int:
    """Train and print the summary as one last line."""
    from agentrl.config import load_config
    from agentrl.config.load import to_plain

    config = load_config(args.config, args.overrides)
    if args.print_config:
        import yaml

        from agentrl.assembly import correction_of

        print(yaml.safe_dump(to_plain(config), sort_keys=False), end="")
        print(f"# {correction_of(config)}")
        return 0
    from agentrl.training import train

    print(json.dumps(train(config)), flush=True)
    return 0
