"""The trajectory tree: one object from sampling to gradient.

A `Tree` holds everything that was sampled for one task.  Its nodes are contiguous token spans; a
path from a root to a node is a *sequence*, exactly the ids a model saw.  Its episodes are the
leaves: each is one trajectory, made of one sequence (context mode `full`) or several (mode
`window`, or where a chat template could not be extended append-only).  Episodes that share a
prompt, or a longer prefix after a branch, share the nodes of that prefix: shared tokens are stored
once, and the learner computes them once.

A tree is also the *group* of group-relative methods: its id keys the group statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentrl.errors import DataError
from agentrl.types import Task


class Writer(StrEnum):
    """Who wrote a span of tokens."""

    MODEL = "model"
    """Sampled by the policy; the only tokens that are trained."""
    ENVIRONMENT = "environment"
    """A rendered prompt or observation."""
    TEMPLATE = "template"
    """Added by the framework, for example an end-of-turn token the model did not reach."""


class StopReason(StrEnum):
    """Why an episode ended."""

    TERMINATED = "terminated"
    """The environment ended the episode by itself: won, lost, answered."""
    TRUNCATED_TURNS = "truncated_turns"
    """The turn limit was reached."""
    TRUNCATED_TOKENS = "truncated_tokens"
    """The next prompt, or the next turn, did not fit the model's context or the token budget."""
    ENV_ERROR = "env_error"
    """The environment raised, died, or returned something outside its contract."""
    ENV_TIMEOUT = "env_timeout"
    """An environment call missed its deadline."""
    ENGINE_ERROR = "engine_error"
    """The inference engine failed on this episode's request."""
    CANCELLED = "cancelled"
    """The scheduler ended the episode because it could no longer matter."""

    @property
    def failed(self) -> bool:
        """True where the episode says nothing about the policy: it never enters statistics."""
        return self in _FAILURES


_FAILURES = frozenset(
    {StopReason.ENV_ERROR, StopReason.ENV_TIMEOUT, StopReason.ENGINE_ERROR, StopReason.CANCELLED}
)


@dataclass(slots=True, kw_only=True)
class Node:
    """A contiguous span of tokens with one writer.

    Attributes:
        id: position in `Tree.nodes`.
        parent: id of the node before this one; None for the start of a sequence.
        writer: who wrote the tokens.
        ids: token ids, verbatim.
        turn: which of the episode's turns it belongs to, from 0; a prompt has the turn it prompts.
        logprobs: for model nodes, one log-prob per token under the distribution really sampled
            from (temperature, top-p and top-k applied), in nats; empty for other writers.
        entropies: for model nodes, the entropy of the full-vocabulary softmax at the sampling
            temperature before truncation, in nats, one per token; empty where not measured.
        entropy_exact: False where `entropies` are top-k lower bounds.
        versions: policy version that sampled each token, as runs `(version, count)`.
        reward: environment reward for the action in this span, less the penalty for an answer
            without the asked form (model nodes only).
        seconds: time to sample the span, or to get the observation in it.
        info: what a reader or an algorithm may want, JSON values only: `text`, `action`,
            `action_valid`, `format_valid`, `penalty`, `stop`, and of the moment before the action
            `observation` and `anchor`.
    """

    id: int
    parent: int | None
    writer: Writer
    ids: list[int]
    turn: int = 0
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    entropy_exact: bool = True
    versions: list[tuple[int, int]] = field(default_factory=list)
    reward: float = 0.0
    seconds: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)

    def continues(self, other: Node) -> bool:
        """Return True if `other` goes on with the sampled turn that this span begins."""
        model = self.writer is Writer.MODEL and other.writer is Writer.MODEL
        return model and self.turn == other.turn

    def check(self) -> None:
        """Raise `DataError` if the lengths of the per-token fields disagree."""
        count = len(self.ids)
        wanted = count if self.writer is Writer.MODEL else 0
        if len(self.logprobs) != wanted:
            raise DataError(
                f"Node {self.id} ({self.writer}) has {count} ids, {len(self.logprobs)} log-probs."
            )
        if len(self.entropies) not in (0, wanted):
            raise DataError(f"Node {self.id} has {len(self.entropies)} entropies for {count} ids.")
        if self.versions and sum(n for _, n in self.versions) != count:
            raise DataError(f"The version runs of node {self.id} do not add up to {count} tokens.")


