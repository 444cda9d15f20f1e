"""`agentrl algorithms [NAME]`."""

from __future__ import annotations

import argparse
import inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="show this algorithm's settings")
    parser.epilog = (
        "A setting is changed with `algorithm.options.SETTING=VALUE`, for example\n"
        "agentrl train configs/quickstart.yaml algorithm.name=grpo algorithm.options.clip_low=0.1"
    )


def run(args: argparse.Namespace) -> int:
    """Print name and description of every algorithm, or the settings of one."""
    from agentrl import algorithms
    from agentrl.algorithms.registry import factory

    if args.name is None:
        for name, description in algorithms.listing():
            print(f"{name:22} {description}")
        return 0
    settings = algorithms.settings(args.name)
    print(inspect.getdoc(factory(args.name)) or args.name)
    print("\nDefaults:")
    for name, default in settings.items():
        print(f"  {name} = {default!r}")
    return 0
