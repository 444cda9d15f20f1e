"""The tools of `agentrl analyse` by name."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.analysis.result import Analysis
from agentrl.analysis.source import Run
from agentrl.errors import ConfigError, unknown_name

TOOLS: Mapping[str, str] = {
    "entropy-law": "fit R = -a exp(H) + b to the start, predict the rest, and the ceiling",
    "covariance": "covariance of log-probs and advantages against the change of entropy",
    "policy-cliff": "how often a small change of the reward changes the best answer",
    "self-critique": "which tasks the model was trained on, from two greedy answers to each",
    "overoptimisation": "reward against distance from the start, and when to stop",
}
"""What each tool does; the name with `_` for `-` is its module in `agentrl.analysis.tools`."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that can be run.

    Attributes:
        name: its name.
        options: dataclass of its options, with defaults.
        module: holds `analyse`.
    """

    name: str
    options: type
    module: Any

    def __call__(self, run: Run, **options: object) -> Analysis:
        """Analyse a run.

        Raises:
            ConfigError: the tool has no such option, or a value is out of range.
        """
        known = [field.name for field in dataclasses.fields(self.options)]
        for name in options:
            if name not in known:
                accepted = ", ".join(f"--{option.replace('_', '-')}" for option in known)
                raise ConfigError(
                    f"`--{name.replace('_', '-')}` is no option of `--tool {self.name}`, which "
                    f"takes {accepted}."
                )
        result: Analysis = self.module.analyse(run, self.options(**options))
        return result


def names() -> list[str]:
    """Return the names of all tools."""
    return list(TOOLS)


def tool(name: str) -> Tool:
    """Return a tool.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in TOOLS:
        raise unknown_name("tool", name, TOOLS, "`agentrl analyse --list` lists them.")
    module = importlib.import_module(f"agentrl.analysis.tools.{name.replace('-', '_')}")
    return Tool(name, module.Options, module)
