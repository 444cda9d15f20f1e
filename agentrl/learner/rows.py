"""From trees to rows: which sampled token is trained where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.tree import Episode, Forest, Node, StopReason, Tree, Writer

_TRUNCATIONS = (StopReason.TRUNCATED_TURNS, StopReason.TRUNCATED_TOKENS)


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence of one counted episode, and the sampled spans it is responsible for.

    The T axis of the batch is the concatenation of the ids of `nodes`: token t of the row is at
    one (node id, offset) of the tree.  Spans of the path that an earlier row of the same episode
    already holds are context here.

    Attributes:
        tree: index of the tree in the forest.
        episode: index of the episode in `Tree.episodes`.
        nodes: ids of the model nodes to train, in path order; at least one token in total.
    """

    tree: int
    episode: int
    nodes: tuple[int, ...]

    @property
    def last(self) -> int:
        """The node with which the part of the sequence ends that has to be computed."""
        return self.nodes[-1]


@dataclass(frozen=True, slots=True)
class Rows:
    """A forest as an algorithm sees it.

    Attributes:
        trees: the trees of the forest.
        rows: where the tokens of each batch row lie; same order as the B axis.
        batch: every field of `Batch` that a tree holds; the engine's log-probs; and as
            `OLD_ENTROPY` the engine's entropies if every token has an exact one.  Groups are the
            indices of trees, episodes are numbered over the forest.
    """

    trees: Sequence[Tree]
    rows: tuple[Row, ...]
    batch: Batch

    def spans(self, row: Row) -> list[Node]:
        """Return the trained nodes of a row."""
        return [self.trees[row.tree].nodes[node] for node in row.nodes]


def rows(forest: Forest) -> Rows:
    """Turn the counted episodes of a forest into rows.

    Each sampled token of a counted episode lands in exactly one row of that episode; a token that
    several episodes share is in one row of each, but for those to whom it was `given`.  Failed
    episodes leave no trace.

    Args:
        forest: trees of one rollout.

    Returns:
        The rows; the batch has no rows if nothing was sampled.
    """
    index: list[Row] = []
    episodes: list[int] = []
    counter = 0
    for position, tree in enumerate(forest.trees):
        for number, episode in enumerate(tree.episodes):
            if not episode.counts:
                continue
            found = [Row(position, number, nodes) for nodes in _assign(tree, episode)]
            index += found
            episodes += [counter] * len(found)
            counter += 1
    return Rows(forest.trees, tuple(index), _batch(forest.trees, index, episodes))


def _assign(tree: Tree, episode: Episode) -> Iterator[tuple[int, ...]]:
    """Yield the newly met non-empty model nodes of each sequence that has some."""
    seen = set(episode.given)
    for last in episode.sequences:
        fresh = [
            node.id
            for node in tree.path(last)
            if node.writer is Writer.MODEL and node.ids and node.id not in seen
        ]
        seen.update(fresh)
        if fresh:
            yield tuple(fresh)


def _batch(trees: Sequence[Tree], index: Sequence[Row], episodes: Sequence[int]) -> Batch:
    spans = [[trees[row.tree].nodes[node] for node in row.nodes] for row in index]
    ends = [trees[row.tree].episodes[row.episode] for row in index]
    everything = [node for nodes in spans for node in nodes]
    stats: dict[Statistic, Tensor] = {}
    texts = _Texts()
    if all(len(node.logprobs) == len(node.ids) for node in everything):
        stats[Stat.ROLLOUT_LOGPROBS] = _pad([_join(n.logprobs for n in nodes) for nodes in spans])
    tempered = any(tree.info.get("source") == "control" for tree in trees)
    exact = all(n.entropy_exact and len(n.entropies) == len(n.ids) for n in everything)
    if exact and not tempered:
        stats[Stat.OLD_ENTROPY] = _pad([_join(n.entropies for n in nodes) for nodes in spans])
    numbers_BT, given_BN = _numbers(trees, index)
    return Batch(
        mask_BT=_pad([[1.0] * sum(len(n.ids) for n in nodes) for nodes in spans]),
        groups_B=torch.tensor([row.tree for row in index], dtype=torch.long),
        episodes_B=torch.tensor(episodes, dtype=torch.long),
        returns_B=torch.tensor([end.reward for end in ends], dtype=torch.float32),
        turns_BT=_pad([_join([n.turn] * len(n.ids) for n in nodes) for nodes in spans], -1).long(),
        versions_BT=_pad([_join(map(_versions, nodes)) for nodes in spans], -1, torch.long),
        rewards_BT=_pad(_rewards(index, spans, ends)),
        truncated_B=torch.tensor([end.stop in _TRUNCATIONS for end in ends], dtype=torch.bool),
        ids_BT=_pad([_join(n.ids for n in nodes) for nodes in spans], 0, torch.long),
        spans_BT=numbers_BT,
        given_BN=given_BN,
        anchors_BT=_per_turn(spans, "anchor", _Texts()),
        observations_BT=_per_turn(spans, "observation", texts),
        answers_B=torch.tensor([texts.number(end.answer) for end in ends], dtype=torch.long),
        invalid_BT=_pad(
            [_join([_invalid(end)] * len(n.ids) for n, end in _with_ends(nodes)) for nodes in spans]
        )
        > 0,
        unreadable_B=torch.tensor([any(map(_unreadable, nodes)) for nodes in spans]).bool(),
        components=_components(ends),
        sources_B=torch.tensor(
            [trees[row.tree].info.get("source") == "control" for row in index], dtype=torch.long
        ),
        texts=tuple(texts.numbers),
        stats=stats,
    )


