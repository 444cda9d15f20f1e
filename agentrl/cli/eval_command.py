"""`agentrl eval WHO`: score a model, or an agent without one, on panels of tasks.

`agentrl eval SET`, a set of questions, is `agentrl.cli.eval_set_command`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrl.evaluation.table import EvaluationTable

_EXAMPLES = """\
examples:
  agentrl eval runs/quickstart
  agentrl eval runs/alfworld --split valid_seen valid_unseen
  agentrl eval expert --env ALFWorld --split valid_unseen --panel task_types=[pick_and_place_simple]
  agentrl eval --rescore evaluations/*.jsonl
  agentrl eval gaia --help                        # sets of questions have options of their own
docs/evaluation.md says what the columns mean."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "who",
        nargs="?",
        metavar="RUN|CHECKPOINT|MODEL|expert|random|first",
        help="a run directory, a checkpoint or any model directory; or an agent without a model",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to change")
    parser.add_argument("--config", help="YAML file; by default the run's own config.yaml")
    parser.add_argument("--env", help="environment, for an agent without a model")
    parser.add_argument("--split", nargs="+", default=["heldout"], help="default: heldout")
    parser.add_argument(
        "--panel", nargs="*", default=[], metavar="key=value", help="options of the panels"
    )
    parser.add_argument("--episodes", type=int, help="episodes per task")
    parser.add_argument(
        "--protocol",
        choices=["exact", "compatible"],
        default="exact",
        help="every task once (default), or a sample at temperature 0.4 as published scripts draw",
    )
    parser.add_argument("--draws", type=int, help="size of that sample (default 128)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of that sample, and of random actions (default 0)"
    )
    parser.add_argument("--workers", type=int, help="environment processes")
    parser.add_argument("--call-timeout", type=float, help="seconds a reset or step may take")
    parser.add_argument(
        "--format",
        choices=["table", "json"],
        help="on standard output; default json for a model, with the table on standard error, and "
        "table otherwise",
    )
    parser.add_argument(
        "--output",
        help="directory for scores and episodes; by default eval/standalone of the run, or "
        "./evaluations",
    )
    parser.add_argument(
        "--rescore", nargs="+", metavar="FILE", help="score stored episodes again and play nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Score, print, and store the result."""
    from agentrl.errors import ConfigError
    from agentrl.evaluation.agents import AGENTS

    _sort_out(args)
    for name in ("episodes", "draws", "workers", "call_timeout"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            option = name.replace("_", "-")
            raise ConfigError(f"`--{option}` is {value}; it must be greater than 0.")
    if args.rescore:
        return _rescore(args)
    if args.who is None:
        raise ConfigError(
            "Say who is to be scored: a run, checkpoint or model directory, or "
            f"{', '.join(AGENTS)}; or `--rescore FILE`."
        )
    return _agent(args) if args.who in AGENTS else _model(args)


def _sort_out(args: argparse.Namespace) -> None:
    """Give back to their places what `--split a b` has taken from behind it."""
    args.overrides += [text for text in args.split if "=" in text]
    args.split = [text for text in args.split if "=" not in text]
    if args.who is None and not args.rescore and len(args.split) > 1:
        args.who = args.split.pop()
    if args.who is not None and "=" in args.who:
        args.overrides.insert(0, args.who)
        args.who = None
    args.split = list(dict.fromkeys(args.split))


def _agent(args: argparse.Namespace) -> int:
    from agentrl import envs
    from agentrl.cli.names import environment_id
    from agentrl.config.load import parse_overrides
    from agentrl.config.panels import build_panel
    from agentrl.errors import ConfigError
    from agentrl.evaluation.agents import agent_of
    from agentrl.evaluation.baseline import BaselineSettings, evaluate_agent
    from agentrl.evaluation.protocol import DRAWS, apply_protocol
    from agentrl.evaluation.transcripts import panel_setting

    if args.env is None:
        raise ConfigError(f"`agentrl eval {args.who}` needs `--env`, for example `--env ALFWorld`.")
    if args.overrides or args.config:
        raise ConfigError(
            f"`agentrl eval {args.who}` has no configuration; give options of the panel after "
            "`--panel`."
        )
    env_id = environment_id(args.env)
    env_class = envs.env_class(env_id)
    options = parse_overrides(args.panel)
    panels = []
    for split in args.split:
        whole = build_panel(env_class, split, options, "--panel")
        if not whole:
            raise ConfigError(f"`--panel` gives an empty panel of split {split!r}.")
        draws = args.draws or DRAWS
        panels.append((split, apply_protocol(whole, args.protocol, draws=draws, seed=args.seed)))
    settings = BaselineSettings(
        episodes_per_task=args.episodes or 1,
        seed=args.seed,
        labels=(("protocol", args.protocol), *panel_setting(options).items()),
        **{name: value for name in ("workers", "call_timeout") if (value := getattr(args, name))},
    )
    output = Path(args.output or "evaluations")
    agent = agent_of(args.who)
    table = evaluate_agent(env_id, env_class, panels, agent, settings, output)
    _store(table, output, args)
    return _print(table, table.to_json(), args.format or "table")


def _model(args: argparse.Namespace) -> int:
    from agentrl.config import load_config
    from agentrl.config.load import parse_overrides
    from agentrl.errors import ConfigError
    from agentrl.evaluation.checkpoint import ModelEvaluation, evaluate_model, locate
    from agentrl.evaluation.protocol import DRAWS

    model, run_dir = locate(Path(args.who))
    config_path, output = args.config, args.output
    if run_dir is not None:
        config_path = config_path or run_dir / "config.yaml"
        output = output or run_dir / "eval" / "standalone"
    if config_path is None:
        raise ConfigError(
            f"{str(model)!r} is no checkpoint of a run, so its environment is not known; name a "
            "configuration with `--config`."
        )
    if args.env is not None:
        raise ConfigError("`--env` is for agents without a model; a model's configuration has it.")
    config = load_config(config_path, [*_settings(args), *args.overrides])
    evaluation = ModelEvaluation(
        splits=args.split,
        panel=parse_overrides(args.panel),
        protocol=args.protocol,
        draws=args.draws or DRAWS,
        seed=args.seed,
    )
    folder = Path(output or "evaluations")
    scores, table = evaluate_model(config, model, evaluation, folder)
    _store(table, folder, args)
    data = scores[0].to_json() if len(scores) == 1 else table.to_json()
    return _print(table, data, args.format or "json")


def _settings(args: argparse.Namespace) -> list[str]:
    """Return what the options mean as settings; `key=value` given by the user comes after."""
    from agentrl.evaluation.protocol import TEMPERATURE

    settings = []
    if args.protocol == "compatible":
        settings.append(f"evaluation.temperature={TEMPERATURE}")
    for name, setting in (
        ("episodes", "evaluation.episodes_per_task"),
        ("workers", "environment.workers"),
        ("call_timeout", "environment.call_timeout"),
    ):
        if getattr(args, name) is not None:
            settings.append(f"{setting}={getattr(args, name)}")
    return settings


def _rescore(args: argparse.Namespace) -> int:
    from agentrl.evaluation.transcripts import assemble, read_evaluation

    table = assemble([read_evaluation(Path(name)) for name in args.rescore])
    return _print(table, table.to_json(), args.format or "table")


def _store(table: EvaluationTable, output: Path, args: argparse.Namespace) -> None:
    """Write the table as JSON and Markdown beside the episodes."""
    from agentrl.evaluation.report import markdown

    environment = table.environment.rpartition(":")[2].rpartition("/")[2]
    middle = f"-{environment}" if args.env else ""
    stem = f"{table.agent}{middle}-{'+'.join(args.split)}-table"
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{stem}.json").write_text(json.dumps(table.to_json(), indent=1) + "\n")
    (output / f"{stem}.md").write_text(markdown(table))


def _print(table: EvaluationTable, data: dict[str, Any], form: str) -> int:
    """Print; the exit status is 1 where no episode could be scored."""
    from rich.console import Console

    from agentrl.evaluation.report import show

    show(table, Console(stderr=form == "json"))
    if form == "json":
        print(json.dumps(data, indent=1))
    if any(row.episodes for row in table.rows):
        return 0
    print("agentrl: no episode could be scored; all of them failed.", file=sys.stderr)
    return 1
