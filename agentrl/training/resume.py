"""May a run go on from a checkpoint with this configuration?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentrl import envs
from agentrl.assembly import Panels
from agentrl.checkpoint import Checkpoint
from agentrl.config import RunConfig
from agentrl.config.load import to_plain
from agentrl.envs.prompts import prompt_id
from agentrl.errors import ConfigError, DataError

MAY_CHANGE = (
    "run_dir",
    "steps",
    "threads",
    "tensorboard",
    "wandb",
    "model.path",
    "model.device",
    "engine",
    "environment.workers",
    "environment.call_timeout",
    "environment.episodes_per_worker",
    "environment.memory_gib",
    "learner.microbatch_tokens",
    "learner.gradient_checkpointing",
    "learner.max_bad_updates",
    "evaluation",
    "checkpoint",
    "environment.train",
    "environment.heldout",
)
"""Settings (or groups of them) that may differ when a run goes on.

They say where, how fast and how closely watched it runs.  The panels are compared by their hashes;
a checkpoint brings its own model.
"""


SHAPES_THE_RESULT = ("engine.correction",)
"""Exceptions: settings of those groups that say what is learned."""


def check_resumable(checkpoint: Checkpoint, config: RunConfig, panels: Panels) -> None:
    """Check that going on gives what the run was started for.

    Raises:
        ConfigError: a setting that shapes the result has changed, or fewer steps are asked for
            than are done.
        DataError: a panel or the text of the prompt has changed.
    """
    _check_panels(checkpoint, config, panels)
    _check_prompt(checkpoint, config)
    if checkpoint.step > config.steps:
        raise ConfigError(
            f"`steps` is {config.steps}, but the run in {config.run_dir} has done "
            f"{checkpoint.step} steps. Ask for at least as many, or choose another `run_dir`."
        )
    before, now = (dict(_flat(c)) for c in (checkpoint.state["config"], to_plain(config)))
    for name in sorted(before.keys() & now.keys()):
        if before[name] != now[name] and not _may_change(name):
            raise ConfigError(
                f"`{name}` is {now[name]!r}, but the unfinished run in {config.run_dir} was "
                f"started with {before[name]!r}. Go on with that value, or choose another "
                "`run_dir`."
            )


def _check_panels(checkpoint: Checkpoint, config: RunConfig, panels: Panels) -> None:
    stored = checkpoint.state["panel_hashes"]
    for name, value in panels.hashes().items():
        if stored.get(name) != value:
            raise DataError(
                f"The {name} panel has hash {value}, but the run in {config.run_dir} was started "
                f"with {stored.get(name)}. Restore `environment.{name}` (and the environment's "
                "version), or choose another `run_dir`."
            )


def _check_prompt(checkpoint: Checkpoint, config: RunConfig) -> None:
    """Compare versions; another prompt is another setting, which is reported as one."""
    before = checkpoint.state.get("prompt")
    now = prompt_id(envs.env_class(config.environment.id), config.environment.prompt)
    if before is None or before == now or before.partition("@")[0] != now.partition("@")[0]:
        return
    raise DataError(
        f"The prompt is {now}, but the run in {config.run_dir} was started with {before}: its "
        "wording has changed since. Go back to the version of AgentRL (or of the environment) "
        "that wrote it, or choose another `run_dir`."
    )


def _may_change(name: str) -> bool:
    free = any(name == free or name.startswith(free + ".") for free in MAY_CHANGE)
    return free and name not in SHAPES_THE_RESULT


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting with its dotted name; an empty mapping is a value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
