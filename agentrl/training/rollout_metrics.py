"""What a step's rollouts say about the policy, and what went wrong in them."""

from __future__ import annotations

from agentrl.errors import EnvironmentFailure
from agentrl.tree import Episode, Forest, Tree, Writer


def rollout_metrics(forest: Forest) -> dict[str, float]:
    """Return means over the episodes that ended, token counts, and every failure by kind.

    `failures/<stop reason>/<kind>` is there for each kind that occurred; `rollout/failed` is their
    sum.  Means are left out where no episode ended.  `rollout/invalid_format_rate` is the share of
    turns whose text did not have the asked form; `rollout/invalid_action_rate` adds those whose
    action the environment did not accept.  Metrics of an environment's own keep their names.
    """
    episodes = [episode for _, episode in forest.counted()]
    counts = [tree.token_counts() for tree in forest.trees]
    values = {
        "rollout/episodes": float(len(episodes)),
        "rollout/tokens_unique": float(sum(unique for unique, _ in counts)),
        "rollout/tokens_separate": float(sum(separate for _, separate in counts)),
    }
    values["rollout/tokens_sampled"] = float(sum(map(sampled_tokens, forest.trees)))
    values["rollout/branches"] = float(sum(e.parent_episode is not None for e in episodes))
    values |= {f"rollout/{name}": value for name, value in _means(episodes).items()}
    values |= _own_means(episodes)
    values |= _invalid_rates(forest)
    failures = forest.failures()
    values["rollout/failed"] = float(sum(failures.values()))
    return values | {f"failures/{kind}": float(n) for kind, n in sorted(failures.items())}


def sampled_tokens(tree: Tree) -> int:
    """Return how many tokens the policy sampled for a tree, shared ones once."""
    return sum(len(node.ids) for node in tree.nodes if node.writer is Writer.MODEL)


def _means(episodes: list[Episode]) -> dict[str, float]:
    if not episodes:
        return {}
    sums = {
        "success": sum(e.metrics.get("success", 0.0) for e in episodes),
        "score": sum(e.metrics.get("score", 0.0) for e in episodes),
        "reward": sum(e.reward for e in episodes),
        "turns": float(sum(e.turns for e in episodes)),
    }
    return {name: total / len(episodes) for name, total in sums.items()}


def _own_means(episodes: list[Episode]) -> dict[str, float]:
    """Return the means of environments' own metrics; an episode without one counts as 0."""
    names = dict.fromkeys(name for e in episodes for name in e.metrics)
    return {
        name: sum(e.metrics.get(name, 0.0) for e in episodes) / len(episodes)
        for name in names
        if name not in ("success", "score")
    }


def _invalid_rates(forest: Forest) -> dict[str, float]:
    """Return the shares of turns with an invalid form, and with an invalid action."""
    turns = [
        node.info
        for tree, episode in forest.counted()
        for node in tree.model_nodes(episode)
        if "action" in node.info
    ]
    rates = {}
    for kind in ("format", "action") if turns else ():
        invalid = sum(not turn.get(f"{kind}_valid", True) for turn in turns)
        rates[f"rollout/invalid_{kind}_rate"] = invalid / len(turns)
    return rates


def require_episodes(forest: Forest, what: str) -> None:
    """Stop a run that cannot learn anything because every episode failed.

    Args:
        forest: what was played.
        what: its name, for the message.

    Raises:
        EnvironmentFailure: there were episodes, and all of them failed.
    """
    if forest.counted() or not forest.failures():
        return
    failed = [episode for tree in forest.trees for episode in tree.episodes if episode.error]
    kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(forest.failures().items()))
    first = failed[0].error if failed else "unknown"
    raise EnvironmentFailure(
        f"Every episode of {what} failed ({kinds}). The first: {first}. "
        "Try the environment by hand with `agentrl play`."
    )
