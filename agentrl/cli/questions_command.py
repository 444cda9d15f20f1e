"""`agentrl questions SET`: look at a question set, put it to a model, score what was answered."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrl.envs.questions import QuestionSet
    from agentrl.evaluation.questions import Prediction, QuestionReport
    from agentrl.evaluation.questions.official import MakeJudge
    from agentrl.tools import Tool

_EXAMPLES = """\
examples:
  agentrl questions                                              # the sets that are known
  agentrl questions gaia --ids text103.txt                       # what is there, and how much
  agentrl questions math500 --server http://localhost:8000/v1 --model Qwen/Qwen3-8B --samples 4
  agentrl questions gaia --server http://localhost:8000/v1 --model m --tools my_tools:make_tools
  agentrl questions gaia --predictions answers.jsonl             # score stored answers again
  agentrl questions hle --predictions a.jsonl --judge-server https://host/v1 --judge MODEL
docs/questions.md says where the files go and what the columns mean."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", nargs="?", metavar="SET", help="without it, all are listed")
    what = parser.add_argument_group("which questions")
    what.add_argument("--path", help="the file; by default where `data` looks")
    what.add_argument("--data-dir", help="the set's directory; default $AGENTRL_DATA/SET")
    what.add_argument("--split", default="", help="default: the set's first")
    what.add_argument("--ids", type=Path, help="file of the ids to keep")
    what.add_argument("--levels", nargs="+", default=[], help="levels to keep")
    what.add_argument("--limit", type=int, default=0, help="keep the first so many")
    what.add_argument("--damaged", choices=["refuse", "drop", "mend"], default="refuse")
    who = parser.add_argument_group("who answers")
    who.add_argument("--server", metavar="URL", help="an OpenAI-compatible server")
    who.add_argument("--model", help="as the server calls it")
    who.add_argument("--key-variable", default="OPENAI_API_KEY", metavar="NAME")
    who.add_argument("--tools", metavar="MODULE:FUNCTION", help="returns the tools it may call")
    who.add_argument("--samples", type=int, default=1, help="per question (default 1)")
    who.add_argument("--temperature", type=float, default=0.6, help="default 0.6")
    who.add_argument("--top-p", type=float, default=0.95, help="default 0.95")
    who.add_argument("--max-tokens", type=int, default=4096, help="of a turn (default 4096)")
    who.add_argument("--seed", type=int, help="of sampling; each sample has one of its own")
    who.add_argument("--max-turns", type=int, default=20, help="with tools (default 20)")
    who.add_argument("--max-calls", type=int, help="of tools, per question")
    who.add_argument("--concurrency", type=int, default=8, help="questions at once (default 8)")
    who.add_argument("--deadline", type=float, default=1500.0, help="seconds per sample")
    who.add_argument("--retry-errors", action="store_true", help="ask again where it failed")
    how = parser.add_argument_group("how it is scored")
    how.add_argument("--predictions", type=Path, metavar="FILE", help="score these, ask nothing")
    how.add_argument("--part", action="store_true", help="FILE answers more than these questions")
    how.add_argument("--judge", metavar="MODEL", help="judge's model, for sets that are judged")
    how.add_argument("--judge-server", metavar="URL", help="without it, only kept verdicts count")
    how.add_argument("--judge-key-variable", default="OPENAI_API_KEY", metavar="NAME")
    how.add_argument("--verdicts", type=Path, metavar="DIR", help="where verdicts are kept")
    how.add_argument("--also-judge", default="", metavar="FORM", help="a judge beside the rule")
    how.add_argument("--k", type=int, nargs="+", default=[], help="for pass@k and maj@k")
    how.add_argument("--output", type=Path, default=Path("evaluations"), metavar="DIR")
    how.add_argument("--format", choices=["table", "json"], default="table")


def run(args: argparse.Namespace) -> int:
    """List, load, ask, score, print."""
    from agentrl.envs.questions import FORMS, Selection, load_questions
    from agentrl.errors import ConfigError

    if args.name is None:
        for form in FORMS.values():
            print(f"{form.name:18}{form.title:28}{', '.join(form.files)}")
        return 0
    if args.server and args.predictions:
        raise ConfigError("Give `--server` to ask, or `--predictions` to score, not both.")
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
    if not (args.server or args.predictions):
        return 0
    report = asyncio.run(_ask_and_score(args, questions))
    return _print(report, args.format)


