"""The contract between a text environment and the rest of AgentRL.

An environment is an ordinary `gymnasium.Env` whose observations and actions are strings.  To be
trained it also names, on its class:

* `prompt`: how a task and an observation are shown to the model and how an action is read from the
  model's text (`Prompt`);
* `panel(split, **options)`: its task panels;
* optionally `prompts`: other ways of showing it, by name;
* optionally `preload`: modules worth importing once, before worker processes are forked;
* optionally `placement`: what a worker process costs, and `warm`: what to start in it beforehand.

Environments live in worker processes; the class attributes are read in the main process, so the
module that defines an environment must import quickly and must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import gymnasium

from agentrl.errors import ConfigError
from agentrl.types import Shown, TaskPanel

Info = dict[str, Any]
"""The `info` of reset and step; keys in `INFO_KEYS`, JSON values only."""

INFO_KEYS: Mapping[str, str] = {
    "task": "goal sentence(s)",
    "admissible_actions": "sorted list of accepted actions without duplicates, or None",
    "won": "True once the task is solved",
    "score": "task score in [0, 1]",
    "raw_score": "the environment's own score",
    "action_valid": "True if the environment accepted the last action (True after reset)",
    "step": "agent steps since reset",
    "task_id": "id of the task",
    "split": "split of the task",
    "task_type": "label for per-type metrics",
    "anchor": "state text that identifies equal states (used by GiGPO)",
    "final_answer": "the answer the agent gave, or None",
}


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """What was read from the model's text.

    Attributes:
        action: what is sent to the environment.  None sends nothing: the environment takes no
            step, and the model is shown the same observation again with `reason` above it.
        valid: False where the text did not have the asked-for form.
        reason: why it is not valid; empty otherwise.
    """

    action: str | None
    valid: bool = True
    reason: str = ""


class Prompt(Protocol):
    """How an environment talks to a model."""

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Texts that end a model turn, besides the tokenizer's end-of-turn token."""

    def system(self, info: Info) -> str | None:
        """Return the system message for the task described by the reset's `info`, if any."""

    def observe(self, observation: str, info: Info) -> Shown:
        """Return what shows an observation: as a rule, the text of a user message.

        A prompt may also return messages (`tool` messages, whose schemas its attribute `tools`
        then holds for the chat template), or `Continued` text inside the model's own turn.
        """

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read an action from the model's text; `info` belongs to the observation answered."""


@dataclass(frozen=True, slots=True)
class PastStep:
    """One earlier step of an episode, as a `StepPrompt` shows it.

    Attributes:
        observation: what the environment had said.
        action: what was then sent to it.
    """

    observation: str
    action: str


class StepPrompt(Prompt, Protocol):
    """A prompt that writes one message per turn, with as much history as it wants.

    Each turn is then a sequence of its own: the system text, if any, and this message.
    """

    def message(self, observation: str, info: Info, past: Sequence[PastStep]) -> str:
        """Return the whole user message; `past` holds all earlier steps, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a worker process of an environment costs, for the pool that places it.

    Attributes:
        memory_mib: memory of its own while an episode runs, child processes included, in MiB.
        start_seconds: what the first episode of a process costs on top of a later one, in seconds.
        call_timeout: seconds one reset or step may take on a busy machine, unless
            `environment.call_timeout` says otherwise; None takes the pool's usual time.
        episodes_per_worker: a process is replaced after this many episodes; None leaves it to
            `environment.episodes_per_worker`.
        warm_spares: processes to keep started and warmed up beyond those in use.
        fork_process: True if a process may be forked while an episode runs: it then has no threads,
            no child processes and no files whose position matters.  A running environment is copied
            to another process by that, or by repeating its actions, as is measured faster.
    """

    memory_mib: int = 32
    start_seconds: float = 0.0
    call_timeout: float | None = None
    episodes_per_worker: int | None = None
    warm_spares: int = 0
    fork_process: bool = False


class TextSpace(gymnasium.Space[str]):
    """All strings (`gymnasium.spaces.Text` refuses characters outside a fixed set)."""

    def __init__(self) -> None:
        super().__init__(shape=None, dtype=None)

    def contains(self, x: Any) -> bool:
        """Return True for any string."""
        return isinstance(x, str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Return a short printable string."""
        letters = [chr(int(c)) for c in self.np_random.integers(97, 123, size=8)]
        return "".join(letters)


class TextEnv(gymnasium.Env[str, str]):
    """Base class of AgentRL's environments; optional for others (only the names matter).

    Subclasses set `prompt` and implement `panel`, `reset` and `step`.
    """

    prompt: ClassVar[Prompt]
    prompts: ClassVar[Mapping[str, Prompt]] = {}
    preload: ClassVar[tuple[str, ...]] = ()
    placement: ClassVar[Placement] = Placement()
    observation_space: gymnasium.Space[str] = TextSpace()
    action_space: gymnasium.Space[str] = TextSpace()

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return the task panel of a split.

        Args:
            split: one of the environment's splits, for example `train` or `heldout`.
            options: the environment's own panel settings, for example how many tasks.
        """
        raise ConfigError(f"{cls.__name__} has no task panels; define `panel`.")

    @classmethod
    def prepare(cls, panel: TaskPanel) -> None:
        """Make what the tasks of a panel need before they are played; by default nothing."""

    @classmethod
    def warm(cls) -> None:
        """Start what episodes need in this worker process, such as a server; by default nothing."""

    def fork(self) -> TextEnv:
        """Return an independent environment in the same state (optional capability)."""
        raise ConfigError(f"{type(self).__name__} cannot be forked; it does not define `fork`.")

    @classmethod
    def can_fork(cls) -> bool:
        """Return True if `fork` is available."""
        return cls.fork is not TextEnv.fork


def episode_metrics(info: Info) -> dict[str, float]:
    """Return the metrics of an episode from its last `info`: `success`, `score`, and its own.

    An environment's own are the numbers in `info["metrics"]`; a `/` in their names groups them.
    """
    return {
        **{name: float(value) for name, value in info.get("metrics", {}).items()},
        "success": float(bool(info.get("won", False))),
        "score": float(info.get("score", 0.0)),
    }
