"""`agentrl envs`."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: none."""


def run(args: argparse.Namespace) -> int:
    """Print id and description of every environment."""
    from agentrl import envs

    for env_id, description in envs.listing():
        print(f"{env_id:28} {description}")
    return 0