class _Texts:
    """Gives equal texts equal numbers, in order of first sight."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        """Return the text's number; -1 for None."""
        return -1 if text is None else self.numbers.setdefault(text, len(self.numbers))


def _per_turn(spans: Sequence[Sequence[Node]], key: str, texts: _Texts) -> Tensor:
    """Return [B, T]: the number of what each token's turn holds under `key`; -1 where nothing."""
    rows = [
        _join([texts.number(end.info.get(key))] * len(n.ids) for n, end in _with_ends(nodes))
        for nodes in spans
    ]
    return _pad(rows, -1, torch.long)


def _numbers(trees: Sequence[Tree], index: Sequence[Row]) -> tuple[Tensor, Tensor | None]:
    """Return the numbers of the nodes of each token [B, T] and of those given to each row [B, N].

    They are unique over the forest, and -1 at padding; the latter are None where nothing is given.
    """
    first = list(accumulate((len(tree.nodes) for tree in trees), initial=0))
    own, given = [], []
    for row in index:
        tree, begin = trees[row.tree], first[row.tree]
        own.append(_join([begin + node] * len(tree.nodes[node].ids) for node in row.nodes))
        given.append([begin + node for node in tree.episodes[row.episode].given])
    return _pad(own, -1, torch.long), _pad(given, -1, torch.long) if any(given) else None


def _with_ends(nodes: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Return each span of a row with the one that ends its turn, which holds what is known of it.

    They differ where a branch forks inside an answer.
    """
    pairs: list[tuple[Node, Node]] = []
    for node in reversed(nodes):
        goes_on = bool(pairs) and node.continues(pairs[-1][0])
        pairs.append((node, pairs[-1][1] if goes_on else node))
    return pairs[::-1]


def _versions(node: Node) -> list[int]:
    """Return the policy version of each token; -1 where the engine named none."""
    known = [version for version, count in node.versions for _ in range(count)]
    return known or [-1] * len(node.ids)


def _invalid(node: Node) -> bool:
    return not node.info.get("format_valid", True)


def _unreadable(node: Node) -> bool:
    return "\ufffd" in str(node.info.get("text") or "")


def _components(ends: Sequence[Episode]) -> dict[str, Tensor]:
    """Return the episode metrics that every episode has, [B] each."""
    names = set.intersection(*(set(end.metrics) for end in ends)) if ends else set()
    return {
        name: torch.tensor([float(end.metrics[name]) for end in ends]) for name in sorted(names)
    }


def _rewards(
    index: Sequence[Row], spans: Sequence[Sequence[Node]], ends: Sequence[Episode]
) -> list[list[float]]:
    """Put each span's reward on its last token, and what is left on the episode's last token.

    The remainder is reward that belongs to no span, for example a judge's score of the whole
    episode; with it the sum over an episode is its return.
    """
    rewards = [_join([0.0] * (len(n.ids) - 1) + [n.reward] for n in nodes) for nodes in spans]
    paid = 0.0
    for position, (row, values) in enumerate(zip(index, rewards, strict=True)):
        paid += sum(values)
        following = index[position + 1] if position + 1 < len(index) else None
        if following is None or (following.tree, following.episode) != (row.tree, row.episode):
            remainder = ends[position].reward - paid
            values[-1] += remainder if abs(remainder) > 1e-9 else 0.0
            paid = 0.0
    return rewards


def _join(parts: Iterable[Sequence[Any]]) -> list[Any]:
    return [value for part in parts for value in part]


def _pad(
    values: Sequence[Sequence[float]], fill: float = 0.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return [B, T], padded on the right."""
    width = max(map(len, values), default=0)
    filled = [[*row, *[fill] * (width - len(row))] for row in values]
    return torch.tensor(filled, dtype=dtype).reshape(len(values), width)