async def _ask_and_score(args: argparse.Namespace, questions: QuestionSet) -> QuestionReport:
    from agentrl.evaluation.questions import official_scorers, score_file
    from agentrl.scoring.maths import MathsScorer

    async with AsyncExitStack() as stack:
        maths = None
        if questions.scorer == "maths":
            maths = stack.enter_context(MathsScorer(reading="whole"))
        scorers = official_scorers(
            questions.scorer,
            maths=maths,
            judge=await _judge(args, stack) if args.judge else None,
            also_judge=args.also_judge,
        )
        path = args.predictions or await _ask(args, questions)
        return await score_file(
            path, questions, scorers, ks=args.k, output=args.output, part=args.part
        )


async def _judge(args: argparse.Namespace, stack: AsyncExitStack) -> MakeJudge:
    from agentrl.engines.openai import OpenAIClient, Server
    from agentrl.evaluation.judge import LLMJudge

    client = None
    if args.judge_server:
        server = Server(
            url=args.judge_server, model=args.judge, key_variable=args.judge_key_variable
        )
        client = await stack.enter_async_context(OpenAIClient(server))
    return lambda form: LLMJudge(client, args.judge, form, cache=args.verdicts)


async def _ask(args: argparse.Namespace, questions: QuestionSet) -> Path:
    """Put the questions to the model; return the file of its answers."""
    from agentrl.engines import SamplingParams
    from agentrl.engines.openai import OpenAIClient, Server
    from agentrl.errors import ConfigError
    from agentrl.evaluation.questions import (
        INSTRUCTIONS,
        ChatAgent,
        RunSettings,
        answer_questions,
    )

    if not args.model:
        raise ConfigError("`--server` needs `--model`, the name of one of its models.")
    settings = RunSettings(
        agent=args.model,
        samples=args.samples,
        concurrency=args.concurrency,
        deadline=args.deadline,
        retry_errors=args.retry_errors,
        described={
            name: getattr(args, name)
            for name in (
                "temperature",
                "top_p",
                "max_tokens",
                "seed",
                "tools",
                "max_turns",
                "max_calls",
            )
        },
    )
    params = SamplingParams(
        temperature=args.temperature, top_p=args.top_p, max_tokens=args.max_tokens, seed=args.seed
    )
    tools = _tools(args.tools)
    name = f"{args.model}-{questions.label}".replace("/", "-")
    path = Path(args.output) / f"{name}.jsonl"
    server = Server(url=args.server, model=args.model, key_variable=args.key_variable)
    try:
        async with OpenAIClient(server) as client:
            agent = ChatAgent(
                client,
                params,
                tools=tools,
                instruction=INSTRUCTIONS[questions.scorer],
                max_turns=args.max_turns,
                max_calls=args.max_calls,
            )
            await answer_questions(questions, agent, path, settings, _progress)
    finally:
        for tool in tools:
            await tool.close()
    return path


def _tools(name: str | None) -> Sequence[Tool]:
    """Return the tools that a function makes, named `module:function`."""
    from agentrl.errors import ConfigError

    if not name:
        return ()
    module, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"`--tools` is {name!r}; it must be MODULE:FUNCTION, a function without arguments that "
            f"returns a list of tools ({error})."
        ) from error
    tools: Sequence[Tool] = made()
    return tools


def _progress(prediction: Prediction, done: int, wanted: int) -> None:
    said = prediction.error or prediction.stop
    line = f"{done}/{wanted}  {prediction.id}  {said[:100]}  {prediction.seconds:.0f} s"
    print(line, file=sys.stderr, flush=True)


def _print(report: QuestionReport, form: str) -> int:
    """Print; the exit status is 1 where nothing could be scored."""
    from agentrl.evaluation.questions.report import plain

    print(json.dumps(report.to_json(), indent=1) if form == "json" else plain(report), end="\n")
    return 0 if report.headline.samples else 1
