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
    "eval": "score a model, or an agent without one, on panels of tasks",
    "analyse": "say what a run shows about its method, with tables and plots",
    "play": "play an environment yourself",
    "serve-search": "serve a search index, or a web search, to all workers of a run",
    "data": "say how to get the data of an environment, and check them",
    "envs": "list the registered environments, or check one",
    "algorithms": "list the algorithms, or the settings of one",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; mistakes print one clear line."""
    # Spinning OpenMP threads cost more than they give beside environment processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if os.getcwd() not in sys.path:  # environments of the user's own, `module:name/Env-v0`
        sys.path.append(os.getcwd())
    args = _parse(argv)
    try:
        return int(args.run(args) or 0)
    except AgentRLError as error:
        print(f"agentrl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "; the same command goes on from the last checkpoint"
        print(f"\nagentrl: interrupted{again if args.command == 'train' else ''}.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse; `key=value` may stand before and after options."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    wrong = [text for text in rest if text.startswith("-") or "=" not in text]
    if rest and (wrong or not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(wrong or rest)}")
    if rest:
        args.overrides += rest
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentrl",
        description="Train LLM agents by reinforcement learning over many turns.",
        epilog="`agentrl COMMAND --help` says more about each.",
    )
    parser.add_argument("--version", action="version", version=f"agentrl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module = importlib.import_module(f"agentrl.cli.{name.replace('-', '_')}_command")
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