@dataclass(slots=True, kw_only=True)
class Episode:
    """A leaf of the tree: one trajectory and how it ended.

    Attributes:
        id: unique within the tree.
        sequences: for each sequence of the trajectory, in time order, the id of its last node.
        stop: why it ended; None while it is still running.
        reward: sum of the environment's rewards.
        metrics: what the environment names, at least `success` and `score`.
        answer: the final answer, where the environment asks for one.
        turns: number of actions taken.
        error: what went wrong, where `stop.failed`; for people, not programs.
        error_kind: `raised`, `timeout`, `died`, `contract`, `engine` or empty.
        parent_episode: id of the episode this one branched from, if any.
        forked_at: turn, and token of that turn's answer, at which it left its parent; the turns
            and tokens before are shared with it.
        given: ids of sampled spans that it took over from its parent as context: they are on its
            path, but only the parent is trained on them.
        seconds: wall time from reset, or from the fork, to the end.
    """

    id: int
    sequences: list[int] = field(default_factory=list)
    stop: StopReason | None = None
    reward: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    answer: str | None = None
    turns: int = 0
    error: str = ""
    error_kind: str = ""
    parent_episode: int | None = None
    forked_at: tuple[int, int] | None = None
    given: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counts(self) -> bool:
        """True if the episode ended and may enter statistics and training."""
        return self.stop is not None and not self.stop.failed


