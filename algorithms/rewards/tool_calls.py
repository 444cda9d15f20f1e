"""SPEAR's intrinsic reward for using tools, which fades out over the run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import episode_index
from agentrl.algorithms.steps import steps
from agentrl.algorithms.timeline import at_last_token, token_rewards

SCHEDULES = ("none", "constant", "cosine")
FORMS = ("agent", "maths", "maths-once")
TOOL_CALLS = "tool_calls"
"""Component of an episode: its assistant messages with a tool call."""

BONUSES = "bonuses_BT"
"""Note with what was added to the rewards [B, T] and is not the environment's."""


def intrinsic_weight(step: int, schedule: str, steps: int) -> float:
    """Return mu: 0 (`none`), 1 (`constant`), or (cos(pi step / steps) + 1) / 2, 0 after `steps`.

    Source: TencentYoutuResearch/SPEAR:verl-agent/agent_system/reward_manager/episode.py.
    """
    if schedule != "cosine":
        return float(schedule == "constant")
    return (math.cos(math.pi * step / steps) + 1) / 2 if step <= steps else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallReward:
    """Reward shaping: R + mu t with t = min(cap, per_call n), n the tool calls of the episode.

    `agent` counts the episode's turns as tool calls, whatever they did.  `maths` counts its
    messages with a tool call (component `tool_calls`; without it there are none).  `maths-once`
    is the released variant for Qwen3: an episode whose return is above 0 gets mu for any number
    of calls, the others mu t.

    The bonus lies on the episode's last token, and in the note `BONUSES`: methods that credit
    single steps leave it out of step returns, as the released code does.

    Source: SPEAR, eq. 6; TencentYoutuResearch/SPEAR:verl-agent/agent_system/reward_manager/
    episode.py (agent), verl/recipe/spear/reward.py (maths).  There is no format reward in the
    released code, nor here.

    Attributes:
        schedule: of mu over updates: `none`, `constant` or `cosine`.
        steps: S, updates after which the cosine is 0.
        form: see above.
        per_call: reward of one call.
        cap: most reward of an episode.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    schedule: str = "cosine"
    steps: int = 200
    form: str = "agent"
    per_call: float = 0.1
    cap: float = 1.0

    def __post_init__(self) -> None:
        one_of("toolcall_schedule", self.schedule, SCHEDULES)
        one_of("toolcall_form", self.form, FORMS)
        in_range("toolcall_steps", self.steps, 1)
        in_range("toolcall_per_call", self.per_call, 0)
        in_range("toolcall_cap", self.cap, 0)

    def bonus(self, calls_B: Tensor, outcomes_B: Tensor, step: int) -> Tensor:
        """Return mu t [B] for episodes with so many calls and such a return before shaping."""
        share_B = (self.per_call * calls_B).clamp(max=self.cap)
        if self.form == "maths-once":
            once_B = (calls_B > 0).to(share_B.dtype)
            share_B = torch.where(outcomes_B > 0, once_B, share_B)
        return intrinsic_weight(step, self.schedule, self.steps) * share_B

    def __call__(self, batch: Batch) -> Batch:
        """Add the bonus to the return and to the last token's reward."""
        calls_B = self._calls(batch).to(batch.returns_B.dtype)
        outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
        bonus_B = self.bonus(calls_B, outcomes_B, batch.step)
        paid_BT = at_last_token(batch, bonus_B)
        rewards_BT = token_rewards(batch) + paid_BT
        shaped = replace(batch, returns_B=batch.returns_B + bonus_B, rewards_BT=rewards_BT)
        return shaped.with_notes(**{BONUSES: paid_BT})

    def _calls(self, batch: Batch) -> Tensor:
        if self.form != "agent":
            return batch.components.get(TOOL_CALLS, torch.zeros_like(batch.returns_B))
        index_B, episodes = episode_index(batch)
        return torch.bincount(steps(batch).episode_S, minlength=episodes)[index_B]
