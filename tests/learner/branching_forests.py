"""Deep random trajectory trees, and the same episodes with nothing shared.

The trees have every shape that the learner has to lay out: forks at many depths of one path, forks
inside a turn (a model node below a model node, both of the same turn), branches that are given what
was sampled before the fork, episodes that end where others go on, episodes of several sequences
that share a prefix or a sampled span with each other, empty observations, and episodes that failed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from agentrl.tree import Episode, Forest, Node, StopReason, Tree, Writer
from tests.learner.learner_samples import VOCAB, make_task

TURNS = 6
STOPS = [StopReason.TERMINATED, StopReason.TERMINATED, StopReason.TRUNCATED_TURNS]


@dataclass(frozen=True)
class Place:
    """A point at which an episode can go on.

    Attributes:
        tip: the node before what comes next.
        turn: the turn that comes next, or that goes on.
        inside: the turn has begun: some of its tokens are sampled.
        ended: last nodes of the sequences before the present one.
    """

    tip: int
    turn: int
    inside: bool = False
    ended: tuple[int, ...] = ()


class _Grower:
    """Grows one tree, episode by episode."""

    def __init__(self, seed: int, name: str) -> None:
        self.random = random.Random(seed)
        self.tree = Tree(id=name, task=make_task(seed))
        self._places = [Place(self._seen(None, 0, 6).id, 0)]

    def episode(self, start: Place, *, failed: bool = False, given: bool = False) -> None:
        """Play from a place to the last turn; `given` takes over what comes before as context."""
        place = start
        before = [node for end in (*start.ended, start.tip) for node in self.tree.path(end)]
        while place.turn < TURNS:
            place = self._turn(place)
            self._places.append(place)
        won = float(self.random.random() < 0.5)
        self.tree.add_episode(
            sequences=[*place.ended, place.tip],
            stop=StopReason.ENV_ERROR if failed else self.random.choice(STOPS),
            reward=won,
            metrics={"success": won, "score": won},
            answer=self.random.choice(["1", "2", None]),
            turns=TURNS,
            given=sorted({n.id for n in before if given and n.writer is Writer.MODEL}),
        )

    def fork(self) -> Place:
        """Return a place of an earlier episode; late ones are more likely."""
        places = [place for place in self._places if place.turn < TURNS]
        return max(self.random.choices(places, k=2), key=lambda place: place.turn)

    def stop_early(self) -> None:
        """Add an episode that ends at an inner node, where others go on."""
        places = [p for p in self._places if 2 <= p.turn < TURNS - 1 and not p.inside]
        place = self.random.choice(places)
        self.tree.add_episode(
            sequences=[*place.ended, place.tip],
            stop=StopReason.TRUNCATED_TOKENS,
            metrics={"success": 0.0, "score": 0.0},
            turns=place.turn,
        )

    def _turn(self, place: Place) -> Place:
        """Sample the turn, or what is left of it, and let the environment answer."""
        node = self._sampled(place.tip, place.turn)
        if not place.inside and self.random.random() < 0.5:
            self._places.append(Place(node.id, place.turn, True, place.ended))
            node = self._sampled(node.id, place.turn)
        turn, chance = place.turn + 1, self.random.random()
        if chance < 0.12 or turn >= TURNS:  # nothing is seen between two turns, or no more
            return Place(node.id, turn, ended=place.ended)
        if chance < 0.25:  # the history is rewritten: a new sequence, from its root or from within
            path = self.tree.path(node.id)
            parent = self.random.choice([None, path[0].id, path[len(path) // 2].id])
            return Place(self._seen(parent, turn, 5).id, turn, ended=(*place.ended, node.id))
        return Place(
            self._seen(node.id, turn, self.random.randint(0, 3)).id, turn, False, place.ended
        )

    def _seen(self, parent: int | None, turn: int, count: int) -> Node:
        return self.tree.add(parent, Writer.ENVIRONMENT, self._ids(count), turn=turn)

    def _sampled(self, parent: int, turn: int) -> Node:
        ids, room = self._ids(self.random.randint(1, 3)), self.random.randrange(3)
        return self.tree.add(
            parent,
            Writer.MODEL,
            ids,
            turn=turn,
            logprobs=[-3 * self.random.random() for _ in ids],
            entropies=[2 * self.random.random() for _ in ids],
            info={
                "observation": f"room {room}",
                "anchor": str(room),
                "action": f"go {room}",
                "text": f"go {room}",
                "format_valid": self.random.random() < 0.8,
            },
        )

    def _ids(self, count: int) -> list[int]:
        return [self.random.randrange(VOCAB) for _ in range(count)]


def branching_tree(seed: int, name: str = "tree", members: int = 7) -> Tree:
    """Return a tree of `members` episodes.

    The third has failed, the fourth is given its beginning, the last ends where others go on.
    """
    grower = _Grower(seed, name)
    grower.episode(Place(0, 0))
    for number in range(1, members - 1):
        grower.episode(grower.fork(), failed=number == 2, given=number == 3)
    grower.stop_early()
    grower.tree.check()
    return grower.tree


def branching_forest(seed: int = 0, trees: int = 2, members: int = 7) -> Forest:
    """Return trees of different shapes."""
    return Forest([branching_tree(100 * seed + n, f"tree-{n}", members) for n in range(trees)])


def separate(forest: Forest) -> Forest:
    """Return the same episodes in the same groups, each with nodes of its own.

    Sequences of one episode keep sharing: a span that two of them hold is trained once, which is a
    fact about the episode and not about the tree.
    """
    return Forest([_separate_tree(tree) for tree in forest.trees], dict(forest.info))


def _separate_tree(tree: Tree) -> Tree:
    apart = Tree(tree.id, tree.task, info=dict(tree.info))
    for episode in tree.episodes:
        copies: dict[int, int] = {}
        for last in episode.sequences:
            for node in tree.path(last):
                if node.id not in copies:
                    parent = None if node.parent is None else copies[node.parent]
                    copies[node.id] = len(apart.nodes)
                    apart.nodes.append(replace(node, id=len(apart.nodes), parent=parent))
        apart.episodes.append(_moved(episode, copies))
    apart.check()
    return apart


def _moved(episode: Episode, copies: dict[int, int]) -> Episode:
    return replace(
        episode,
        sequences=[copies[last] for last in episode.sequences],
        given=[copies[node] for node in episode.given],
    )


def branch_levels(tree: Tree) -> int:
    """Return the largest number of forks on the path of one counted episode."""
    kept = {node.id for e in tree.counted() for last in e.sequences for node in tree.path(last)}
    children = [0] * len(tree.nodes)
    for node in kept:
        parent = tree.nodes[node].parent
        if parent is not None:
            children[parent] += 1
    ends = [last for episode in tree.counted() for last in episode.sequences]
    return max(sum(children[node.id] > 1 for node in tree.path(end)) for end in ends)


def forks_inside_turns(tree: Tree) -> int:
    """Return how many model nodes have several model nodes of the same turn below them."""
    below = [0] * len(tree.nodes)
    for node in tree.nodes:
        if node.parent is not None and node.writer is Writer.MODEL:
            parent = tree.nodes[node.parent]
            below[parent.id] += parent.writer is Writer.MODEL and parent.turn == node.turn
    return sum(count > 1 for count in below)
