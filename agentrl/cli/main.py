"""Parse the command line; each command lives in a module of its own, imported when it is used."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from agentrl._version import __version__
from agentrl.cli import eval_set_command
from agentrl.errors import AgentRLError

COMMANDS = {
    "train": "train an agent from a configuration file",
    "eval": "score a model on panels of tasks or a set of questions, or an agent without a model",
    "questions": "list the sets of questions, or look at one",
    "analyse": "say what a run shows about its method, with tables and plots",
    "play": "play an environment yourself",
    "serve-search": "serve a search index, or a web search, to all workers of a run",
    "serve-vllm": "serve a model with vLLM, its weights renewed by a run elsewhere",
    "data": "say how to get the data of an environment, and check them",
    "envs": "list the registered environments, or check one",
    "algorithms": "list the algorithms, or the settings of one",
}
_AGAIN = {
    "train": "; the same command goes on from the last checkpoint",
    eval_set_command.NAME: "; the same command asks what has not been answered yet",
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
        print(f"\nagentrl: interrupted{_AGAIN.get(args.command, '')}.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse; `key=value` may stand before and after options."""
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if _asks_questions(words):
        words[0] = eval_set_command.NAME
    args, rest = parser.parse_known_args(words)
    wrong = [text for text in rest if text.startswith("-") or "=" not in text]
    if rest and (wrong or not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(wrong or rest)}")
    if rest:
        args.overrides += rest
    return args


def _asks_questions(words: Sequence[str]) -> bool:
    """Whether it is `eval` of a question set, which has options of its own."""
    if list(words[:1]) != ["eval"]:
        return False
    from agentrl.envs.questions import FORMS

    options = (word.partition("=")[0] for word in words)
    return any(word in FORMS for word in words[1:2]) or "--model" in options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentrl",
        description="Train LLM agents by reinforcement learning over many turns.",
        epilog="`agentrl COMMAND --help` says more about each.",
    )
    parser.add_argument("--version", action="version", version=f"agentrl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"agentrl.cli.{name.replace('-', '_')}_command")
        _add(commands.add_parser(name, help=text), module, text)
    questions = commands.add_parser(eval_set_command.NAME, prog="agentrl eval")
    _add(questions, eval_set_command, "put a set of questions to a model, and score its answers")
    return parser


def _add(parser: argparse.ArgumentParser, module: Any, text: str) -> None:
    """Give a command its description, its arguments and what it does."""
    parser.description = f"{text[0].upper()}{text[1:]}."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


if __name__ == "__main__":
    sys.exit(main())
