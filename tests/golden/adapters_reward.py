"""Self-labelled rewards, and advantages scaled by semantic or token entropy."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.rewards.answers import AnswerClusters
from agentrl.algorithms.rewards.clusters import Clusters
from agentrl.algorithms.rewards.self_reward import ClusterFrequency, MajorityLabel
from agentrl.algorithms.strategies.arpo_reward import boxed
from agentrl.algorithms.transforms.semantic import (
    EntropyReshaping,
    SemanticEntropyScale,
    likelihood_entropy,
)
from tests.golden.case import Adapter, Case, Result


def one_group(count: int, answers: Sequence[str] = (), returns: Tensor | None = None) -> Batch:
    """Build a group of one-token episodes with these final answers."""
    texts = tuple(dict.fromkeys(answers))
    numbers = [texts.index(answer) for answer in answers] or [-1] * count
    return Batch(
        mask_BT=torch.ones(count, 1, dtype=torch.float64),
        groups_B=torch.zeros(count, dtype=torch.long),
        episodes_B=torch.arange(count),
        returns_B=torch.zeros(count, dtype=torch.float64) if returns is None else returns,
        turns_BT=torch.zeros(count, 1, dtype=torch.long),
        answers_B=torch.tensor(numbers),
        texts=texts,
    )


def _rounded_down(found: Clusters) -> bool:
    """Return whether the released sum of the entropy of different answers rounds below ln n.

    It does for some n, such as 3, 6 and 7; the group then gets 1/n each instead of 0 each.
    """
    count = len(found.cluster_B)
    share = torch.full((count,), 1 / count, dtype=torch.float64).numpy()
    return bool(-(share * torch.from_numpy(share).log().numpy()).sum() < math.log(count))


def _trl(answers: Sequence[str]) -> tuple[Clusters, Tensor]:
    """Return clusters and rewards of the authors' first code."""
    clusters = AnswerClusters(answers="final", empty="together")
    batch = one_group(len(answers), answers)
    found = clusters(batch)
    scattered = not bool(found.repeated_B.any()) and _rounded_down(found)
    slot = ClusterFrequency(clusters=clusters, pay_empty=False, pay_scattered=scattered)
    return found, slot(batch).returns_B


def cluster_reward_trl(case: Case) -> Result:
    """EMPO's first code on extracted answers."""
    found, rewards = _trl(case.inputs["answers"])
    shares = dict(zip(found.cluster_B.tolist(), found.share_B.tolist(), strict=True))
    return Result(
        {
            "semantic_ids": found.cluster_B,
            "cluster_prob": [shares[number] for number in sorted(shares)],
            "entropy": found.entropy()[0],
            "reward": rewards,
        }
    )


def _extracted(text: str) -> str:
    """Return the answer that the released code's parser finds in a completion, for usual forms.

    It reads boxes, or else a formula after the word answer, and tidies the LaTeX; neighbouring
    boxes are one answer.  Answers are then compared as texts.
    """
    last = boxed(text)
    if last is None:
        found = re.search(r"answer[^$]*\$([^$]+)\$", text)
        last = found.group(1) if found else ""
    else:
        before = text[: text.rfind(r"\boxed{")]
        first, between = boxed(before), before.rpartition("}")[2]
        if first is not None and len(between) < NEAR and "." not in between:
            return f"{_extracted(before)},{_tidy(last)}"
    return _tidy(last)


NEAR = 30
"""Characters between boxes that are one answer; where exactly they part is not reproduced."""


def _tidy(latex: str) -> str:
    """Return LaTeX without the marks that do not change what is meant."""
    latex = re.sub(r"\\[dt]frac", r"\\frac", latex)
    latex = re.sub(r"\\left|\\right|\\!|\\?\$", "", latex)
    latex = re.sub(r"(?<=\d)\s*\\(?:text|mathrm)\{[^}]*\}", "", latex)
    return re.sub(r"\\(?:text|mathrm|boxed)\{([^}]*)\}", r"\1", latex).strip()


def math_reward(case: Case) -> Result:
    """The same on completions."""
    completions: list[str] = case.inputs["completions"]
    size = int(case.config.get("num_generations", len(completions)))
    groups = [completions[at : at + size] for at in range(0, len(completions), size)]
    found = [_trl([_extracted(text) for text in group])[1] for group in groups]
    return Result({"reward": torch.cat(found)})


