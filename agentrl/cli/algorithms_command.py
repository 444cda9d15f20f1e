"""`agentrl algorithms`."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: none."""


def run(args: argparse.Namespace) -> int:
    """Print name, description and settings of every algorithm."""
    from agentrl import algorithms

    for name, description in algorithms.listing():
        print(f"{name:20} {description}")
    return 0
