"""GiGPO with a row per environment step, EPO's released regulariser and AEPO's loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.anchors import anchor_groups, clusters
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.estimate import estimate_advantages
from agentrl.algorithms.invalid_actions import PENALTIES
from agentrl.algorithms.step_advantages import GroupInGroup
from agentrl.algorithms.steps import discounted_returns, steps
from tests.golden.case import Adapter, Case, Result


def renumbered(labels: Sequence[object]) -> Tensor:
    """Return labels as numbers in the order of their first appearance."""
    order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([order[label] for label in labels])


def _turns(episodes_B: Tensor) -> Tensor:
    """Number the rows of each episode in their order."""
    before = torch.ones(len(episodes_B), len(episodes_B)).tril(-1).bool()
    return ((episodes_B[:, None] == episodes_B) & before).sum(-1)


def step_rows(case: Case, similarity: float | None = None) -> Batch:
    """A row of one token per environment step; similar anchors are joined in the order of rows."""
    groups = case.ids("index") if "index" in case.inputs else None
    episodes = case.ids("traj_index" if "traj_index" in case.inputs else "index")
    if groups is None:
        groups = torch.zeros_like(episodes)
    texts = case.inputs.get("anchor_obs", [""] * len(groups))
    texts = [text if isinstance(text, str) else json.dumps(text, sort_keys=True) for text in texts]
    anchors = renumbered(texts)
    if similarity is not None:
        for group in groups.unique():
            own = (groups == group).nonzero().flatten()
            found = clusters([texts[row] for row in own.tolist()], similarity)
            anchors[own] = torch.tensor(found)
    zeros = torch.zeros(len(groups), dtype=torch.float64)
    return Batch(
        mask_BT=torch.ones(len(groups), 1, dtype=torch.float64),
        groups_B=groups,
        episodes_B=renumbered(list(zip(groups.tolist(), episodes.tolist(), strict=True))),
        returns_B=zeros,
        turns_BT=_turns(episodes).unsqueeze(-1),
        rewards_BT=zeros.unsqueeze(-1),
        anchors_BT=anchors.unsqueeze(-1),
    )


def step_returns(case: Case) -> Result:
    """Discounted returns of the steps of each trajectory."""
    batch = step_rows(case)
    batch = replace(batch, rewards_BT=case.tensor("rewards").unsqueeze(-1))
    index = steps(batch)
    found_S = discounted_returns(batch, index, float(case.config.get("gamma", 1.0)))
    return Result({"step_returns": index.spread(found_S)[:, 0]})


def step_groups(case: Case) -> Result:
    """Anchor groups, exact and by similarity."""
    outputs = {}
    threshold = float(case.config.get("similarity_thresh", 0.95))
    for name, similarity in (("groups_exact", None), ("groups_similarity", threshold)):
        batch = step_rows(case, similarity)
        index = steps(batch)
        found_S = anchor_groups(batch, index, "anchor", threshold)
        outputs[name] = renumbered(index.spread(found_S)[:, 0].tolist())
    return Result(outputs)


def gigpo(case: Case) -> Result:
    """The advantage; scores and step returns are inputs, so they enter as penalties and rewards.

    With gamma 0 and a bare return of 0, a penalty of -s and a reward of R give the score s and the
    step return R.
    """
    config = case.config
    similar = config.get("enable_similarity", False)
    batch = step_rows(case, float(config.get("similarity_thresh", 0.95)) if similar else None)
    score_B = case.tensor("token_level_rewards").sum(-1)
    bare_B = torch.zeros_like(score_B).index_add(0, batch.episodes_B, score_B)[batch.episodes_B]
    batch = replace(
        batch, returns_B=bare_B, rewards_BT=case.tensor("step_rewards").unsqueeze(-1)
    ).with_notes(**{PENALTIES: -score_B.unsqueeze(-1)})
    advantage = GroupInGroup(
        gamma=0.0,
        step_weight=float(config.get("step_advantage_w", 1.0)),
        mode=config.get("mode", "mean_norm"),
        samples="steps" if config.get("compute_mean_std_cross_steps", True) else "episodes",
        epsilon=float(config.get("epsilon", 1e-6)),
    )
    found = estimate_advantages(Algorithm(name="golden", advantage=advantage), batch).advantages
    advantages = found * case.tensor("response_mask")
    return Result({"advantages": advantages, "returns": advantages})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("gigpo", "step_discounted_returns"): step_returns,
    ("gigpo", "build_step_group"): step_groups,
    ("gigpo", "outcome_advantage"): gigpo,
}
