"""`agentrl analyse RUN --tool NAME`: what a run directory says about the method that trained it."""

from __future__ import annotations

import argparse
from pathlib import Path

_TOOLS = """\
tools:
  entropy-law       fit R = -a exp(H) + b to the start, predict the rest, and the ceiling
  covariance        covariance of log-probs and advantages against the change of entropy
  policy-cliff      how often a small change of the reward changes the best answer
  self-critique     which tasks the model was trained on, from two greedy answers to each
  overoptimisation  reward against distance from the start, and when to stop
examples:
  agentrl analyse runs/quickstart --tool entropy-law
  agentrl analyse runs/quickstart --tool policy-cliff --noise 0.1 --alpha 0.5
  agentrl analyse runs/quickstart --tool self-critique --tasks 64 --baselines
docs/analysis.md says what the columns mean."""

_OPTIONS: dict[str, list[tuple[str, type, str, str]]] = {
    "entropy-law": [
        ("entropy", str, "METRIC", "H, default learner/entropy"),
        ("performance", str, "METRIC", "R, default eval/heldout_success"),
        ("fraction", float, "SHARE", "of the points in the early window, default 0.15"),
    ],
    "covariance": [
        ("top", float, "SHARE", "of the tokens that are called top tokens, default 0.02"),
    ],
    "policy-cliff": [
        ("noise", float, "SIZE", "largest change of a reward, default 0.05"),
        ("draws", int, "N", "noise vectors per group, default 20"),
        ("seed", int, "N", "of the noise, default 0"),
        ("alpha", float, "T", "temperature of the Boltzmann policies, default 0.1"),
        ("tolerance", float, "SIZE", "rewards closer than this are equal, default 1e-9"),
        ("drop", str, "METRIC", "take this episode metric off the reward, in place of noise"),
        ("weight", float, "W", "of the metric in the reward, default 1"),
    ],
    "self-critique": [
        ("tasks", int, "N", "tasks of each panel, default 64; 0 takes all"),
        ("labels", str, "FILE", "JSON object, task id to 1 (trained on) or 0"),
        ("max_tokens", int, "N", "longest answer, default rollout.max_tokens_per_turn"),
        ("baselines", bool, "", "score the detectors it is compared with, too"),
        ("samples", int, "N", "sampled answers for the baseline CDD, default 10"),
    ],
    "overoptimisation": [
        ("proxy", str, "METRIC", "reward that is optimised, default rollout/reward"),
        ("heldout", str, "METRIC", "what matters, default eval/heldout_success"),
        ("kl", str, "METRIC", "divergence, default learner/kl_ref or learner/kl_old/..."),
        ("patience", int, "N", "evaluations the early-stop rule looks at, default 4"),
        ("margin", float, "SIZE", "least fall below the best evaluation, default 0.02"),
    ],
}
"""Options of each tool; what they mean in full is in the tool's `Options`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _TOOLS
    parser.add_argument("folder", nargs="?", metavar="RUN", help="a run directory")
    parser.add_argument("--tool", metavar="NAME", help="what to do; see below")
    parser.add_argument("--out", metavar="DIR", help="for plot and numbers, default RUN/analysis")
    parser.add_argument("--list", action="store_true", help="list the tools")
    for tool, options in _OPTIONS.items():
        group = parser.add_argument_group(f"--tool {tool}")
        for name, kind, metavar, text in options:
            option = f"--{name.replace('_', '-')}"
            if kind is bool:
                group.add_argument(
                    option, action="store_true", default=argparse.SUPPRESS, help=text
                )
                continue
            group.add_argument(
                option, type=kind, metavar=metavar, default=argparse.SUPPRESS, help=text
            )


def run(args: argparse.Namespace) -> int:
    """Run a tool, print its tables, and say where plot and numbers are."""
    from rich.console import Console

    from agentrl import analysis
    from agentrl.analysis.registry import TOOLS
    from agentrl.errors import ConfigError

    console = Console(highlight=False)
    if args.list:
        for name, text in TOOLS.items():
            console.print(f"{name:18}{text}", markup=False, soft_wrap=True)
        return 0
    if args.folder is None or args.tool is None:
        raise ConfigError(
            "Name a run directory and a tool: `agentrl analyse RUN --tool NAME`, where NAME is "
            f"{', '.join(TOOLS)}."
        )
    tool = analysis.tool(args.tool)
    given = [name for options in _OPTIONS.values() for name, *_ in options]
    options = {name: getattr(args, name) for name in given if hasattr(args, name)}
    result = tool(analysis.Run(Path(args.folder)), **options)
    result.show(console)
    paths = result.write(Path(args.out) if args.out else Path(args.folder) / "analysis")
    console.print("\n" + "\n".join(map(str, paths)), markup=False, soft_wrap=True)
    return 0
