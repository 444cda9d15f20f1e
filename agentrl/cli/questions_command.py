"""`agentrl questions [SET]`: list the question sets, or look at one."""

from __future__ import annotations

import argparse

from agentrl.cli.question_options import add_question_options, chosen_questions

_EXAMPLES = """\
examples:
  agentrl questions                           # the sets that are known, and their splits
  agentrl questions gaia --ids text103.txt    # what is there, and whether it is as published
`agentrl eval SET` puts the questions to a model; docs/questions.md says where the files go."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", nargs="?", metavar="SET", help="without it, all are listed")
    add_question_options(parser)


def run(args: argparse.Namespace) -> int:
    """List, or load and summarise."""
    from agentrl.envs.questions import FORMS

    if args.name is not None:
        chosen_questions(args)
        return 0
    for form in FORMS.values():
        print(f"{form.name:18}{form.title:30}{', '.join(form.files)}")
    return 0
