"""The environment under test, and how thoroughly it is tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from agentrl.envs import registry
from agentrl.envs.base import TextEnv
from agentrl.envs.conformance.results import NotApplicable, Violation
from agentrl.envs.worker import describe
from agentrl.errors import AgentRLError
from agentrl.types import Task, TaskPanel


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is tried, and what is allowed.

    Attributes:
        call_seconds: a call to the environment may take this long.
        import_seconds: CPU time that importing the environment's module may take.
        tasks: tasks that are played.
        sequences: random action sequences that are compared.
        steps: actions of each sequence.
        end_steps: actions after which an episode that has not ended is left.
        forks: forks that are compared with fresh runs.
        fuzz_actions: odd actions that are sent.
        memory_episodes: episodes over which memory must not grow.
        memory_mib: growth that is allowed over them, in MiB.
    """

    call_seconds: float = 30.0
    import_seconds: float = 1.5
    tasks: int = 2
    sequences: int = 3
    steps: int = 10
    end_steps: int = 100
    forks: int = 5
    fuzz_actions: int = 200
    memory_episodes: int = 30
    memory_mib: float = 10.0


QUICK = Limits()
"""Seconds for an environment with fast steps."""

FULL = Limits(
    tasks=5,
    sequences=10,
    steps=25,
    end_steps=500,
    forks=100,
    fuzz_actions=10_000,
    memory_episodes=500,
)
"""As thorough as every environment of AgentRL is tested."""


@dataclass
class Subject:
    """An environment under test.

    Attributes:
        env_id: registered id, or `module:namespace/Name-vN`.
        panel_options: given to the environment's `panel`.
        split: whose tasks are played.
        limits: how much is tried.
        notify: told what is being done, before every call to the environment.
    """

    env_id: str
    panel_options: Mapping[str, Any] = field(default_factory=dict)
    split: str = "train"
    limits: Limits = QUICK
    notify: Callable[[str], None] = lambda doing: None

    @cached_property
    def env_class(self) -> type[TextEnv]:
        """The environment's class."""
        advice = "see that the id is registered, and that its module and class can be imported"
        self.notify(f"the import of {self.env_id!r}")
        try:
            return registry.env_class(self.env_id)
        except AgentRLError as error:
            raise Violation(str(error), advice) from error

    def panel(self, split: str) -> TaskPanel:
        """Return the panel of a split."""
        call = f"`panel({split!r}, **{dict(self.panel_options)!r})`"
        advice = "`panel(split, **options)` returns a TaskPanel for `train` and for `heldout`"
        with self.calling(call, advice):
            panel = self.env_class.panel(split, **self.panel_options)
        if not isinstance(panel, TaskPanel):
            raise Violation(
                f"{call} returned {type(panel).__name__}; a TaskPanel is expected.",
                'return `TaskPanel.of("name", tasks)`',
            )
        if not len(panel):
            raise Violation(f"{call} has no tasks.", "return at least one task")
        return panel

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks that are played, evenly spread over the panel, ready to be played."""
        panel = self.panel(self.split)
        count = min(self.limits.tasks, len(panel))
        chosen = TaskPanel.of(panel.name, (panel[i * len(panel) // count] for i in range(count)))
        prepare = getattr(self.env_class, "prepare", None)
        if prepare is not None:
            with self.calling("`prepare(panel)`", "make whatever the tasks of a panel need"):
                prepare(chosen)
        return list(chosen)

    @contextmanager
    def calling(self, call: str, advice: str) -> Iterator[None]:
        """Announce code of the environment, and turn what it raises into a `Violation`."""
        self.notify(call)
        try:
            yield
        except (Violation, NotApplicable, KeyboardInterrupt):
            raise
        except AgentRLError as error:
            raise Violation(f"{call}: {error}", advice) from error
        except BaseException as error:  # SystemExit and the like come from the environment, too
            raise Violation(f"{call} raised {describe(error)}", advice) from error

    def to_json(self) -> dict[str, Any]:
        """Return the subject as a JSON object, for another process."""
        return {
            "env_id": self.env_id,
            "panel_options": dict(self.panel_options),
            "split": self.split,
            "limits": asdict(self.limits),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], notify: Callable[[str], None]) -> Subject:
        """Rebuild a subject written by `to_json`."""
        return cls(**{**data, "limits": Limits(**data["limits"])}, notify=notify)
