"""What ARES's entropy score carries from update to update: its threshold and its strengths.

Source: ARES (arXiv 2510.08457); shawn0728/ARES:verl/trainer/ray_trainer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.rewards.entropy_score import EntropyScore, Triple, bucket_means, buckets
from agentrl.algorithms.statistics import Statistic
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyControl:
    """Controller of `EntropyScore`.

    threshold <- decay threshold + (1 - decay) median over episodes of the percentile of their
    windows; the new one counts from the next update on.  The first rollout sets it.

    alpha of a bucket += rate (mean - target), for the hard one rate (target - mean), within
    [0, most], before the update is scored.  As the target is the rounded mean, alpha moves by
    rounding only; this is so in the released code.

    Attributes:
        decay: of the threshold.
        rate: step of alpha.
        most: largest alpha.
    """

    decay: float = 0.99
    rate: float = 0.05
    most: float = 2.0

    def __post_init__(self) -> None:
        in_range("threshold_decay", self.decay, 0, 1)
        in_range("alpha_rate", self.rate, 0)
        in_range("alpha_most", self.most, 0)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` without a score to steer."""
        if not any(isinstance(step, EntropyScore) for step in algorithm.reward_shaping):
            raise ConfigError(
                "`controllers` holds EntropyControl, but `reward_shaping` has no EntropyScore for "
                "it to steer; add one or leave the controller out."
            )

    def start(self, algorithm: Algorithm) -> EntropyState:
        """Begin with the score's own threshold and strengths."""
        scores = (step for step in algorithm.reward_shaping if isinstance(step, EntropyScore))
        score = next(scores, EntropyScore())
        return EntropyState(self, score, score.threshold, score.threshold, score.alphas)


@dataclass(slots=True)
class EntropyState(Controller):
    """The running part of `EntropyControl`.

    Attributes:
        settings: of the controller.
        score: the slot it steers, as it was at the start.
        used: threshold of the current update.
        coming: threshold of the next one.
        alphas: strengths of the current update.
    """

    settings: EntropyControl
    score: EntropyScore
    used: float | None
    coming: float | None
    alphas: Triple

    @property
    def requires(self) -> frozenset[Statistic]:
        """What windows are read from."""
        return frozenset({Stat.OLD_ENTROPY})

    def apply(self, algorithm: Algorithm) -> Algorithm:
        """Put threshold and strengths in."""
        shaping = tuple(
            replace(step, threshold=self.used, alphas=self.alphas)
            if isinstance(step, EntropyScore)
            else step
            for step in algorithm.reward_shaping
        )
        return replace(algorithm, reward_shaping=shaping)

    def see(self, batch: Batch) -> None:
        """Move the strengths, and take note of this rollout's threshold."""
        found, decay = self.score.windows.threshold(batch), self.settings.decay
        self.used = found if self.coming is None else self.coming
        if found is not None and self.used is not None:
            self.coming = decay * self.used + (1 - decay) * found
        bucket_B = buckets(batch, self.score.truth)
        counts_B = replace(self.score, threshold=self.used).counts(batch)
        moves = [
            0.0 if mean is None else mean - round(mean)
            for mean in bucket_means(batch, counts_B, bucket_B)
        ]
        easy, medium, hard = (
            min(max(alpha + sign * self.settings.rate * move, 0.0), self.settings.most)
            for alpha, move, sign in zip(self.alphas, moves, (1, 1, -1), strict=True)
        )
        self.alphas = (easy, medium, hard)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"used": self.used, "coming": self.coming, "alphas": list(self.alphas)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.used, self.coming = state["used"], state["coming"]
        easy, medium, hard = map(float, state["alphas"])
        self.alphas = (easy, medium, hard)
