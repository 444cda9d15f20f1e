"""ARES: window entropy, the score of high-entropy words, and the KL coefficient by difficulty."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.regularisers.bucket_kl import Beta, BucketBetas, BucketState
from agentrl.algorithms.rewards.entropy_score import BUCKETS, ScoreShape, Triple
from agentrl.algorithms.rewards.window_entropy import (
    WindowEntropy,
    candidate_entropy,
    released_percentile,
)
from agentrl.algorithms.strategies.branching_rules import top_entropy
from tests.golden.case import Adapter, Case, Result

Candidates = list[dict[str, float]]


def _batch(samples: Sequence[Candidates], vocabulary: Sequence[str]) -> Batch:
    """Build one turn per response; the released code looks at the likeliest token."""
    count, width = len(samples), max(len(sample) for sample in samples)
    mask, entropy = torch.zeros(2, count, width, dtype=torch.float64)
    ids = torch.zeros(count, width, dtype=torch.long)
    for row, sample in enumerate(samples):
        for at, token in enumerate(sample):
            mask[row, at] = 1
            entropy[row, at] = candidate_entropy(list(token.values()))
            ids[row, at] = int(max(token, key=lambda name: token[name]))
    rows = torch.arange(count)
    batch = Batch(
        mask_BT=mask,
        groups_B=rows,
        episodes_B=rows,
        returns_B=torch.zeros(count),
        turns_BT=torch.zeros_like(ids),
        ids_BT=ids,
        token_text=lambda token: vocabulary[token],
    )
    return batch.with_stats({Stat.OLD_ENTROPY: entropy})


def window_entropy(case: Case) -> Result:
    """Counts, costs and thresholds of responses."""
    samples: list[Candidates] = case.inputs["top_logprobs"]
    words = tuple(case.inputs["trigger_set"])
    windows = WindowEntropy(window=int(case.config["window_size"]), words=words)
    batch = _batch(samples, case.inputs["vocab"])
    threshold = float(case.config["threshold"])
    means_BT, spoken_BT = windows.means(batch), windows.spoken(batch)
    above_BT = torch.where(spoken_BT & ~means_BT.isnan(), means_BT - threshold, 0.0)
    entropy_BT, mask_BT = batch.stat(Stat.OLD_ENTROPY), batch.mask_BT
    plain = [[top_entropy(list(token.values())) for token in sample] for sample in samples]
    percentile = float(case.config["percentile"])
    return Result(
        {
            "mean_entropy_tail_corrected": entropy_BT.sum(-1) / mask_BT.sum(-1).clamp(min=1),
            "hwe_count": windows.counts(batch, threshold),
            "low_count": (above_BT < 0).sum(-1),
            "soft_cost": above_BT.clamp(min=0).sum(-1),
            "threshold_percentile": [
                released_percentile(values, windows.window, percentile) for values in plain
            ],
        }
    )


def _by_bucket(values: dict[str, float] | None, usual: Triple) -> Triple:
    easy, medium, hard = (float(values[name]) for name in BUCKETS) if values else usual
    return easy, medium, hard


def entropy_reward(case: Case) -> Result:
    """The score of one episode after the other."""
    usual, config = ScoreShape(), case.config
    shape = ScoreShape(
        margin=_by_bucket(config.get("margin_frac"), usual.margin),
        kappa=_by_bucket(config.get("kappa"), usual.kappa),
        temperature=_by_bucket(config.get("temp"), usual.temperature),
        cap=_by_bucket(config.get("cap_scale"), usual.cap),
    )

    def column(name: str) -> Tensor:
        return torch.tensor([row[name] for row in case.inputs["rows"]], dtype=torch.float64)

    accuracy = column("accuracy")
    score = shape(
        column("high_entropy_token_num"),
        column("target_high_entropy_token_num"),
        column("alpha_entropy"),
        torch.tensor([BUCKETS.index(row["difficulty"]) for row in case.inputs["rows"]]),
        accuracy == 1,
    )
    return Result({"overall": accuracy + score, "entropy_score": score})


def kl_beta_update(case: Case) -> Result:
    """The coefficients after every step."""
    config = case.config
    settings = BucketBetas(
        target=float(config.get("dtarg", 0.01)),
        decay=float(config.get("ema_decay", 0.97)),
        rate=float(config.get("lr", 0.05)),
        clip=float(config.get("clip", 0.2)),
        dead_zone=float(config.get("deadzone", 0.02)),
        interval=int(config.get("update_interval", 100)),
        low=float(config.get("beta_min", 1e-4)),
        high=float(config.get("beta_max", 100)),
    )
    state = BucketState(settings, [Beta() for _ in BUCKETS])
    found = []
    for step in case.inputs["steps"]:
        pairs = list(zip(step["levels"], step["seq_mean_kl"], strict=True))
        each = [[value for level, value in pairs if level == name] for name in BUCKETS]
        state.take([sum(values) / len(values) if values else None for values in each])
        found.append(dict(zip(BUCKETS, state.betas, strict=True)))
    return Result({"beta_after_step": found})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("ares", "window_entropy"): window_entropy,
    ("ares", "entropy_reward"): entropy_reward,
    ("ares", "kl_beta_update"): kl_beta_update,
}