def metrics_verl(case: Case) -> Result:
    """EMPO's later code; what it rewards with ground truth is there for comparison only."""
    answers, truth = case.inputs["answers"], case.inputs["ground_truth"]
    kind, batch = case.config["reward_type"], one_group(len(answers), answers)
    found = AnswerClusters(answers="final")(batch)
    right = torch.tensor([float(answer == truth) for answer in answers], dtype=torch.float64)
    best = int(found.share_B.argmax())
    rule = "voting" if kind == "voting" else "frequency"
    made_up = ClusterFrequency(clusters=AnswerClusters(answers="final"), rule=rule)
    rewards = {
        "gt": right,
        "best": right * (right[best] < 1),
        "format": (~found.empty_B).double(),
    }.get(kind)
    rewards = made_up(batch).returns_B if rewards is None else rewards
    metrics = {
        "label_accuracy": right[best],
        "reward_accuracy": (rewards == right).double().mean(),
        "majority_ratio": found.share_B[best],
        "train_accuracy": right.mean(),
        "train_reward": rewards.mean(),
        f"pass@{len(answers)}": right.max(),
        "extracted_answers": answers,
        "estimated_label": answers[best],
    }
    drawn = kind == "random"
    if drawn:
        metrics = {name: metrics[name] for name in ("label_accuracy", "majority_ratio")}
    not_ours = {"reward": "drawn at random"} if drawn else {}
    return Result({"reward": rewards, "metrics": metrics}, not_ours=not_ours)


EMPTY = "(empty)"
"""Stands for an empty answer in a vote."""


def majority_reward(case: Case) -> Result:
    """TTRL's vote and its measures against the truth.

    The released code drops what it could not extract before it votes; here nothing is extracted, so
    an empty text is an answer as any other.
    """
    answers, truth = case.inputs["answers"], case.inputs["ground_truth"]
    answers = [answer or EMPTY for answer in answers]
    batch, clusters = one_group(len(answers), answers), AnswerClusters(answers="final")
    rewards = MajorityLabel(clusters=clusters, train=None)(batch).returns_B
    winner = answers[int(rewards.argmax())] if rewards.any() else ""
    right = torch.tensor([float(answer == truth) for answer in answers], dtype=torch.float64)
    metrics = {
        "label_accuracy": float(winner == truth),
        "reward_accuracy": (rewards == right).double().mean(),
        "majority_ratio": rewards.mean(),
        "ground_truth_ratio": right.mean(),
        "majority_voting_reward": rewards.mean(),
        f"pass@{len(answers)}": right.max(),
    }
    label = "" if winner == EMPTY else winner
    return Result({"label": label, "reward": rewards, "metrics": metrics})


def advantage_reshaping(case: Case) -> Result:
    """ETTRL's two reshapings."""
    rewards, entropies = case.tensor("rewards"), case.tensor("response_entropy")
    batch = one_group(len(rewards), returns=rewards)
    batch = batch.with_stats({Stat.OLD_ENTROPY: entropies.unsqueeze(-1)})
    base = GroupRelative(
        epsilon=float(case.config.get("eps", 1e-6)),
        population=case.config.get("std_ddof", 0) == 0,
    )(batch)
    clip = EntropyReshaping(kind="clip", beta=float(case.config.get("beta_clip", 2.0)))
    res = EntropyReshaping()
    return Result(
        {
            "grpo": base.advantages[:, 0],
            "Y": res.factor(base),
            "adv_res": res(base).advantages[:, 0],
            "adv_clip": clip(base).advantages[:, 0],
        }
    )


def scale_advantage(case: Case) -> Result:
    """SEED-GRPO's scales."""
    rewards, scores = case.tensor("rewards"), case.tensor("seq_logprob")
    answers = [str(number) for number in case.inputs["cluster"]]
    batch = GroupRelative(scale="none")(one_group(len(rewards), answers, rewards))
    found, scaled = AnswerClusters(answers="final")(batch), {}
    for form, name in (("linear", "linear"), ("exp", "exponential"), ("reciprocal", "reciprocal")):
        slot = SemanticEntropyScale(form=form, alpha=float(case.config["alpha"]))
        scaled[f"scaled_{name}"] = slot(batch).advantages[:, 0]
    outputs: dict[str, Any] = {
        "SE_monte_carlo_likelihood": likelihood_entropy(found, scores)[0],
        "SE_frequency": found.entropy()[0],
        "advantage": batch.advantages[:, 0],
    }
    return Result(outputs | scaled)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("empo", "cluster_reward_trl"): cluster_reward_trl,
    ("empo", "math_reward_e2e"): math_reward,
    ("empo", "metrics_verl"): metrics_verl,
    ("ttrl", "majority_reward"): majority_reward,
    ("ettrl", "advantage_reshaping"): advantage_reshaping,
    ("seed_grpo", "scale_advantage"): scale_advantage,
}
