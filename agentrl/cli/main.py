"""Parse the command line; each command lives in a module of its own, imported when it is used."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from agentrl._version import __version__
from agentrl.errors import AgentRLError

COMMANDS = {
    "train": "train an agent from a configuration file",
    "eval": "score a checkpoint on a panel of tasks",
    "play": "play an environment yourself",
    "envs": "list the registered environments",
    "algorithms": "list the algorithms and their settings",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; mistakes print one clear line."""
    # Spinning OpenMP threads cost more than they give beside environment processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parser = argparse.ArgumentParser(
        prog="agentrl", description="Train LLM agents by reinforcement learning over many turns."
    )
    parser.add_argument("--version", action="version", version=f"agentrl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=text,
            description=text.capitalize() + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module = importlib.import_module(f"agentrl.cli.{name}_command")
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except AgentRLError as error:
        print(f"agentrl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nagentrl: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
