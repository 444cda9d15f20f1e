"""APO: weights by difficulty and length."""

from __future__ import annotations

import torch

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.transforms.difficulty import DifficultyKL, LongWrong, dads_weight
from agentrl.algorithms.transforms.semantic import scale_advantages
from tests.golden.case import Adapter, Case, Result


def dads(case: Case) -> Result:
    """The KL weight of a difficulty."""
    return Result({"kl_weight": dads_weight(case.tensor("difficulty"))})


def stcr_dads(case: Case) -> Result:
    """Both weights and the advantage, a group per row of the file."""
    right = case.tensor("accuracy")
    shape, rows = right.shape, torch.arange(right.numel())
    batch = Batch(
        mask_BT=torch.ones(right.numel(), 1, dtype=torch.float64),
        groups_B=rows // shape[1],
        episodes_B=rows,
        returns_B=(right + case.tensor("format")).flatten(),
        turns_BT=torch.zeros(right.numel(), 1, dtype=torch.long),
        components={"success": right.flatten()},
    )
    batch = GroupRelative(epsilon=1e-9)(batch)
    longer = LongWrong(base=float(case.config.get("c", 1.00001)))
    weight_B = longer.factor(batch, case.tensor("lengths").flatten())
    scaled = scale_advantages(batch, weight_B)
    slot = DifficultyKL()
    outputs = {
        "stcr_weight": weight_B,
        "difficulty": slot.difficulty(batch),
        "group_norm": batch.advantages,
        "advantage": scaled.advantages,
        "kl_weight": slot(scaled).notes["kl_weight"],
    }
    return Result({name: values.reshape(shape) for name, values in outputs.items()})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("apo", "dads_weight"): dads,
    ("apo", "stcr_dads"): stcr_dads,
}
