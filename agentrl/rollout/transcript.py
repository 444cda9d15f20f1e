"""What one episode writes into its tree: prompts, answers, observations, sequence by sequence."""

from __future__ import annotations

from collections.abc import Sequence

from agentrl.engines.base import Completion
from agentrl.tokens import Conversation
from agentrl.tree import Episode, Node, Tree, Writer
from agentrl.types import Shown


class Transcript:
    """The growing path of an episode.

    Args:
        tree: gets the spans.
        episode: gets the sequences.
        conversation: says which ids follow an answer.

    Attributes:
        ids: of the present sequence, shared beginnings included.
        shared: tokens of the coming answer that are there already, because it branches inside.
    """

    def __init__(self, tree: Tree, episode: Episode, conversation: Conversation) -> None:
        self.tree = tree
        self.episode = episode
        self.conversation = conversation
        self.ids: list[int] = []
        self.shared: list[int] = []
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """The last span."""
        assert self._node is not None, "nothing has been written"
        return self._node

    def begin(self, system: str | None, message: Shown) -> None:
        """Write the first prompt."""
        self._start_sequence(self.conversation.start(system, message))

    def continue_from(self, node_id: int, sequences: Sequence[int]) -> None:
        """Go on from a span that other episodes share."""
        self.episode.sequences = [*sequences[:-1], node_id]
        self._node, self.ids = self.tree.nodes[node_id], self.tree.ids(node_id)

    def sampled(self, completion: Completion) -> Node:
        """Write what the model sampled."""
        return self._append(
            Writer.MODEL,
            completion.ids,
            logprobs=completion.logprobs,
            entropies=completion.entropies,
            entropy_exact=completion.entropy_exact,
            versions=completion.versions,
            seconds=completion.seconds,
            info={"stop": completion.stop},
        )

    def given(self, ids: Sequence[int]) -> Node:
        """Write an answer, or its beginning, that was not sampled and is not trained."""
        return self._append(Writer.TEMPLATE, list(ids), info={"given": True})

    def observed(self, answer: Sequence[int], message: Shown, seconds: float) -> None:
        """Write the observation after an answer, or a new sequence where that is not possible.

        Args:
            answer: the whole answer.
            message: what the environment says to it.
            seconds: how long that took.
        """
        self.shared = []
        extension = self.conversation.extend(answer, message)
        if extension.restart:
            self._start_sequence(extension.ids)
            return
        if extension.closing:
            self._append(Writer.TEMPLATE, extension.closing)
        self._append(Writer.ENVIRONMENT, extension.ids, seconds=seconds)

    def _start_sequence(self, ids: list[int]) -> None:
        """Start a new sequence; siblings that start with the same ids share the node."""
        turn = self.episode.turns
        roots = (node for node in self.tree.nodes if node.parent is None and node.ids == ids)
        node = next(roots, None) or self.tree.add(None, Writer.ENVIRONMENT, ids, turn=turn)
        node.turn = min(node.turn, turn)  # whichever sibling came first
        self._node, self.ids = node, list(ids)
        self.episode.sequences.append(node.id)

    def _append(self, writer: Writer, ids: list[int], **fields: object) -> Node:
        turn = self.episode.turns
        self._node = self.tree.add(self.node.id, writer, ids, turn=turn, **fields)
        self.ids += ids
        self.episode.sequences[-1] = self._node.id
        return self._node
