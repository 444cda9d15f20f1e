"""Where a branch begins: what an episode was at the start of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentrl.envs.base import Info, PastStep
from agentrl.rollout.handle import EnvHandle, EnvState
from agentrl.tokens import Conversation
from agentrl.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An episode at the start of one of its turns.

    Attributes:
        node: the last node of the prompt.
        sequences: `Episode.sequences` then.
        conversation: a copy of it.
        observation: what the environment had just said.
        info: of that observation.
        reward: sum of the rewards so far.
        actions: how many actions the environment had got.
        env_seconds: what they had taken.
    """

    node: int
    sequences: tuple[int, ...]
    conversation: Conversation
    observation: str
    info: Info
    reward: float
    actions: int
    env_seconds: float


@dataclass(slots=True)
class Trace:
    """What a running or ended episode leaves for its branches.

    Attributes:
        task: what it plays.
        moments: the start of each turn.
        ends: for each answered turn, its last node.
        past: all that was sent to the environment, each with the observation before it.
        handle: its environment, while it runs.
    """

    task: Task
    moments: list[Moment] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    past: list[PastStep] = field(default_factory=list)
    handle: EnvHandle | None = None

    def state(self, moment: Moment) -> EnvState:
        """Return the environment's state at a moment."""
        return EnvState(
            task=self.task,
            actions=tuple(step.action for step in self.past[: moment.actions]),
            observation=moment.observation,
            seconds=moment.env_seconds,
            source=self.handle,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How an episode begins, unless from the prompt.

    Attributes:
        trace: of the episode it branches from; None for one that begins with given turns.
        turn: first turn that is sampled.
        token: tokens of that turn's answer that are taken over.
        trained: whether the episode is trained on what it takes over from another.
        given: answers that are acted out first; `turn` whole ones and `token` tokens of the next.
    """

    trace: Trace | None = None
    turn: int = 0
    token: int = 0
    trained: bool = True
    given: Sequence[Sequence[int]] = ()
