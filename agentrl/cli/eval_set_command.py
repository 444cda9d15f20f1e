"""`agentrl eval SET`: put a question set to a model, and score what it answers."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agentrl.cli.question_options import add_question_options, chosen_questions
from agentrl.cli.tool_options import SETTINGS, add_tool_options, open_tools

if TYPE_CHECKING:
    from agentrl.envs.questions import QuestionSet
    from agentrl.evaluation.questions import Prediction, QuestionReport
    from agentrl.evaluation.questions.chat_agent import ChatModel
    from agentrl.evaluation.questions.official import MakeJudge

NAME = "eval SET"
_EXAMPLES = """\
examples:
  agentrl eval math500 --model runs/mine --samples 4
  agentrl eval gaia --model http://localhost:8000/v1 --model-name Qwen/Qwen3-8B \\
      --tools search,browse,python --search serper
  agentrl eval gaia --predictions evaluations/answers.jsonl    # score stored answers again
  agentrl eval webwalkerqa --model runs/mine --tools click --judge-server URL --judge MODEL
`agentrl questions` lists the sets; docs/questions.md says what the columns mean."""
_SAMPLING = ("temperature", "top_p", "max_tokens", "seed")


class _Model(NamedTuple):
    """Who answers."""

    chat: ChatModel
    name: str
    tags: tuple[str, ...]
    facts: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", metavar="SET", help="see `agentrl questions`")
    add_question_options(parser)
    who = parser.add_argument_group("who answers")
    who.add_argument(
        "--model",
        metavar="CHECKPOINT|URL",
        help="a run, checkpoint or model directory; or the address of an OpenAI-compatible server",
    )
    who.add_argument("--model-name", metavar="NAME", help="as the server calls it")
    who.add_argument("--key-variable", default="OPENAI_API_KEY", metavar="NAME")
    who.add_argument("--samples", type=int, default=1, help="per question (default 1)")
    who.add_argument("--temperature", type=float, default=0.6, help="default 0.6")
    who.add_argument("--top-p", type=float, default=0.95, help="default 0.95")
    who.add_argument("--max-tokens", type=int, default=4096, help="of a turn (default 4096)")
    who.add_argument("--seed", type=int, help="of sampling; each sample has one of its own")
    who.add_argument("--concurrency", type=int, default=8, help="questions at once (default 8)")
    who.add_argument("--deadline", type=float, default=1500.0, help="seconds per sample")
    who.add_argument("--retry-errors", action="store_true", help="ask again where it failed")
    add_tool_options(parser)
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
    """Load, ask, score, print."""
    from agentrl.errors import ConfigError

    if bool(args.model) == bool(args.predictions):
        raise ConfigError(
            "Give either `--model`, who is to answer, or `--predictions`, a file to be scored; "
            f"`agentrl questions {args.name}` only looks at the set."
        )
    questions = chosen_questions(args)
    _check_judge(args, questions)
    report = asyncio.run(_ask_and_score(args, questions))
    return _print(report, args.format)


def _check_judge(args: argparse.Namespace, questions: QuestionSet) -> None:
    """Find out that a judge is missing before anything is asked."""
    from agentrl.errors import ConfigError
    from agentrl.evaluation.judge_forms import JUDGE_FORMS

    if not args.judge and (questions.scorer in JUDGE_FORMS or args.also_judge):
        raise ConfigError(
            f"Answers to {questions.label} are to be marked by a model: give `--judge MODEL` and "
            "`--judge-server URL`, or `--verdicts DIR` with what that judge said before."
        )


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
    from agentrl.evaluation.questions import INSTRUCTIONS, ChatAgent, RunSettings, answer_questions

    names = (*_SAMPLING, *SETTINGS, "max_turns", "max_calls") if args.tools else _SAMPLING
    async with AsyncExitStack() as stack:
        tools = open_tools(args, stack)
        model = await _model(args, stack)
        settings = RunSettings(
            agent=model.name,
            samples=args.samples,
            concurrency=args.concurrency,
            deadline=args.deadline,
            retry_errors=args.retry_errors,
            described={**model.facts, **{name: getattr(args, name) for name in names}},
        )
        agent = ChatAgent(
            model.chat,
            SamplingParams(**{name: getattr(args, name) for name in _SAMPLING}),
            tools=tools,
            instruction=INSTRUCTIONS[questions.scorer],
            max_turns=args.max_turns,
            max_calls=args.max_calls,
            tags=model.tags,
        )
        stem = f"{model.name}-{questions.label}".replace("/", "-")
        path = Path(args.output) / f"{stem}.jsonl"
        await answer_questions(questions, agent, path, settings, _progress)
    return path


async def _model(args: argparse.Namespace, stack: AsyncExitStack) -> _Model:
    """Open the model of a server or of a directory."""
    from agentrl.errors import ConfigError

    if args.model.startswith(("http://", "https://")):
        from agentrl.engines.openai import OpenAIClient, Server

        if not args.model_name:
            raise ConfigError("A server needs `--model-name`, the name of one of its models.")
        server = Server(url=args.model, model=args.model_name, key_variable=args.key_variable)
        client = await stack.enter_async_context(OpenAIClient(server))
        return _Model(client, args.model_name, (), {})
    if args.model_name:
        raise ConfigError("`--model-name` is for servers; a model directory has no other name.")

    from agentrl.evaluation.checkpoint import locate
    from agentrl.evaluation.questions.engine_chat import fingerprint, open_model

    directory, run_directory = locate(Path(args.model))
    chat = await stack.enter_async_context(open_model(directory))
    name = f"{run_directory.name}/{directory.name}" if run_directory else directory.name
    return _Model(chat, name, chat.tags, {"weights": fingerprint(directory)})


def _progress(prediction: Prediction, done: int, wanted: int) -> None:
    said = prediction.error or prediction.stop
    line = f"{done}/{wanted}  {prediction.id}  {said[:100]}  {prediction.seconds:.0f} s"
    print(line, file=sys.stderr, flush=True)


def _print(report: QuestionReport, form: str) -> int:
    """Print; the exit status is 1 where nothing could be scored."""
    from agentrl.evaluation.questions.report import plain

    print(json.dumps(report.to_json(), indent=1) if form == "json" else plain(report), end="\n")
    return 0 if report.headline.samples else 1
