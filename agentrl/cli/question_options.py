"""Options that choose questions, for the commands about question sets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrl.envs.questions import QuestionSet


def add_question_options(parser: argparse.ArgumentParser) -> None:
    """Declare where a set is, and which of its questions are meant."""
    which = parser.add_argument_group("which questions")
    which.add_argument("--path", help="the file; by default where `data` looks")
    which.add_argument("--data-dir", help="the set's directory; default $AGENTRL_DATA/SET")
    which.add_argument("--split", default="", help="default: the set's first")
    which.add_argument("--ids", type=Path, help="file of the ids to keep")
    which.add_argument("--levels", nargs="+", default=[], help="levels to keep")
    which.add_argument("--limit", type=int, default=0, help="keep the first so many")
    which.add_argument("--damaged", choices=["refuse", "drop", "mend"], default="refuse")


def chosen_questions(args: argparse.Namespace) -> QuestionSet:
    """Load the questions of `args.name` and say on standard error what they are.

    Raises:
        ConfigError: an option has a wrong value.
        DataError: the set is not there or damaged.
        UnknownNameError: there is no such set, split or level.
    """
    from agentrl.envs.questions import Selection, load_questions
    from agentrl.errors import ConfigError

    if args.limit < 0:
        raise ConfigError(f"`--limit` is {args.limit}; it must be 0 (all) or more.")
    questions = load_questions(
        args.name,
        split=args.split,
        path=args.path,
        data_dir=args.data_dir,
        selection=Selection(ids=args.ids, levels=tuple(args.levels), limit=args.limit),
        damaged=args.damaged,
    )
    print(questions.summary(), file=sys.stderr)
    return questions
