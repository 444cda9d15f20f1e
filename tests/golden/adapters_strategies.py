"""Log entropy of HAPO, rollout strategies, prompt augmentation and the case bank."""

from __future__ import annotations

from agentrl.algorithms.log_entropy import log_entropy_statistics, scaled_log_entropy
from tests.golden.case import Adapter, Case, Result


def entropy_h(case: Case) -> Result:
    """HAPO's statistic as released."""
    entropy, valid = case.tensor("entropy"), case.tensor("response_mask") > 0
    found = log_entropy_statistics(entropy, valid, case.config["entropy_pivot"])
    return Result(
        {
            "h_hat": scaled_log_entropy(entropy, found, "official"),
            "median": found.median,
            "std": found.std,
            "scale_pos": found.scale_above,
            "scale_neg": -found.scale_below,
        },
        not_ours=dict.fromkeys(("clip_low", "clip_high", "advantages"), "in hapo.policy_loss"),
    )


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("hapo", "entropy_h"): entropy_h,
}
