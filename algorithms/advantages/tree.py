"""Credit on trajectory trees: what tokens are worth that several episodes share.

s is a span (`agentrl.algorithms.spans`), V(s) the mean return of the counted episodes that pass
through it, mu_g and sigma_g mean and deviation over the episodes of the group.  Episodes count
once, however many rows they have; those without a valid token count nowhere.  Advantages carry no
gradient and are 0 at masked positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from agentrl.algorithms.advantages.group import SCALES, GroupRelative
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.spans import Passages, passages


def _spread(batch: Batch, found: Passages, advantages_P: Tensor) -> Batch:
    advantages_BT = found.spread(advantages_P.detach()).to(batch.returns_B.dtype)
    return replace(batch, advantages_BT=advantages_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtreeMean:
    """`(V(s) - mu_g) / (sigma_g + epsilon)`: shared tokens get the mean of their episodes.

    Tokens of one episode alone get its own return, so a group without branches gets GRPO's
    advantages exactly.  The advantage of a token is the mean of GRPO's over the episodes that share
    it.  Under equal ratios and weights, as on-policy under a token mean, the gradients of both are
    therefore the same; they differ where a clip depends on the sign of the advantage.

    Source: ARPO (arXiv 2507.19849), "hard" attribution; GRPO's advantage is its "soft" one.

    Attributes:
        scale: `group` divides by sigma_g, `batch` by the deviation over all episodes, `none` by 1.
        epsilon: added to sigma.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    scale: str = "group"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        one_of("scale", self.scale, SCALES)
        in_range("epsilon", self.epsilon, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        found = passages(batch)
        mean_B, scale_B, _ = GroupRelative(scale=self.scale, epsilon=self.epsilon).measure(batch)
        value_P = found.mean(batch.returns_B.double())
        relative_P = (value_P - mean_B[found.row_P]) / scale_B[found.row_P]
        return _spread(batch, found, relative_P)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtreeStep:
    """`(V(s) - V(parent) + omega (V(s) - mu_g)) / (sigma_g + epsilon)`: what each fork decided.

    The parent is the last span further up the path through which other episodes pass as well; above
    the first fork it is the whole group with mu_g.  Spans between two forks have the same value.
    Without omega and scale the advantages of an episode's levels add up to R - mu_g.

    Source: V(s) - V(parent) and V(s) - V(root) are the local and the global advantage of TreeRL
    (arXiv 2506.11902), whose division by the root of the number of episodes is left out; in a full
    tree V(s) - V(parent) is also the step reward of TreeRPO (arXiv 2506.05183) less its mean over
    the siblings.  The scale, and trees without a common root, are our reading.

    Attributes:
        outcome_weight: omega, weight of the part that compares with the whole group.
        scale: as in `SubtreeMean`.
        epsilon: added to sigma.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    outcome_weight: float = 0.0
    scale: str = "group"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        in_range("outcome_weight", self.outcome_weight, 0)
        one_of("scale", self.scale, SCALES)
        in_range("epsilon", self.epsilon, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        found = passages(batch)
        mean_B, scale_B, _ = GroupRelative(scale=self.scale, epsilon=self.epsilon).measure(batch)
        value_P, mean_P = found.mean(batch.returns_B.double()), mean_B[found.row_P]
        step_P = value_P - found.above(value_P, mean_P)
        relative_P = (step_P + self.outcome_weight * (value_P - mean_P)) / scale_B[found.row_P]
        return _spread(batch, found, relative_P)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRelative:
    """`A = A_inter + A_intra`: relative to the group, and to the episode's own tree (Tree-GRPO).

    Both are `(R - mean) / (sigma + epsilon)`, one over the episodes of the group, one over those of
    the tree, and one number per episode.  A tree holds the episodes that share the beginning of
    their path; one that shares nothing has A_intra = 0.

    Source: Tree Search for LLM Agent Reinforcement Learning (arXiv 2509.21240);
    AMAP-ML/Tree-GRPO:verl/trainer/ppo/ray_trainer_ts.py, estimator `tree`.  There a tree of one
    episode, which does not come up in its rollouts, would keep R.

    Attributes:
        scale: of both, as in `GroupRelative`.
        epsilon: added to both sigmas.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    scale: str = "group"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        one_of("scale", self.scale, SCALES)
        in_range("epsilon", self.epsilon, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        relative = GroupRelative(scale=self.scale, epsilon=self.epsilon)
        inter_BT = relative(batch).advantages
        trees = replace(batch, groups_B=passages(batch).tree_B)
        intra_BT = replace(relative, lone="zero")(trees).advantages
        return replace(batch, advantages_BT=inter_BT + intra_BT)
