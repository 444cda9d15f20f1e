"""From per-token values to one number.

x is [B, T], m the mask, n_i the valid tokens of row i; N (tokens), D (rows with a valid token) and
K (a length) are the counts of the *whole* optimiser batch (`Normaliser`), so the shares of
micro-batches and processes simply add up.

    token-mean               sum m x / N                        DAPO, PPO
    token-sum                sum m x
    seq-mean-token-sum       sum_i sum_t m x / D                REINFORCE
    seq-mean-token-mean      sum_i (sum_t m x / n_i) / D        GRPO, GSPO
    seq-mean-token-sum-norm  sum_i sum_t m x / (D K)            Dr.GRPO

Source: verl-project/verl:verl/trainer/ppo/core_algos.py, `agg_loss` (without its factor `dp_size`,
which only undoes an averaging over processes: shares are summed here).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Normaliser
from agentrl.algorithms.checks import in_range, one_of


class Mode(StrEnum):
    """How token values become one number; see the table above."""

    TOKEN_MEAN = "token-mean"
    TOKEN_SUM = "token-sum"
    SEQ_MEAN_TOKEN_SUM = "seq-mean-token-sum"
    SEQ_MEAN_TOKEN_MEAN = "seq-mean-token-mean"
    SEQ_MEAN_TOKEN_SUM_NORM = "seq-mean-token-sum-norm"


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One of the modes above.

    Attributes:
        mode: its name.
        length: the constant K; None takes `Normaliser.length`.
    """

    mode: str = Mode.TOKEN_MEAN
    length: float | None = None

    def __post_init__(self) -> None:
        one_of("aggregation", self.mode, tuple(Mode))
        if self.length is not None:
            in_range("aggregation.length", self.length, 0, open_low=True)

    def __call__(self, values_BT: Tensor, valid_BT: Tensor, normaliser: Normaliser) -> Tensor:
        """Return this micro-batch's share of the aggregate, a scalar with gradient.

        Args:
            values_BT: per-token values; anything at masked positions.
            valid_BT: bool mask.
            normaliser: counts of the whole optimiser batch.
        """
        sums_B = masked.row_sum(values_BT, valid_BT)
        sequences = max(normaliser.sequences, 1.0)
        match self.mode:
            case Mode.TOKEN_MEAN:
                return sums_B.sum() / max(normaliser.tokens, 1.0)
            case Mode.TOKEN_SUM:
                return sums_B.sum()
            case Mode.SEQ_MEAN_TOKEN_SUM:
                return sums_B.sum() / sequences
            case Mode.SEQ_MEAN_TOKEN_MEAN:
                counts_B = valid_BT.sum(-1).to(sums_B.dtype) + masked.COUNT_EPSILON
                return (sums_B / counts_B).sum() / sequences
            case _:
                length = normaliser.length if self.length is None else self.length
                return sums_B.sum() / (sequences * length)
