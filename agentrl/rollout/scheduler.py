"""Play many episodes at once and gather them into a forest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentrl.errors import ConfigError
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.group import Group
from agentrl.rollout.plan import Independent, PlanOf
from agentrl.rollout.policy import Policy
from agentrl.rollout.prompting import Prompting
from agentrl.rollout.rollout import Goal, Rollout, TreeDone
from agentrl.rollout.workers import EnvPool
from agentrl.tree import Forest, Tree
from agentrl.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLimits:
    """What a rollout may cost.

    Attributes:
        max_resamples: extra episodes a group may draw to replace failed ones.
        episode_seconds: an episode that is played longer fails with the kind `deadline`; 0 sets
            no limit.
        group_tokens: once a group has sampled so many tokens, no episode of it is started any
            more; 0 sets no limit.
        carry_over: where only some groups are `wanted`, the unfinished ones are set aside and gone
            on with by the next such rollout, under the policy of then; otherwise they are cut.
    """

    max_resamples: int = 4
    episode_seconds: float = 0.0
    group_tokens: int = 0
    carry_over: bool = False


class RolloutScheduler:
    """Plays groups of episodes over a pool of environment processes.

    Args:
        pool: environment processes; at most `pool.size` episodes run at a time.
        settings: what all episodes have in common.
        limits: what a rollout may cost.
        deterministic: take turns together (see `agentrl.rollout.lockstep`).

    Raises:
        ConfigError: `deterministic` together with `carry_over`.
    """

    def __init__(
        self,
        pool: EnvPool,
        settings: EpisodeSettings,
        limits: RolloutLimits | None = None,
        *,
        deterministic: bool = False,
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.limits = limits or RolloutLimits()
        self.deterministic = deterministic
        self._aside: Rollout | None = None
        if deterministic and self.limits.carry_over:
            raise ConfigError(
                "`rollout.unfinished` is 'continue', which depends on the clock, but "
                "`rollout.deterministic` is true. Choose `rollout.unfinished=cut`, or switch "
                "`rollout.deterministic` off."
            )

    @property
    def unfinished(self) -> int:
        """Groups that the last rollout set aside."""
        return 0 if self._aside is None else len(self._aside.groups)

    async def collect(
        self,
        tasks: Sequence[Task],
        policy: Policy,
        *,
        group_size: int,
        plan_of: PlanOf | None = None,
        wanted: int | None = None,
        keep: Callable[[Tree], bool] | None = None,
        tree_prefix: str = "",
        on_tree: TreeDone | None = None,
        prompting: Prompting | None = None,
    ) -> Forest:
        """Play a group of episodes of each task.

        A failed episode is recorded, and replaced by a new one up to `max_resamples` times per
        group.  Trees come back in task order, their nodes in a fixed order.

        Args:
            tasks: one tree (group) each; the same task may occur more than once.
            policy: chooses the actions.
            group_size: episodes wanted per tree, all from the prompt.
            plan_of: decides instead which episodes there are, and where they branch.
            wanted: groups that are enough.  Once so many kept ones are complete, the others are
                cut, or set aside; those set aside before are gone on with.  None wants all.
            keep: whether a complete group counts among `wanted`.
            tree_prefix: start of every tree id; the position in `tasks` follows.
            on_tree: called with each tree as soon as it is complete, or when it is cut; a cut tree
                has `info["cut"]` and is not returned.
            prompting: varies the system text from task to task.

        Raises:
            ContextOverflow: the first prompt of a task does not fit the context; the other
                episodes are cancelled.
        """
        rollout = self._rollout(replace(self.settings, prompting=prompting), wanted is not None)
        make = plan_of or (lambda tree, task: Independent(group_size))
        first = max((group.number + 1 for group in rollout.groups), default=0)
        width = len(str(max(len(tasks) - 1, 0)))
        groups = []
        for number, task in enumerate(tasks):
            tree = Tree(f"{tree_prefix}{number:0{width}d}", task)
            plan, limits = make(tree.id, task), self.limits
            groups.append(
                Group(first + number, tree, plan, limits.max_resamples, limits.group_tokens)
            )
        enough = len(groups) + len(rollout.groups) if wanted is None else wanted
        trees = await rollout.run(policy, groups, Goal(enough, keep, on_tree))
        await self._put_aside(rollout, on_tree)
        return Forest(trees)

    async def close(self) -> None:
        """Cancel what was set aside."""
        if self._aside is not None:
            await self._aside.cancel("the run has ended")
            self._aside = None

    def _rollout(self, settings: EpisodeSettings, resumes: bool) -> Rollout:
        if resumes and self._aside is not None:
            rollout, self._aside = self._aside, None
            rollout.settings = settings
            return rollout
        taken = 0 if self._aside is None else self._aside.playing
        return Rollout(
            self.pool,
            settings,
            slots=self.pool.size - taken,
            lockstep=self.deterministic,
            deadline=self.limits.episode_seconds,
        )

    async def _put_aside(self, rollout: Rollout, on_tree: TreeDone | None) -> None:
        """Keep or cut what a rollout has left unfinished."""
        if rollout.groups and self.limits.carry_over:
            self._aside = rollout
            return
        for tree in await rollout.cancel("enough groups were complete"):
            tree.info["cut"] = True
            if on_tree is not None:
                on_tree(tree)