@dataclass(slots=True)
class Tree:
    """All that was sampled for one task in one rollout: the group of group-relative methods.

    Attributes:
        id: unique among the trees of a run; the group key.
        task: what was to be solved.
        nodes: token spans; a node's parent comes before it.
        episodes: the leaves, failed ones included.
        info: tags for readers, JSON values only (for example `step`, `purpose`).
    """

    id: str
    task: Task
    nodes: list[Node] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def add(self, parent: int | None, writer: Writer, ids: Sequence[int], **fields: Any) -> Node:
        """Append a node and return it."""
        node = Node(id=len(self.nodes), parent=parent, writer=writer, ids=list(ids), **fields)
        self.nodes.append(node)
        return node

    def add_episode(self, **fields: Any) -> Episode:
        """Append an episode and return it."""
        episode = Episode(id=len(self.episodes), **fields)
        self.episodes.append(episode)
        return episode

    def path(self, node_id: int) -> list[Node]:
        """Return the nodes from the root to `node_id`, both included."""
        nodes: list[Node] = []
        at: int | None = node_id
        while at is not None:
            nodes.append(self.nodes[at])
            at = nodes[-1].parent
        return nodes[::-1]

    def ids(self, node_id: int) -> list[int]:
        """Return the token ids of the sequence that ends with `node_id`."""
        return [token for node in self.path(node_id) for token in node.ids]

    def counted(self) -> list[Episode]:
        """Return the episodes that may enter statistics and training."""
        return [episode for episode in self.episodes if episode.counts]

    def model_nodes(self, episode: Episode) -> Iterator[Node]:
        """Yield the episode's sampled spans in time order, each once."""
        seen: set[int] = set()
        for last in episode.sequences:
            for node in self.path(last):
                if node.writer is Writer.MODEL and node.id not in seen:
                    seen.add(node.id)
                    yield node

    def split_turn(self, node_id: int, token: int) -> int:
        """Make the place between two tokens of a sampled turn the end of a node.

        The tokens before it become a span of their own, from which a branch can grow.  What
        belongs to the whole turn (reward, action) stays with the tokens after it.

        Args:
            node_id: the last span of the turn.
            token: tokens of the turn that come before the place; 0 is the end of the prompt.

        Returns:
            The id of the node that ends there.

        Raises:
            DataError: the turn is not that long, or begins a sequence.
        """
        spans = [self.nodes[node_id]]
        while (first := spans[0].parent) is not None and self.nodes[first].continues(spans[0]):
            spans.insert(0, self.nodes[first])
        ends, at = spans[0].parent, 0
        for span in spans:
            if at == token and ends is not None:
                return ends
            if at < token < at + len(span.ids):
                return self._split(span, token - at).id
            ends, at = span.id, at + len(span.ids)
        if at == token and ends is not None:
            return ends
        raise DataError(f"Tree {self.id!r}: turn of node {node_id} has no place {token}.")

    def _split(self, node: Node, at: int) -> Node:
        """Move the first `at` tokens of a sampled span to a new parent, and return it."""
        seconds = node.seconds * at / len(node.ids)
        before = self.add(
            node.parent,
            Writer.MODEL,
            node.ids[:at],
            turn=node.turn,
            logprobs=node.logprobs[:at],
            entropies=node.entropies[:at],
            entropy_exact=node.entropy_exact,
            versions=_first_runs(node.versions, at),
            seconds=seconds,
        )
        node.parent, node.seconds = before.id, node.seconds - seconds
        node.versions = _last_runs(node.versions, len(node.ids) - at)
        node.ids, node.logprobs = node.ids[at:], node.logprobs[at:]
        node.entropies = node.entropies[at:]
        for episode in self.episodes:
            if node.id in episode.given:
                episode.given.append(before.id)
        return before

    def token_counts(self) -> tuple[int, int]:
        """Return (tokens stored, tokens of all sequences counted separately)."""
        unique = sum(len(node.ids) for node in self.nodes)
        separate = sum(len(self.ids(last)) for ep in self.episodes for last in ep.sequences)
        return unique, separate

    def sort(self) -> None:
        """Renumber the nodes in the order in which the episodes, by id, first visit them.

        Episodes run concurrently, so nodes are added in an order that depends on timing; after
        sorting, equal episodes make equal trees.
        """
        order: dict[int, int] = {}
        for episode in self.episodes:
            for last in episode.sequences:
                for node in self.path(last):
                    order.setdefault(node.id, len(order))
        for node in self.nodes:
            order.setdefault(node.id, len(order))
        self.nodes.sort(key=lambda node: order[node.id])
        for node in self.nodes:
            node.id = order[node.id]
            node.parent = None if node.parent is None else order[node.parent]
        for episode in self.episodes:
            episode.sequences = [order[last] for last in episode.sequences]
            episode.given = [order[node] for node in episode.given]

    def check(self) -> None:
        """Raise `DataError` unless parents precede children and every length agrees."""
        for position, node in enumerate(self.nodes):
            if node.id != position or (node.parent is not None and node.parent >= position):
                raise DataError(f"Tree {self.id!r}: node {position} is out of order.")
            node.check()
        for episode in self.episodes:
            if any(not 0 <= last < len(self.nodes) for last in episode.sequences):
                raise DataError(f"Tree {self.id!r}: episode {episode.id} ends in a missing node.")


@dataclass(slots=True)
class Forest(Sequence[Tree]):
    """The trees of one rollout.

    Attributes:
        trees: one per task; ids are unique.
        info: tags for readers, JSON values only (for example `step`, `panel`, `panel_hash`).
    """

    trees: list[Tree] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, index: Any) -> Any:
        return self.trees[index]

    def __len__(self) -> int:
        return len(self.trees)

    def counted(self) -> list[tuple[Tree, Episode]]:
        """Return every episode that may enter statistics, with its tree."""
        return [(tree, episode) for tree in self.trees for episode in tree.counted()]

    def failures(self) -> Mapping[str, int]:
        """Return how many episodes failed, by stop reason and kind."""
        counts: dict[str, int] = {}
        for tree in self.trees:
            for episode in tree.episodes:
                if episode.stop is not None and episode.stop.failed:
                    key = f"{episode.stop}/{episode.error_kind or 'unknown'}"
                    counts[key] = counts.get(key, 0) + 1
        return counts


def _first_runs(runs: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Return the runs `(version, length)` of the first `count` tokens."""
    found: list[tuple[int, int]] = []
    for version, length in runs:
        if count > 0:
            found.append((version, min(length, count)))
        count -= length
    return found


def _last_runs(runs: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Return the runs of the last `count` tokens."""
    return _first_runs(runs[::-1], count)[::-1]
